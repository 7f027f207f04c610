//! The scanner, the counter and the sniffing of dialects on mutated tables: nothing panics, nothing is lost, and how the
//! bytes come changes nothing.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, reason = "tests")]

mod mutate;

use handover_records::csv::{Batch, CellWriter, Quoting, Reader};
use handover_records::encoding::Utf8Input;
use handover_records::{Dialect, Encoding, Format, LineEnd, RowCounter};
use mutate::{Dribble, Random, inputs};
use std::io::Read;

const INTERESTING: &[u8] = b",,\"\"\n\n\r;\t'\\# \0\xef\xbb\xbf\xff";

fn dialect(random: &mut Random) -> Dialect {
    let mut yes = |of: usize| random.below(of) == 0;
    Dialect {
        delimiter: if yes(3) { b';' } else { b',' },
        quote: if yes(5) { None } else { Some(b'"') },
        double_quote: !yes(4),
        escape: yes(4).then_some(b'\\'),
        header: yes(2),
        comment: yes(4).then_some(b'#'),
        skip_initial_space: yes(5),
        line_terminator: if yes(8) { LineEnd::Byte(b'x') } else { LineEnd::Lf },
        ..Dialect::default()
    }
}

#[test]
fn any_table_is_read_whole_and_alike() {
    inputs("csv", INTERESTING, |bytes, random| {
        let dialect = dialect(random);
        let mut whole = Reader::new(bytes, &dialect);
        let (piece, block) = (1 + random.below(100), 64 + random.below(200));
        let mut pieces = Reader::new(Dribble(bytes, piece), &dialect).block_bytes(block);
        let mut batch = Batch::default();
        let (mut joined, mut records) = (Vec::new(), 0u64);
        while pieces.fill(&mut batch).unwrap() {
            for row in batch.rows() {
                let other = whole.next_row().unwrap().unwrap();
                assert_eq!(
                    (row.whole(), row.number(), row.fault()),
                    (other.whole(), other.number(), other.fault())
                );
                assert!(row.cells().eq(other.cells()));
                assert_eq!(row.raw_before(row.len()).len() + row.line_end().len(), row.whole().len());
                let _ = (row.cell(row.len()), row.raw_from(row.len()), row.cell_not_utf8());
                joined.extend_from_slice(row.whole());
                records += u64::from(!row.is_blank());
            }
        }
        assert!(whole.next_row().unwrap().is_none());
        assert_eq!(joined, bytes);
        let mut counter = RowCounter::new(Format::Csv, &dialect);
        bytes.chunks(piece).for_each(|chunk| counter.push(chunk));
        assert_eq!(counter.finish(), Some(records.saturating_sub(u64::from(dialect.header))));
    });
}

#[test]
fn any_rows_are_written_so_that_they_are_read_again() {
    inputs("csv", INTERESTING, |bytes, random| {
        let (from, to) = (dialect(random), dialect(random));
        let writer = CellWriter::new(&to, Quoting::Minimal);
        let mut reader = Reader::new(bytes, &from);
        let (mut written, mut rows) = (Vec::new(), Vec::new());
        while let Some(row) = reader.next_row().unwrap() {
            let cells: Vec<Vec<u8>> = row.cells().map(std::borrow::Cow::into_owned).collect();
            if writer.push_row(&mut written, &cells).is_ok() {
                rows.push(cells);
            }
        }
        let mut again = Reader::new(&written[..], &to);
        for cells in rows {
            let row = again.next_row().unwrap().unwrap();
            assert!(row.cells().eq(cells.iter().map(|cell| std::borrow::Cow::from(&cell[..]))), "{cells:?}");
        }
        assert!(again.next_row().unwrap().is_none());
    });
}

#[test]
fn any_beginning_is_sniffed_and_any_encoding_read() {
    inputs("csv", INTERESTING, |bytes, random| {
        let dialect = Dialect::sniff(bytes).checked().unwrap();
        let mut text = Vec::new();
        Utf8Input::new(Dribble(bytes, 1 + random.below(9)), dialect.encoding).read_to_end(&mut text).unwrap();
        let name = ["utf-16le", "utf-16be", "latin1", "shift_jis", "gb18030"][random.below(5)];
        let encoding = Encoding::named(name).unwrap();
        let mut text = Vec::new();
        Utf8Input::new(bytes, encoding).read_to_end(&mut text).unwrap();
        let mut again = Vec::new();
        Utf8Input::new(Dribble(bytes, 1 + random.below(9)), encoding).read_to_end(&mut again).unwrap();
        assert_eq!(text, again);
    });
}

#[test]
fn any_text_is_a_dialect_or_refused() {
    let seed = br#"{"delimiter":";","quoteChar":null,"line_terminator":"\r\n","encoding":"utf-16"}"#;
    inputs("csv", INTERESTING, |bytes, random| {
        let mut text = seed.to_vec();
        for byte in bytes.iter().take(4) {
            let at = random.below(text.len());
            text[at] = *byte;
        }
        if let Ok(dialect) = serde_json::from_slice::<Dialect>(&text) {
            let again = serde_json::to_string(&dialect).unwrap();
            assert_eq!(serde_json::from_str::<Dialect>(&again).unwrap(), dialect);
        }
    });
}
