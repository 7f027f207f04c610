//! Counting against reading.

use super::*;
use crate::dialect::LineEnd;
use proptest::prelude::*;

fn count(format: Format, dialect: &Dialect, text: &[u8], chunk: usize) -> Option<u64> {
    let mut counter = RowCounter::new(format, dialect);
    text.chunks(chunk.max(1)).for_each(|bytes| counter.push(bytes));
    counter.finish()
}

fn read(dialect: &Dialect, text: &[u8]) -> u64 {
    let mut reader = crate::csv::Reader::new(text, dialect);
    let mut rows: u64 = 0;
    while let Some(row) = reader.next_row().unwrap() {
        rows += u64::from(!row.is_blank());
    }
    rows.saturating_sub(u64::from(dialect.header))
}

#[test]
fn csv_records_are_counted_as_they_are_read() {
    for (text, expected) in [
        ("", 0),
        ("h", 0),
        ("h\n", 0),
        ("\u{feff}", 0),
        ("\u{feff}\"h\nh\"\n1\n", 1),
        ("h\n1\n2", 2),
        ("h\r\n1\r\n\r\n\n2\r\n", 2),
        ("h\r1\r2", 2),
        ("h,i\n\"a\nb\",\"c\"\"\nd\"\n1,2\n", 2),
        ("h\na\"b\nc\"d\n", 2),
        ("h\n\"a\"b\n\"c\n", 2),
        ("h\n\"\"\n \n", 2),
    ] {
        for chunk in 1..5 {
            let counted = count(Format::Csv, &Dialect::default(), text.as_bytes(), chunk);
            assert_eq!(counted, Some(expected), "{text:?} by {chunk}");
        }
    }
    let comments = Dialect { comment: Some(b'#'), header: false, ..Dialect::default() };
    assert_eq!(count(Format::Csv, &comments, b"#a\n1\n#\"\n\n2\n#b", 2), Some(2));
}

#[test]
fn lines_arrays_and_what_has_no_rows() {
    let dialect = Dialect::default();
    assert_eq!(count(Format::Ndjson, &dialect, b"{}\n\n \r\n{}\r\n{}", 2), Some(3));
    assert_eq!(count(Format::Json, &dialect, b"[1, [2, 3], \",\"]", 2), Some(3));
    assert_eq!(count(Format::Json, &dialect, b"{}", 2), None);
    for chunk in 1..5 {
        assert_eq!(count(Format::Ndjson, &dialect, b"\xef\xbb\xbf\n1", chunk), Some(1));
        assert_eq!(count(Format::Json, &dialect, b"\xef\xbb\xbf[1]", chunk), Some(1));
        assert_eq!(count(Format::Json, &dialect, b" \xef\xbb\xbf[1]", chunk), None);
        assert_eq!(count(Format::Ndjson, &dialect, b"\xef\xbb", chunk), Some(1));
    }
    assert!(RowCounter::for_ext("CSV").is_some());
    for ext in ["csv.gz", "txt", "", "parquet"] {
        assert!(RowCounter::for_ext(ext).is_none(), "{ext}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_csv_in_any_chunks_counts_as_it_is_read(
        text in "(\u{feff})?[a,\"\r\n\t #\\\\]{0,200}", chunk in 1usize..90, header in any::<bool>(),
        (comment, escape, end) in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let dialect = Dialect {
            header,
            comment: comment.then_some(b'#'),
            escape: escape.then_some(b'\\'),
            line_terminator: if end { LineEnd::Byte(b'a') } else { LineEnd::Lf },
            ..Dialect::default()
        };
        for level in Level::all() {
            let mut counter = RowCounter::with_level(Format::Csv, &dialect, *level);
            text.as_bytes().chunks(chunk).for_each(|bytes| counter.push(bytes));
            prop_assert_eq!(counter.finish(), Some(read(&dialect, text.as_bytes())));
        }
    }

    #[test]
    fn any_bytes_in_any_chunks_count_alike(bytes in proptest::collection::vec(any::<u8>(), 0..60), chunk in 1usize..9) {
        for format in [Format::Csv, Format::Ndjson, Format::Json] {
            let dialect = Dialect::default();
            prop_assert_eq!(count(format, &dialect, &bytes, chunk), count(format, &dialect, &bytes, 100));
        }
    }
}
