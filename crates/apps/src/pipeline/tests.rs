use super::*;
use handover_core::ErrorKind;
use handover_records::{Dialect, InputOptions, Records, Watch, open_input};
use std::io::{self, Cursor};

/// Passes rows; those whose second cell is `bad` are rejected.
#[derive(Default)]
struct Pass {
    rows: u64,
    limit: Option<u64>,
    fail_at: Option<u64>,
    panic_at: Option<u64>,
}

impl Step for Pass {
    fn batch(&mut self, batch: &csv::Batch, out: &mut Vec<u8>, rejected: &mut Vec<u8>) -> Result<Flow> {
        for row in batch.rows() {
            self.rows += 1;
            if Some(self.rows) == self.fail_at {
                return Err(Error::internal("no more"));
            }
            assert!(Some(self.rows) != self.panic_at, "panicked as told");
            let into = if row.raw_cell(1) == b"bad" { &mut *rejected } else { &mut *out };
            into.extend_from_slice(row.whole());
            if Some(self.rows) == self.limit {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Go)
    }

    fn end(&mut self, out: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(b"end\n");
        Ok(())
    }
}

fn rows(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| format!("{i},{}\n", if i % 7 == 3 { "bad" } else { "x" }).into_bytes()).collect()
}

fn split(input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for line in input.split_inclusive(|b| *b == b'\n') {
        if line.ends_with(b"bad\n") { bad.extend(line) } else { good.extend(line) }
    }
    good.extend(b"end\n");
    (good, bad)
}

fn reader(input: &[u8]) -> csv::Reader<Cursor<&[u8]>> {
    csv::Reader::new(Cursor::new(input), &Dialect::default()).block_bytes(64)
}

/// Fails after so many bytes; one that may not be touched fails at once, flushing included.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.checked_sub(bytes.len()) {
            Some(left) => self.0 = left,
            None => return Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.0 == 0 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

#[test]
fn order_is_kept_in_inputs_of_any_size() {
    for count in [0, 1, 5, 6, 20, 30, 1000, 5000] {
        let input = rows(count);
        let (mut out, mut rejected) = (Vec::new(), Vec::new());
        run(reader(&input), &mut out, &mut rejected, &mut Pass::default()).unwrap();
        assert_eq!((out, rejected), split(&input), "{count}");
    }
}

#[test]
fn what_was_read_before_does_not_come_again() {
    let input = rows(100);
    let mut reader = reader(&input);
    assert_eq!(reader.next_row().unwrap().unwrap().whole(), b"0,x\n");
    let mut step = Pass::default();
    let mut out = Vec::new();
    run(reader, &mut out, &mut io::sink(), &mut step).unwrap();
    assert_eq!(step.rows, 99);
    assert!(out.starts_with(b"1,x\n"));
}

#[test]
fn the_rejected_stream_is_not_touched_without_need() {
    for count in [3, 1000] {
        let input: Vec<u8> = b"1,x\n".repeat(count);
        run(reader(&input), &mut Vec::new(), &mut Full(0), &mut Pass::default()).unwrap();
    }
}

#[test]
fn a_stop_ends_the_reading_too() {
    for limit in [1, 10, 900] {
        let input = rows(100_000);
        let mut step = Pass { limit: Some(limit), ..Pass::default() };
        let (mut out, mut rejected) = (Vec::new(), Vec::new());
        run(reader(&input), &mut out, &mut rejected, &mut step).unwrap();
        assert_eq!(step.rows, limit);
        let lines = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
        assert_eq!(lines(&out) + lines(&rejected), limit + 1);
    }
}

#[test]
fn errors_of_any_thread_come_out() {
    let input = rows(5000);
    for at in [1, 4000] {
        let mut step = Pass { fail_at: Some(at), ..Pass::default() };
        let error = run(reader(&input), &mut Vec::new(), &mut Vec::new(), &mut step).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
    for room in [10, 10_000] {
        let error = run(reader(&input), &mut Full(room), &mut Vec::new(), &mut Pass::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotYet, "{error}");
        let error =
            run(reader(&input), &mut Vec::new(), &mut Full(room / 5), &mut Pass::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotYet, "{error}");
    }
}

#[test]
fn a_panic_of_the_step_goes_on_in_the_caller() {
    let input = rows(5000);
    let ran = std::panic::catch_unwind(|| {
        let mut step = Pass { panic_at: Some(4000), ..Pass::default() };
        run(reader(&input), &mut Vec::new(), &mut Vec::new(), &mut step)
    });
    assert!(ran.is_err());
}

#[test]
fn cancelling_ends_it() {
    let input = rows(5000);
    let read = std::sync::atomic::AtomicU64::new(0);
    let progress = |bytes| read.store(bytes, std::sync::atomic::Ordering::Relaxed);
    let cancelled = || read.load(std::sync::atomic::Ordering::Relaxed) > 20_000;
    let mut options = InputOptions::new(handover_records::Format::Csv);
    options.block_bytes = 1024;
    options.watch = Watch { progress: Some(&progress), cancelled: Some(&cancelled) };
    let input = open_input(Cursor::new(&input), &options).unwrap();
    let Records::Rows(reader) = input.records else { panic!("no rows") };
    let error = run(reader, &mut Vec::new(), &mut Vec::new(), &mut Pass::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

struct Count(u64);

impl Step<json::Batch> for Count {
    fn batch(&mut self, batch: &json::Batch, out: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<Flow> {
        self.0 += batch.len() as u64;
        batch.records().for_each(|record| out.extend_from_slice(record.raw()));
        Ok(Flow::Go)
    }
}

#[test]
fn records_go_the_same_way() {
    let input = b"{\"a\":1}\n".repeat(3000);
    let mut step = Count(0);
    let mut out = Vec::new();
    let reader = json::Reader::new(Cursor::new(&input[..]), json::Shape::Lines).block_bytes(64);
    run(reader, &mut out, &mut io::sink(), &mut step).unwrap();
    assert_eq!(step.0, 3000);
    assert_eq!(out, b"{\"a\":1}".repeat(3000));
}
