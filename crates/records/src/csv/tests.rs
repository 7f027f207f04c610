//! The reader by its own rules, and against the `csv` crate.

use super::kernel::Level;
use super::*;
use crate::dialect::{Dialect, LineEnd};
use handover_core::ErrorKind;
use proptest::prelude::*;
use std::io::Read;

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

#[derive(Debug, Clone, PartialEq)]
struct Plain {
    whole: Vec<u8>,
    cells: Vec<Vec<u8>>,
    number: u64,
    blank: bool,
    fault: Option<Fault>,
}

fn plain(row: &RowRef<'_>) -> Plain {
    let cells: Vec<Vec<u8>> = (0..row.len()).map(|i| row.cell(i).into_owned()).collect();
    assert_eq!(cells, row.cells().map(std::borrow::Cow::into_owned).collect::<Vec<_>>());
    assert_eq!([row.content(), row.line_end()].concat(), row.whole());
    if !row.is_empty() && !row.lost_bytes() {
        assert_eq!(row.raw_before(row.len()), row.content());
        assert!(row.content().ends_with(row.raw_from(0)));
    }
    Plain {
        whole: row.whole().to_vec(),
        cells,
        number: row.number(),
        blank: row.is_blank(),
        fault: row.fault(),
    }
}

fn read(bytes: &[u8], dialect: &Dialect, piece: usize, block: usize, level: Level) -> Vec<Plain> {
    let mut reader = Reader::with_level(Pieces(bytes, piece), dialect, level).block_bytes(block);
    let mut batch = Batch::default();
    let mut all = Vec::new();
    while reader.fill(&mut batch).unwrap() {
        assert_eq!(batch.rows().len(), batch.len());
        all.extend(batch.rows().map(|row| plain(&row)));
    }
    assert!(!reader.fill(&mut batch).unwrap());
    all
}

fn rows(bytes: &[u8], piece: usize) -> Vec<Plain> {
    read(bytes, &Dialect::default(), piece, BLOCK_BYTES, Level::best())
}

fn cells(text: &str) -> Vec<Vec<String>> {
    cells_of(text, &Dialect::default())
}

fn cells_of(text: &str, dialect: &Dialect) -> Vec<Vec<String>> {
    read(text.as_bytes(), dialect, 3, 64, Level::best())
        .into_iter()
        .map(|row| row.cells.into_iter().map(|cell| String::from_utf8(cell).unwrap()).collect())
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
    assert_eq!(cells("a\"b\",c\n"), [vec!["a\"b\"", "c"]]);
    assert!(cells("").is_empty());
}

#[test]
fn other_dialects() {
    let semicolon = Dialect { delimiter: b';', quote: Some(b'\''), ..Dialect::default() };
    assert_eq!(cells_of("a;'b;''c'\n", &semicolon), [vec!["a", "b;'c"]]);
    let none = Dialect { quote: None, escape: Some(b'\\'), ..Dialect::default() };
    assert_eq!(cells_of("\"a\\,b\",c\\\nd\n", &none), [vec!["\"a,b\"", "c\nd"]]);
    let escape = Dialect { escape: Some(b'\\'), double_quote: false, ..Dialect::default() };
    assert_eq!(cells_of("\"a\\\"b,\",c\n\"x\"\"y\n", &escape), [vec!["a\"b,", "c"], vec!["x\"y"]]);
    let comment = Dialect { comment: Some(b'#'), ..Dialect::default() };
    let all = read(b"#x,\"\n#\na,#b\n\n#", &comment, 2, 64, Level::best());
    let blank: Vec<(bool, u64)> = all.iter().map(|row| (row.blank, row.number)).collect();
    assert_eq!(blank, [(true, 0), (true, 0), (false, 1), (true, 1), (true, 1)]);
    let space = Dialect { skip_initial_space: true, ..Dialect::default() };
    assert_eq!(cells_of("a,  \"b, c\" ,  d\n", &space), [vec!["a", "b, c ", "d"]]);
    let end = Dialect { line_terminator: LineEnd::Byte(b'|'), ..Dialect::default() };
    assert_eq!(cells_of("a,b\r\n|c|", &end), [vec!["a", "b\r\n"], vec!["c"]]);
    assert_eq!(cells_of("a\tb,c\n", &Dialect::tsv()), [vec!["a", "b,c"]]);
}

#[test]
fn faults_are_named_and_the_bytes_kept() {
    let all = rows(b"a,b\n1,\"open\n2,3\n", 4);
    assert_eq!(all[1].fault, Some(Fault::UnclosedQuote));
    assert_eq!(all[1].whole, b"1,\"open\n2,3\n");
    assert_eq!(all.len(), 2);
    let all = rows(b"a\n\xff,x\n\0\nb\n", 4);
    let faults: Vec<_> = all.iter().map(|row| row.fault).collect();
    assert_eq!(faults, [None, Some(Fault::NotUtf8), Some(Fault::Nul), None]);
    assert_eq!(all[1].cells, [&b"\xff"[..], b"x"]);
}

#[test]
fn the_header_by_itself_and_the_rest_in_batches() {
    let mut reader = Reader::new(&b"\na,b\n1,2\n3,4\n"[..], &Dialect::default());
    assert!(reader.next_row().unwrap().unwrap().is_empty());
    let header = reader.next_row().unwrap().unwrap();
    assert_eq!((header.number(), header.whole()), (1, &b"a,b\n"[..]));
    let mut batch = Batch::default();
    assert!(reader.fill(&mut batch).unwrap());
    assert_eq!((batch.len(), batch.records(), batch.bytes()), (2, 2, &b"1,2\n3,4\n"[..]));
    assert_eq!(batch.rows().map(|row| row.number()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(batch.row(1).unwrap().raw_cell(1), b"4");
    assert!(batch.row(2).is_none() && !batch.has_faults());
    assert!(!reader.fill(&mut batch).unwrap());
    assert!(reader.next_row().unwrap().is_none());
}

#[test]
fn a_batch_can_go_to_another_thread() {
    let mut reader = Reader::new(&b"a\nb\n"[..], &Dialect::default());
    let mut batch = Batch::default();
    reader.fill(&mut batch).unwrap();
    let rows = std::thread::spawn(move || batch.len()).join().unwrap();
    assert_eq!(rows, 2);
}

#[test]
fn a_row_that_is_too_long_is_followed_to_its_end_in_bounded_memory() {
    let mut text = b"a,b\n1,".to_vec();
    text.extend(std::iter::repeat_n(b'x', 40 * FIELD_MAX_BYTES));
    text.extend(b",2\n3,4\n");
    for open in [false, true] {
        let mut reader = Reader::new(&text[..], &Dialect::default());
        reader.next_row().unwrap();
        let row = reader.next_row().unwrap().unwrap();
        let fault = if open { Fault::UnclosedQuote } else { Fault::TooLong };
        assert_eq!((row.fault(), row.number(), row.whole().len()), (Some(fault), 2, KEPT_BYTES));
        assert!(row.lost_bytes());
        assert_eq!(row.len(), 0);
        if !open {
            let row = reader.next_row().unwrap().unwrap();
            assert_eq!((row.whole(), row.number(), row.fault()), (&b"3,4\n"[..], 3, None));
        }
        assert!(reader.next_row().unwrap().is_none());
        // The same with a quote that swallows the rest.
        text[6] = b'"';
    }
}

#[test]
fn a_batch_that_once_was_large_does_not_stay_so() {
    let mut text = vec![b'x'; 8 * BLOCK_BYTES];
    text.push(b'\n');
    text[BLOCK_BYTES..].iter_mut().step_by(1000).for_each(|byte| *byte = b',');
    text.extend(b"a\n".repeat(3 * BLOCK_BYTES));
    let mut reader = Reader::new(&text[..], &Dialect::default());
    let mut batch = Batch::default();
    reader.fill(&mut batch).unwrap();
    assert!(batch.bytes().len() > 8 * BLOCK_BYTES);
    while reader.fill(&mut batch).unwrap() {
        assert!(batch.bytes.len() <= 2 * BLOCK_BYTES);
    }
}

#[test]
fn a_row_of_nothing_but_cells_is_followed_too() {
    let mut text = vec![b','; ROW_MAX_BYTES + 2];
    text.extend(b"\nnext\n");
    let all = rows(&text, usize::MAX);
    assert_eq!((all[0].fault, all.len()), (Some(Fault::TooLong), 2));
    assert_eq!(all[1].whole, b"next\n");
}

#[test]
fn a_cell_at_the_limit_passes_and_one_byte_more_does_not() {
    for line_end in ["\n", "\r\n", "\r"] {
        for (length, fault) in [(FIELD_MAX_BYTES, None), (FIELD_MAX_BYTES + 1, Some(Fault::TooLong))] {
            for before in ["", "\u{feff}", "x,"] {
                let text = format!("a{line_end}{before}{}{line_end}next\n", "y".repeat(length));
                let text = if before == "\u{feff}" { text[1 + line_end.len()..].to_owned() } else { text };
                for piece in [usize::MAX, 100_000] {
                    let all = rows(text.as_bytes(), piece);
                    let at = all.len() - 2;
                    assert_eq!(all[at].fault, fault, "{length} {line_end:?} {before:?}");
                    assert_eq!(all[at + 1].whole, b"next\n");
                }
            }
        }
    }
}

#[test]
fn an_input_that_fails_fails_the_reading() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied))
        }
    }
    let error = Reader::new(Broken, &Dialect::default()).next_row().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

/// Bytes rich in what matters.
fn rich() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => Just(b','), 3 => Just(b'"'), 2 => Just(b'\n'), 1 => Just(b'\r'), 1 => Just(b'\\'), 1 => Just(b'#'),
        1 => Just(b' '), 6 => Just(b'x'), 1 => any::<u8>(),
    ];
    proptest::collection::vec(byte, 0..400)
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(quote, double, escape, comment, space, end)| Dialect {
            quote: quote.then_some(b'"'),
            double_quote: double,
            escape: escape.then_some(b'\\'),
            comment: comment.then_some(b'#'),
            skip_initial_space: space,
            line_terminator: if end { LineEnd::Byte(b'x') } else { LineEnd::Lf },
            ..Dialect::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_rows_are_the_input_in_any_pieces_and_blocks(
        bytes in rich(), dialect in any_dialect(), piece in 1usize..90, block in 64usize..300,
    ) {
        let all = read(&bytes, &dialect, piece, block, Level::best());
        let joined: Vec<u8> = all.iter().flat_map(|row| row.whole.clone()).collect();
        prop_assert_eq!(joined, bytes.clone());
        prop_assert_eq!(&all, &read(&bytes, &dialect, usize::MAX, BLOCK_BYTES, Level::best()));
    }

    #[test]
    fn every_kernel_finds_the_same(bytes in rich(), dialect in any_dialect()) {
        let portable = read(&bytes, &dialect, usize::MAX, BLOCK_BYTES, Level::Portable);
        for level in Level::all() {
            prop_assert_eq!(&portable, &read(&bytes, &dialect, usize::MAX, BLOCK_BYTES, *level));
        }
    }

    #[test]
    fn bit_arithmetic_and_the_exact_machine_agree(bytes in rich(), double in any::<bool>()) {
        let fast = Dialect { double_quote: double, ..Dialect::default() };
        // A comment mark sends every block that holds one through the exact machine; where none stands at the start of
        // a row, nothing else changes.
        let bytes: Vec<u8> = bytes.iter().map(|byte| if *byte == b' ' { b'y' } else { *byte }).collect();
        let exact = Dialect { comment: Some(b'y'), ..fast.clone() };
        let (fast, exact) = (
            read(&bytes, &fast, usize::MAX, BLOCK_BYTES, Level::best()),
            read(&bytes, &exact, usize::MAX, BLOCK_BYTES, Level::best()),
        );
        if bytes.first() != Some(&b'y') && !bytes.windows(2).any(|two| matches!(two, [b'\r' | b'\n', b'y'])) {
            prop_assert_eq!(fast, exact);
        }
    }

    #[test]
    fn it_reads_what_the_csv_crate_reads(text in "[a,\"\n\r]{0,90}") {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let theirs: Vec<Vec<Vec<u8>>> =
            reader.byte_records().map(|r| r.unwrap().iter().map(<[u8]>::to_vec).collect()).collect();
        let ours: Vec<Vec<Vec<u8>>> =
            rows(text.as_bytes(), 5).into_iter().filter(|row| !row.blank).map(|row| row.cells).collect();
        prop_assert_eq!(ours, theirs);
    }
}

fn cell() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a,;\"'\n\r #|x\\\\]{0,6}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..6),
        Just(b"\xef\xbb\xbfmark".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_was_written_is_read_again(
        table in proptest::collection::vec(proptest::collection::vec(cell(), 1..5), 0..8),
        dialect in any_dialect(), delimiter in prop_oneof![Just(b','), Just(b';'), Just(b'\t')],
        end in prop_oneof![Just(LineEnd::Lf), Just(LineEnd::CrLf), Just(LineEnd::Cr), Just(LineEnd::Byte(b'|'))],
        all in any::<bool>(),
    ) {
        let dialect = Dialect { delimiter, line_terminator: end, ..dialect };
        let quoting = if all { Quoting::All } else { Quoting::Minimal };
        let mut writer = Writer::with_quoting(Vec::new(), &dialect, quoting);
        let mut written = Vec::new();
        for row in &table {
            // A row that the dialect cannot express is refused, and leaves nothing behind.
            if writer.row(row).is_ok() {
                written.push(row.clone());
            } else {
                prop_assert!(dialect.quote.is_none() || (!dialect.double_quote && dialect.escape.is_none()));
            }
        }
        let bytes = writer.finish().unwrap();
        let again: Vec<Vec<Vec<u8>>> = read(&bytes, &dialect, 7, 64, Level::best()).into_iter()
            .filter(|row| !row.blank).map(|row| row.cells).collect();
        prop_assert_eq!(again, written, "{:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn what_a_batch_held_before_is_no_part_of_what_it_holds_now() {
    // A CR that ends the input, with an LF of the rows before behind it.
    let mut batch = Batch::default();
    Reader::new(&b"a\n\n\n"[..], &Dialect::default()).fill(&mut batch).unwrap();
    Reader::new(&b"b\r"[..], &Dialect::default()).fill(&mut batch).unwrap();
    assert_eq!(batch.bytes(), b"b\r");
    assert_eq!(batch.row(0).unwrap().line_end(), b"\r");
}
