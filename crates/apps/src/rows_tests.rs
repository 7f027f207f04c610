use super::*;
use proptest::prelude::*;

/// Gives its bytes in pieces of one size, as a pipe may.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.len().min(self.1).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

type Plain = (Vec<u8>, Vec<Vec<u8>>, Option<Fault>);

fn rows(bytes: &[u8], piece: usize) -> Vec<Plain> {
    let mut input = Pieces(bytes, piece);
    let mut reader = RowReader::new(&mut input, None, &|| false);
    let mut all = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        let cells = (0..row.len()).map(|i| row.cell(i).into_owned()).collect();
        all.push((row.whole().to_vec(), cells, row.fault));
    }
    all
}

fn cells(bytes: &str) -> Vec<Vec<String>> {
    rows(bytes.as_bytes(), 3)
        .into_iter()
        .map(|(_, cells, _)| cells.into_iter().map(|c| String::from_utf8(c).unwrap()).collect())
        .collect()
}

#[test]
fn quotes_line_ends_and_empty_cells() {
    assert_eq!(cells("a\rb\r\r\n"), [vec!["a"], vec!["b"], vec![""]]);
    assert_eq!(
        cells("a,b\r\n\"x,\"\"y\"\"\n\",\n\n,"),
        [vec!["a", "b"], vec!["x,\"y\"\n", ""], vec![""], vec!["", ""]]
    );
    assert_eq!(cells("\u{feff}a\n\"b\"c\"d\n"), [vec!["a"], vec!["bc\"d"]]);
    assert!(cells("").is_empty());
}

#[test]
fn faults_are_named_and_the_bytes_kept() {
    let all = rows(b"a,b\n1,\"open\n2,3\n", 4);
    assert_eq!(all[1].2, Some(Fault::UnclosedQuote));
    assert_eq!(all[1].0, b"1,\"open\n2,3\n");
    assert_eq!(all.len(), 2);
}

#[test]
fn a_row_that_is_too_long_is_followed_to_its_end_in_bounded_memory() {
    let mut text = b"a,b\n1,".to_vec();
    text.extend(std::iter::repeat_n(b'x', 40 * FIELD_MAX_BYTES));
    text.extend(b",2\n3,4\n");
    let mut input = &text[..];
    let mut reader = RowReader::new(&mut input, None, &|| false);
    reader.next_row().unwrap();
    let row = reader.next_row().unwrap().unwrap();
    assert_eq!((row.fault, row.number, row.whole().len()), (Some(Fault::TooLong), 2, KEPT_BYTES));
    assert!(row.whole().starts_with(b"1,xxx"));
    let row = reader.next_row().unwrap().unwrap();
    assert_eq!((row.whole(), row.number, row.fault), (&b"3,4\n"[..], 3, None));
    assert!(reader.next_row().unwrap().is_none());
    assert!(reader.buffer.len() <= ROW_MAX_BYTES + 4 * READ_BYTES);
}

#[test]
fn a_cell_at_the_limit_passes_and_one_byte_more_does_not() {
    for (length, fault) in [(FIELD_MAX_BYTES, None), (FIELD_MAX_BYTES + 1, Some(Fault::TooLong))] {
        let text = format!("a\n{}\nnext\n", "y".repeat(length));
        let all = rows(text.as_bytes(), usize::MAX);
        assert_eq!(all[1].2, fault, "{length}");
        assert_eq!(all[2].0, b"next\n");
    }
}

#[test]
fn cancelling_ends_the_reading() {
    let mut input = &b"a\n1\n"[..];
    let mut reader = RowReader::new(&mut input, None, &|| true);
    assert_eq!(reader.next_row().unwrap_err().kind(), ErrorKind::Cancelled);
}

proptest! {
    #[test]
    fn the_rows_are_the_input(bytes in proptest::collection::vec(prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), Just(b'x'), any::<u8>()], 0..200), piece in 1usize..9) {
        let all = rows(&bytes, piece);
        let joined: Vec<u8> = all.iter().flat_map(|(row, _, _)| row.clone()).collect();
        prop_assert_eq!(joined, bytes.clone());
        prop_assert_eq!(all, rows(&bytes, usize::MAX));
    }

    #[test]
    fn it_reads_what_the_csv_crate_reads(text in "[a,\"\n\r]{0,60}") {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let theirs: Vec<Vec<Vec<u8>>> = reader.byte_records().map(|r| r.unwrap().iter().map(<[u8]>::to_vec).collect()).collect();
        let rows = rows(text.as_bytes(), 5);
        let ours: Vec<Vec<Vec<u8>>> = rows.into_iter().filter(|(row, ..)| !row.iter().all(|b| matches!(b, b'\r' | b'\n'))).map(|(_, cells, _)| cells).collect();
        prop_assert_eq!(ours, theirs);
    }
}
