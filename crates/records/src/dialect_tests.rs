//! Dialects as configurations have them, and found out.

use super::*;

fn read(json: &str) -> Result<Dialect, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn nothing_said_is_the_default() {
    assert_eq!(read("{}").unwrap(), Dialect::default());
}

#[test]
fn the_keys_of_the_specification_in_both_cases() {
    let camel = read(
        r##"{"delimiter":";","quoteChar":"'","doubleQuote":false,"escapeChar":"\\","header":false,"commentChar":"#",
            "skipInitialSpace":true,"lineTerminator":"\r\n","encoding":"windows-1252"}"##,
    )
    .unwrap();
    let snake = read(
        r##"{"delimiter":";","quote_char":"'","double_quote":false,"escape_char":"\\","header":false,
            "comment_char":"#","skip_initial_space":true,"line_terminator":"\r\n","encoding":"cp1252"}"##,
    )
    .unwrap();
    assert_eq!(camel, snake);
    assert_eq!((camel.delimiter, camel.quote, camel.escape), (b';', Some(b'\''), Some(b'\\')));
    assert_eq!(camel.line_terminator, LineEnd::CrLf);
    let again: Dialect = serde_json::from_str(&serde_json::to_string(&camel).unwrap()).unwrap();
    assert_eq!(again, camel);
}

#[test]
fn no_quotes_and_quotes_that_escape_themselves() {
    for none in [r#"{"quote_char":null}"#, r#"{"quoteChar":""}"#] {
        let dialect = read(none).unwrap();
        assert_eq!(dialect.quote, None);
        let again: Dialect = serde_json::from_str(&serde_json::to_string(&dialect).unwrap()).unwrap();
        assert_eq!(again, dialect);
    }
    let doubled = read(r#"{"escapeChar":"\"","doubleQuote":false}"#).unwrap();
    assert_eq!((doubled.escape, doubled.double_quote), (None, true));
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason() {
    for (json, why) in [
        (r#"{"delimeter":";"}"#, "delimeter"),
        (r#"{"delimiter":";;"}"#, "one ASCII character"),
        (r#"{"delimiter":""}"#, "one ASCII character"),
        (r#"{"delimiter":"é"}"#, "one ASCII character"),
        (r#"{"delimiter":"\n"}"#, "delimiter"),
        (r#"{"delimiter":"\""}"#, "both"),
        (r##"{"escape_char":"#","comment_char":"#"}"##, "both"),
        (r#"{"delimiter":" ","skip_initial_space":true}"#, "space"),
        (r#"{"line_terminator":"ab"}"#, "line_terminator"),
        (r#"{"line_terminator":","}"#, "both"),
        (r#"{"encoding":"klingon"}"#, "klingon"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(why), "{json}: {error}");
    }
}

#[test]
fn line_ends_have_their_bytes() {
    assert_eq!(LineEnd::Byte(b'|').bytes(), b"|");
    assert_eq!(LineEnd::CrLf.bytes(), b"\r\n");
}

#[test]
fn a_delimiter_is_found_out() {
    for (text, delimiter) in [
        ("a,b,c\n1,2,3\n", b','),
        ("a;b;c\n1,5;2,5;3,5\n1,5;2,5;3,5\n", b';'),
        ("a\tb\n1,2\t3\n", b'\t'),
        ("a|b|c\n1|2|3\n", b'|'),
        ("name;text\n1;\"a,b,c\"\n2;\"d,e,f\"\n", b';'),
        ("time,value\n10:00:01,5\n10:00:02,6\n", b','),
        ("one\ntwo\n", b','),
        ("", b','),
        ("a;b\n", b';'),
        ("a;b", b';'),
    ] {
        assert_eq!(Dialect::sniff(text.as_bytes()).delimiter, delimiter, "{text:?}");
    }
}

#[test]
fn an_encoding_is_found_out_with_it() {
    let bytes = crate::encoding::encode("a;b\n1;é\n", Encoding::Utf16Le).unwrap();
    let dialect = Dialect::sniff(&bytes);
    assert_eq!((dialect.delimiter, dialect.encoding), (b';', Encoding::Utf16Le));
    let dialect = Dialect::sniff(b"a\tb\ncaf\xe9\t1\n");
    assert_eq!(dialect.encoding, Encoding::Other(encoding_rs::WINDOWS_1252));
}
