//! Records read, checked and written.

use super::*;
use handover_core::ErrorKind;
use handover_core::limits::{JSON_DEPTH_MAX, ROW_MAX_BYTES};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Read;

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

type Plain = (Vec<u8>, u64, Option<Fault>);

/// The records, and the error that ended the reading if one did.
fn read(bytes: &[u8], shape: Shape, piece: usize, block: usize) -> (Vec<Plain>, Option<String>) {
    let mut reader = Reader::new(Pieces(bytes, piece), shape).block_bytes(block);
    let mut batch = Batch::default();
    let mut all = Vec::new();
    loop {
        match reader.fill(&mut batch) {
            Err(error) => return (all, Some(error.to_string())),
            Ok(false) => return (all, None),
            Ok(true) => all.extend(batch.records().map(|r| (r.raw().to_vec(), r.number(), r.fault()))),
        }
    }
}

fn raws(text: &str, shape: Shape) -> Vec<String> {
    let (records, error) = read(text.as_bytes(), shape, 3, 64);
    assert_eq!(error, None, "{text}");
    records.into_iter().map(|(raw, ..)| String::from_utf8(raw).unwrap()).collect()
}

#[test]
fn lines_and_elements() {
    assert_eq!(raws("\u{feff}{\"a\":1}\r\n\n  \n [2] \n\"x\"", Shape::Lines), ["{\"a\":1}", "[2]", "\"x\""]);
    assert!(raws("", Shape::Lines).is_empty());
    assert_eq!(
        raws(
            "\u{feff} [ {\"a\": [1,2], \"b\": \"],\\\"\"} ,\n 12345678901234567890.5,\"\\\\\", [] ] \n",
            Shape::Array
        ),
        ["{\"a\": [1,2], \"b\": \"],\\\"\"}", "12345678901234567890.5", "\"\\\\\"", "[]"]
    );
    assert!(raws(" [ ]", Shape::Array).is_empty());
    // An element that is missing is a record that is no JSON.
    assert_eq!(raws("[1,,2,]", Shape::Array), ["1", "", "2", ""]);
    assert_eq!(raws("[1}, 2]", Shape::Array), ["1}", "2"]);
}

#[test]
fn what_is_no_array_says_so_after_its_records() {
    for (text, count, why) in [
        ("", 0, "empty"),
        ("{\"a\":1}", 0, "no JSON array"),
        ("[1, 2", 1, "not closed"),
        ("[\"a", 0, "not closed"),
        ("[1] 2", 1, "something follows"),
    ] {
        let (records, error) = read(text.as_bytes(), Shape::Array, 2, 64);
        assert_eq!(records.len(), count, "{text}");
        assert!(error.as_deref().unwrap_or_default().contains(why), "{text}: {error:?}");
    }
}

#[test]
fn faults_of_one_record_are_its_own() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let names: String = (0..100).map(|i| format!("\"k{i}\":1,")).collect();
    for (text, fault) in [
        ("{\"a\":1}".to_owned(), None),
        ("{\"a\":{\"b\":1},\"b\":2}".to_owned(), None),
        ("{'a':1}".to_owned(), Some(Fault::NotJson)),
        ("".to_owned(), Some(Fault::NotJson)),
        ("{} {}".to_owned(), Some(Fault::NotJson)),
        ("1e999".to_owned(), Some(Fault::NotJson)),
        ("\"a\0\"".to_owned(), Some(Fault::NotJson)),
        ("{\"a\":1,\"a\":2}".to_owned(), Some(Fault::DuplicateKey)),
        ("{\"a\":1,\"\\u0061\":2}".to_owned(), Some(Fault::DuplicateKey)),
        ("[{\"x\":{\"a\":1,\"a\":2}}]".to_owned(), Some(Fault::DuplicateKey)),
        (format!("{{{names}\"z\":1}}"), None),
        (format!("{{{names}\"k50\":1}}"), Some(Fault::DuplicateKey)),
        (deep(JSON_DEPTH_MAX), None),
        (deep(JSON_DEPTH_MAX + 1), Some(Fault::TooDeep)),
        (deep(100_000), Some(Fault::TooDeep)),
    ] {
        let found = check(text.as_bytes()).err().map(|problem| problem.fault);
        assert_eq!(found, fault, "{}", &text[..text.len().min(60)]);
        assert_eq!(parse(text.as_bytes()).err().map(|problem| problem.fault), fault);
    }
    assert_eq!(check(b"\"\xff\"").unwrap_err().fault, Fault::NotUtf8);
    let problem = check(b"{\"id\":1,\"id\":2}").unwrap_err();
    assert!(
        problem.message.contains("\"id\" comes twice") && problem.message.contains("column"),
        "{problem}"
    );
    let problem = parse(b"{\"a\":}").unwrap_err();
    assert!(problem.message.starts_with("it is not JSON: expected value, at column 6"), "{problem}");
}

#[test]
fn a_bad_line_does_not_hurt_the_next() {
    let (records, error) = read(b"{\n\xff\n{}\n", Shape::Lines, 2, 64);
    assert_eq!(error, None);
    let faults: Vec<_> = records.iter().map(|(_, number, fault)| (*number, *fault)).collect();
    assert_eq!(faults, [(1, None), (2, Some(Fault::NotUtf8)), (3, None)]);
}

#[test]
fn fields_keep_their_values_bytes() {
    let raw = b" {\"n\": 0.10000000000000000000001, \"\\u00e9\": {\"x\" : [1, 2]}} ";
    let fields = fields(raw).unwrap().unwrap();
    let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, value.get())).collect();
    assert_eq!(pairs, [("n", "0.10000000000000000000001"), ("é", "{\"x\" : [1, 2]}")]);
    assert!(super::fields(b"[1]").unwrap().is_none());
    assert_eq!(super::fields(b"{\"a\":1,\"a\":2}").unwrap_err().fault, Fault::DuplicateKey);
    assert_eq!(super::fields(b"{\"a\":").unwrap_err().fault, Fault::NotJson);
}

#[test]
fn a_record_that_is_too_long_is_followed_to_its_end() {
    for shape in [Shape::Lines, Shape::Array] {
        let mut text = if shape == Shape::Array { b"[\n1,".to_vec() } else { b"1\n".to_vec() };
        text.push(b'"');
        text.extend(std::iter::repeat_n(b',', 2 * ROW_MAX_BYTES));
        text.push(b'"');
        text.extend(if shape == Shape::Array { b",[3]]".to_vec() } else { b"\n[3]\n".to_vec() });
        let (records, error) = read(&text, shape, 1_000_000, 256 * 1024);
        assert_eq!((records.len(), error), (3, None));
        assert_eq!((records[1].2, records[1].0.len()), (Some(Fault::TooLong), crate::csv::KEPT_BYTES));
        assert_eq!(records[2], (b"[3]".to_vec(), 3, None));
    }
}

#[test]
fn one_by_one_and_in_batches() {
    let mut reader = Reader::new(&b"1\n2\n3\n"[..], Shape::Lines);
    assert_eq!(reader.next_record().unwrap().unwrap().raw(), b"1");
    let mut batch = Batch::default();
    assert!(reader.fill(&mut batch).unwrap());
    assert_eq!(batch.len(), 2);
    assert_eq!(batch.record(0).unwrap().number(), 2);
    assert_eq!(batch.record(1).unwrap().parse().unwrap(), json!(3));
    assert!(!reader.fill(&mut batch).unwrap() && batch.is_empty());
    assert!(reader.next_record().unwrap().is_none());
}

#[test]
fn an_input_that_fails_fails_the_reading() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied))
        }
    }
    let error = Reader::new(Broken, Shape::Lines).next_record().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

fn write(shape: Shape, records: &[&[u8]]) -> String {
    let mut writer = Writer::new(Vec::new(), shape);
    records.iter().for_each(|record| writer.raw(record).unwrap());
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

#[test]
fn records_are_written_in_both_shapes() {
    assert_eq!(write(Shape::Lines, &[b"1", b"{\n\"a\": 1}"]), "1\n{ \"a\": 1}\n");
    assert_eq!(write(Shape::Array, &[b"1", b"2"]), "[\n1,\n2\n]\n");
    assert_eq!(write(Shape::Array, &[]), "[]\n");
    assert_eq!(write(Shape::Lines, &[]), "");
    let mut writer = Writer::new(Vec::new(), Shape::Lines);
    writer.value(&json!({"b": 1, "a": "\n"})).unwrap();
    writer
        .with(|buffer| {
            push_string(buffer, "x");
            Ok(())
        })
        .unwrap();
    assert_eq!(writer.finish().unwrap(), b"{\"b\":1,\"a\":\"\\n\"}\n\"x\"\n");
}

proptest! {
    #[test]
    fn a_string_is_written_as_serde_json_writes_it(text in "\\PC{0,20}[\0-\u{1f}\"\\\\a]{0,20}") {
        let mut ours = Vec::new();
        push_string(&mut ours, &text);
        let again: String = serde_json::from_slice(&ours).unwrap();
        prop_assert_eq!(again, text);
    }

    #[test]
    fn any_pieces_and_blocks_give_the_same_records(
        text in "[\\[\\]{},:\"\\\\a1 \n\r]{0,300}", piece in 1usize..90, block in 64usize..200, begun in any::<bool>(),
    ) {
        let text = if begun { format!("[{text}") } else { text };
        for shape in [Shape::Lines, Shape::Array] {
            let whole = read(text.as_bytes(), shape, usize::MAX, 1 << 20);
            prop_assert_eq!(read(text.as_bytes(), shape, piece, block), whole);
        }
    }

    #[test]
    fn what_was_written_is_read_again(
        texts in proptest::collection::vec("[a-c,\\[\\]{}\"\\\\\n é]{0,8}", 0..12), piece in 1usize..40,
    ) {
        let values: Vec<Value> = texts.iter().map(|text| json!({ text.as_str(): [text, 1.5, null, {"x": text}] })).collect();
        for shape in [Shape::Lines, Shape::Array] {
            let mut writer = Writer::new(Vec::new(), shape);
            values.iter().for_each(|value| writer.value(value).unwrap());
            let bytes = writer.finish().unwrap();
            let mut reader = Reader::new(Pieces(&bytes, piece), shape).block_bytes(64);
            let mut again = Vec::new();
            while let Some(record) = reader.next_record().unwrap() {
                again.push(record.parse().unwrap());
            }
            prop_assert_eq!(&again, &values);
        }
        let pretty = serde_json::to_vec_pretty(&values).unwrap();
        let (records, error) = read(&pretty, Shape::Array, piece, 64);
        prop_assert_eq!(error, None);
        let again: Vec<Value> = records.iter().map(|(raw, ..)| parse(raw).unwrap()).collect();
        prop_assert_eq!(again, values);
    }

    #[test]
    fn parsing_agrees_with_serde_json(text in "[\\[\\]{},:\"\\\\a1e.\\-+ tfn]{0,30}") {
        let theirs = serde_json::from_str::<Value>(&text);
        match (parse(text.as_bytes()), check(text.as_bytes())) {
            (Ok(ours), Ok(())) => prop_assert_eq!(ours, theirs.unwrap()),
            (Err(problem), Err(checked)) => {
                prop_assert_eq!(&problem, &checked);
                prop_assert!(theirs.is_err() || problem.fault == Fault::DuplicateKey);
            }
            (ours, checked) => prop_assert!(false, "{:?} {:?}", ours, checked),
        }
    }
}
