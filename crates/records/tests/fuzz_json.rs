//! The JSON readers and the decoders on mutated inputs: nothing panics, and how the bytes come changes nothing.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, reason = "tests")]

mod mutate;

use handover_records::compress::{ExpandLimits, Expanded};
use handover_records::json::{Batch, Fault, Reader, Shape, check, fields, parse};
use handover_records::{Compression, Dialect, Format, RowCounter, Sink};
use mutate::{Dribble, inputs};
use std::io::{Read, Write};

const INTERESTING: &[u8] = b"[]{},,:\"\"\\ \n\r\t01e-.\0\xff";

type Found = Vec<(Vec<u8>, u64, Option<Fault>)>;

fn read(input: impl Read, shape: Shape, block: usize) -> (Found, Option<String>) {
    let mut reader = Reader::new(input, shape).block_bytes(block);
    let mut batch = Batch::default();
    let mut found = Vec::new();
    loop {
        match reader.fill(&mut batch) {
            Ok(true) => found.extend(batch.records().map(|r| (r.raw().to_vec(), r.number(), r.fault()))),
            Ok(false) => return (found, None),
            Err(error) => return (found, Some(error.to_string())),
        }
    }
}

#[test]
fn any_input_is_read_alike_and_counted_so() {
    inputs("json", INTERESTING, |bytes, random| {
        for (shape, format) in [(Shape::Lines, Format::Ndjson), (Shape::Array, Format::Json)] {
            let (records, error) = read(bytes, shape, 1 << 20);
            let (piece, block) = (1 + random.below(90), 64 + random.below(100));
            assert_eq!(read(Dribble(bytes, piece), shape, block), (records.clone(), error.clone()));
            let mut counter = RowCounter::new(format, &Dialect::default());
            bytes.chunks(piece).for_each(|chunk| counter.push(chunk));
            if let Some(count) = counter.finish() {
                assert_eq!((records.len() as u64, error), (count, None), "{shape:?}");
            }
        }
    });
}

#[test]
fn any_record_is_read_or_its_fault_told() {
    inputs("json", INTERESTING, |bytes, _| {
        for line in bytes.split(|byte| *byte == b'\n').chain([bytes]) {
            let checked = check(line);
            match parse(line) {
                Ok(value) => {
                    assert_eq!(checked, Ok(()));
                    // What fields gives is what the value has.
                    let names = fields(line)
                        .unwrap()
                        .map(|fields| fields.iter().map(|(n, _)| n.to_string()).collect::<Vec<_>>());
                    assert_eq!(names, value.as_object().map(|object| object.keys().cloned().collect()));
                }
                Err(problem) => assert_eq!(checked, Err(problem)),
            }
        }
    });
}

#[test]
fn any_compressed_bytes_end() {
    inputs("json", INTERESTING, |bytes, random| {
        let compression = if random.below(2) == 0 { Compression::Gzip } else { Compression::Zstd };
        let mut sink = Sink::new(Vec::new(), compression, None).unwrap();
        sink.write_all(bytes).unwrap();
        let mut packed = sink.finish().unwrap();
        for _ in 0..random.below(4) {
            let at = random.below(packed.len());
            packed[at] = random.below(256) as u8;
        }
        packed.truncate(packed.len() - random.below(packed.len() / 2));
        let limits = ExpandLimits { max_bytes: 1 << 20, ..ExpandLimits::default() };
        let mut text = Vec::new();
        let _ = Expanded::new(&packed[..], Compression::of(&packed), limits)
            .and_then(|mut input| input.read_to_end(&mut text).map_err(handover_records::read_error));
        assert!(text.len() < 2 << 20);
    });
}
