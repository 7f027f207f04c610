//! Agreement with Python's `csv` module, on tables made of everything that matters, in many dialects.
//!
//! What differs on purpose, and is left out here: a comment mark, which Python does not have, and an escape character
//! as the very last one of the input, of which Python makes a line feed and we nothing.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, reason = "tests")]

use handover_records::csv::Reader;
use handover_records::{Dialect, LineEnd};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const SCRIPT: &str = r#"
import csv, io, json, sys
csv.field_size_limit(2**31 - 1)
for line in sys.stdin:
    case = json.loads(line)
    options = dict(delimiter=case["delimiter"], doublequote=case["double"], skipinitialspace=case["skip"])
    options["escapechar"] = case["escape"]
    if case["quote"] is None:
        options["quoting"] = csv.QUOTE_NONE
    else:
        options["quotechar"] = case["quote"]
    text = case["text"]
    if text.startswith("\ufeff"):
        text = text[1:]
    print(json.dumps([row for row in csv.reader(io.StringIO(text, newline=""), **options) if row]))
"#;

/// A small generator, the same at each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 0
    }
}

fn dialect(random: &mut Random) -> Dialect {
    let quote = if random.below(4) == 0 { None } else { Some([b'"', b'\''][random.below(2)]) };
    Dialect {
        delimiter: [b',', b';', b'\t', b'|'][random.below(4)],
        quote,
        double_quote: random.yes(),
        escape: random.yes().then_some(b'\\'),
        skip_initial_space: random.below(3) == 0,
        line_terminator: LineEnd::Lf,
        ..Dialect::default()
    }
}

fn text(random: &mut Random, dialect: &Dialect) -> String {
    let pieces = [
        char::from(dialect.delimiter).to_string(),
        dialect.quote.map_or("\"".to_owned(), |quote| char::from(quote).to_string()),
        "\n".to_owned(),
        "\r\n".to_owned(),
        "\r".to_owned(),
        "\\".to_owned(),
        " ".to_owned(),
        "é".to_owned(),
        "word".to_owned(),
        "7".to_owned(),
    ];
    let mut text = if random.below(10) == 0 { "\u{feff}".to_owned() } else { String::new() };
    for _ in 0..random.below(60) {
        text.push_str(&pieces[random.below(pieces.len())]);
    }
    // A last escape character has nothing to make literal.
    text.push('z');
    text
}

fn ours(text: &str, dialect: &Dialect) -> Value {
    let mut reader = Reader::new(text.as_bytes(), dialect);
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        if !row.is_blank() {
            rows.push(
                row.cells().map(|cell| String::from_utf8(cell.into_owned()).unwrap()).collect::<Vec<_>>(),
            );
        }
    }
    json!(rows)
}

#[test]
fn tables_read_as_python_reads_them() {
    let spawned =
        Command::new("python3").args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut python = match spawned {
        Ok(python) => python,
        Err(error) => {
            println!(
                "skipped: python3 cannot be started ({error}), so nothing was compared with its csv module"
            );
            return;
        }
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let cases: Vec<(Dialect, String)> = (0..6_000)
        .map(|_| {
            let dialect = dialect(&mut random);
            let text = text(&mut random, &dialect);
            (dialect, text)
        })
        .collect();
    let character = |byte: Option<u8>| byte.map(|byte| char::from(byte).to_string());
    let lines: String = cases
        .iter()
        .map(|(dialect, text)| {
            let case = json!({
                "text": text, "delimiter": character(Some(dialect.delimiter)), "quote": character(dialect.quote),
                "double": dialect.double_quote, "escape": character(dialect.escape), "skip": dialect.skip_initial_space,
            });
            format!("{case}\n")
        })
        .collect();
    let mut stdin = python.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), cases.len());
    for ((dialect, text), answer) in cases.iter().zip(answers.lines()) {
        let theirs: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(ours(text, dialect), theirs, "{text:?} in {dialect:?}");
    }
}
