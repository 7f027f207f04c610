//! Encodings, declared and detected.

use super::*;
use proptest::prelude::*;

/// Gives its bytes in pieces of one size.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.len().min(self.1).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn utf8(bytes: &[u8], encoding: Encoding, piece: usize) -> Vec<u8> {
    let mut text = Vec::new();
    Utf8Input::new(Pieces(bytes, piece), encoding).read_to_end(&mut text).unwrap();
    text
}

#[test]
fn names() {
    for (name, encoding) in [
        ("UTF-8", Encoding::Utf8),
        ("utf8", Encoding::Utf8),
        ("utf-16", Encoding::Utf16Le),
        ("UTF-16BE", Encoding::Utf16Be),
        ("ISO-8859-1", Encoding::Latin1),
        ("latin1", Encoding::Latin1),
        ("windows-1252", Encoding::Other(encoding_rs::WINDOWS_1252)),
        ("cp1252", Encoding::Other(encoding_rs::WINDOWS_1252)),
        ("shift_jis", Encoding::Other(encoding_rs::SHIFT_JIS)),
        ("detect", Encoding::Detect),
    ] {
        assert_eq!(Encoding::named(name).unwrap(), encoding, "{name}");
        assert_eq!(Encoding::named(&encoding.name()).unwrap(), encoding, "{name}");
        let json = serde_json::to_string(&encoding).unwrap();
        assert_eq!(serde_json::from_str::<Encoding>(&json).unwrap(), encoding);
    }
    let error = Encoding::named("utf-9").unwrap_err();
    assert!(error.to_string().contains("utf-9") && error.hint_text().is_some());
}

#[test]
fn a_mark_goes_first_then_what_is_declared_then_what_is_found() {
    let detect = Encoding::Detect;
    assert_eq!(Encoding::Latin1.of(b"\xef\xbb\xbfa", true), Encoding::Utf8);
    assert_eq!(Encoding::Utf8.of(b"\xff\xfea\0", true), Encoding::Utf16Le);
    assert_eq!(Encoding::Utf8.of(b"\xfe\xff\0a", true), Encoding::Utf16Be);
    assert_eq!(Encoding::Latin1.of(b"abc", true), Encoding::Latin1);
    assert_eq!(detect.of(b"a\0,\0b\0\n\0", true), Encoding::Utf16Le);
    assert_eq!(detect.of(b"\0a\0,\0b\0\n", true), Encoding::Utf16Be);
    assert_eq!(detect.of("é".as_bytes(), true), Encoding::Utf8);
    assert_eq!(detect.of(b"caf\xe9\n", true), Encoding::Other(encoding_rs::WINDOWS_1252));
    // A character that the sample cuts in two is no reason to doubt.
    assert_eq!(detect.of(b"caf\xc3", false), Encoding::Utf8);
    assert_eq!(detect.of(b"", true), Encoding::Utf8);
}

#[test]
fn other_encodings_come_as_utf8() {
    let text = "naïve, £5 – 日本 𝄞\n".repeat(5_000);
    for piece in [1, 3, 1000, usize::MAX] {
        for encoding in [Encoding::Utf16Le, Encoding::Utf16Be] {
            let bytes = encode(&text, encoding).unwrap();
            assert_eq!(Encoding::Utf8.of(&bytes, true), encoding);
            assert_eq!(utf8(&bytes, encoding, piece), text.as_bytes());
        }
    }
    let western = "naïve £5\n".repeat(20_000);
    for encoding in [Encoding::Latin1, Encoding::Other(encoding_rs::WINDOWS_1252)] {
        let bytes = encode(&western, encoding).unwrap();
        assert_eq!(bytes.len(), western.chars().count());
        assert_eq!(utf8(&bytes, encoding, 777), western.as_bytes());
    }
    assert_eq!(utf8(b"\x80", Encoding::Latin1, 1), "\u{80}".as_bytes());
    assert_eq!(utf8(b"\x80", Encoding::Other(encoding_rs::WINDOWS_1252), 1), "€".as_bytes());
    for encoding in [Encoding::Latin1, Encoding::Other(encoding_rs::WINDOWS_1252)] {
        let error = encode("x日", encoding).unwrap_err();
        assert!(error.to_string().contains('日'), "{error}");
    }
}

#[test]
fn what_cannot_be_read_is_no_utf8_and_the_rest_goes_on() {
    let mut bytes = encode("a\n", Encoding::Utf16Le).unwrap();
    bytes.extend([0x00, 0xd8]);
    bytes.extend(&encode("b\nc\n", Encoding::Utf16Le).unwrap()[2..]);
    assert_eq!(utf8(&bytes, Encoding::Utf16Le, 3), b"a\n\xffb\nc\n");
    // Half a character at the end.
    assert_eq!(utf8(b"a\0b", Encoding::Utf16Le, 1), b"a\xff");
}

#[test]
fn utf8_passes_byte_for_byte() {
    let bytes = b"\xef\xbb\xbfa\xff\0";
    assert_eq!(utf8(bytes, Encoding::Utf8, 2), bytes);
}

#[test]
fn characters_may_be_cut_between_two_writes() {
    let text = "é日𝄞x".repeat(100);
    for encoding in [Encoding::Utf16Le, Encoding::Other(encoding_rs::GB18030)] {
        let mut sink = crate::Sink::encoded(Vec::new(), crate::Compression::None, None, encoding).unwrap();
        text.as_bytes().chunks(1).for_each(|byte| std::io::Write::write_all(&mut sink, byte).unwrap());
        assert_eq!(utf8(&sink.finish().unwrap(), encoding, 5), text.as_bytes());
        let mut sink = crate::Sink::encoded(Vec::new(), crate::Compression::None, None, encoding).unwrap();
        std::io::Write::write_all(&mut sink, b"x\xc3").unwrap();
        assert!(sink.finish().unwrap_err().to_string().contains("not UTF-8"));
    }
    let encoding = Encoding::Other(encoding_rs::ISO_2022_JP);
    assert_eq!(utf8(&encode("日本x", encoding).unwrap(), encoding, 3), "日本x".as_bytes());
}

proptest! {
    #[test]
    fn any_text_survives_utf16(text in "\\PC{0,200}", piece in 1usize..50, big in any::<bool>()) {
        let encoding = if big { Encoding::Utf16Be } else { Encoding::Utf16Le };
        let bytes = encode(&text, encoding).unwrap();
        prop_assert_eq!(utf8(&bytes, encoding, piece), text.as_bytes());
    }

    #[test]
    fn any_bytes_in_any_pieces_read_alike(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1usize..9) {
        for encoding in [Encoding::Utf16Le, Encoding::Utf16Be, Encoding::Latin1, Encoding::Other(encoding_rs::SHIFT_JIS)] {
            prop_assert_eq!(utf8(&bytes, encoding, piece), utf8(&bytes, encoding, usize::MAX));
        }
    }
}
