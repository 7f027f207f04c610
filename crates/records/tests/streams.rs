//! Whole ways: an input opened as what it is, and an output written and read again.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, reason = "tests")]

use handover_core::ErrorKind;
use handover_records::encoding::encode;
use handover_records::{
    Compression, Dialect, Encoding, FileKind, Format, Input, InputOptions, Output, OutputOptions, Records,
    Sink, Watch, open_bytes, open_input, open_output,
};
use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn packed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let mut sink = Sink::new(Vec::new(), compression, None).unwrap();
    sink.write_all(bytes).unwrap();
    sink.finish().unwrap()
}

fn cells(input: Input<'_, &[u8]>) -> Vec<Vec<String>> {
    let Records::Rows(mut reader) = input.records else { panic!("no table") };
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        assert_eq!(row.fault(), None);
        rows.push(row.cells().map(|cell| String::from_utf8(cell.into_owned()).unwrap()).collect());
    }
    rows
}

#[test]
fn any_compression_and_encoding_is_read_without_being_told() {
    let text = "a;b\n1;é\n";
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        for (encoding, mark) in [
            (Encoding::Utf8, ""),
            (Encoding::Utf8, "\u{feff}"),
            (Encoding::Utf16Le, ""),
            (Encoding::Utf16Be, ""),
            (Encoding::named("windows-1252").unwrap(), ""),
        ] {
            let bytes = packed(&encode(&format!("{mark}{text}"), encoding).unwrap(), compression);
            let mut options = InputOptions::new(Format::Csv);
            options.sniff = true;
            let input = open_input(&bytes[..], &options).unwrap();
            assert_eq!((input.compression, input.encoding), (compression, encoding));
            assert_eq!((input.dialect.delimiter, input.dialect.encoding), (b';', encoding));
            assert_eq!(cells(input), [["a", "b"], ["1", "é"]], "{compression:?} {encoding:?}");
        }
    }
}

#[test]
fn a_declared_encoding_is_taken_and_a_mark_goes_before_it() {
    let mut options = InputOptions::new(Format::Csv);
    options.dialect.encoding = Encoding::Latin1;
    assert_eq!(cells(open_input(&b"caf\xe9\n"[..], &options).unwrap()), [["café"]]);
    assert_eq!(cells(open_input(&b"\xef\xbb\xbfcaf\xc3\xa9\n"[..], &options).unwrap()), [["café"]]);
}

#[test]
fn a_damaged_character_is_a_fault_of_its_row_alone() {
    let mut bytes = encode("a\n", Encoding::Utf16Le).unwrap();
    bytes.extend([0x00, 0xdc]);
    bytes.extend(&encode("x\nb\n", Encoding::Utf16Le).unwrap()[2..]);
    let input = open_input(&bytes[..], &InputOptions::new(Format::Csv)).unwrap();
    let Records::Rows(mut reader) = input.records else { panic!("no table") };
    let mut faults = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        faults.push(row.fault().map(|fault| fault.cells_known()));
    }
    assert_eq!(faults, [None, Some(true), None]);
}

#[test]
fn bytes_pass_as_they_are() {
    let bytes = b"\xef\xbb\xbfa,\"b\r\n\xff\0";
    let mut dialect = Dialect::default();
    for compression in [Compression::None, Compression::Gzip] {
        let packed = packed(bytes, compression);
        let mut source = open_bytes(&packed[..], &InputOptions::new(Format::Csv), &mut dialect).unwrap();
        let mut text = Vec::new();
        source.read_to_end(&mut text).unwrap();
        assert_eq!(text, bytes);
    }
}

#[test]
fn progress_is_told_in_bytes_of_the_input_and_cancelling_ends_the_reading() {
    let bytes = packed(&b"a,b\n".repeat(300_000), Compression::Gzip);
    let told = Mutex::new(Vec::new());
    let stop = AtomicBool::new(false);
    let progress = |bytes: u64| told.lock().unwrap().push(bytes);
    let cancelled = || stop.load(Ordering::SeqCst);
    let mut options = InputOptions::new(Format::Csv);
    options.watch = Watch { progress: Some(&progress), cancelled: Some(&cancelled) };
    let Records::Rows(mut reader) = open_input(&bytes[..], &options).unwrap().records else { panic!() };
    while reader.next_row().unwrap().is_some() {}
    let told = told.lock().unwrap().clone();
    assert!(told.is_sorted() && *told.last().unwrap() == bytes.len() as u64);

    let reads = AtomicU64::new(0);
    let cancelled = || reads.fetch_add(1, Ordering::SeqCst) > 2;
    options.watch = Watch { progress: None, cancelled: Some(&cancelled) };
    let long = b"a,b\n".repeat(1_000_000);
    let Records::Rows(mut reader) = open_input(&long[..], &options).unwrap().records else { panic!() };
    let error = loop {
        match reader.next_row() {
            Ok(row) => assert!(row.is_some()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn what_is_cut_short_is_bad_data_after_the_rows_before_it() {
    let bytes = packed(&b"a,b\n".repeat(1_000_000), Compression::Gzip);
    let half = &bytes[..bytes.len() / 2];
    let Records::Rows(mut reader) = open_input(half, &InputOptions::new(Format::Csv)).unwrap().records else {
        panic!("no table")
    };
    let mut rows = 0;
    let error = loop {
        match reader.next_row() {
            Ok(row) => rows += u64::from(row.is_some()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::BadData);
    assert!(rows > 100_000 && error.to_string().contains("cut short"), "{rows} {error}");
}

#[test]
fn every_format_is_written_and_read_again() {
    for ext in ["csv", "tsv", "ndjson", "json", "csv.gz", "json.zst", "ndjson.gz"] {
        let kind = FileKind::of_ext(ext).unwrap();
        let mut options = OutputOptions::new(kind.format);
        options.dialect = kind.dialect.clone();
        options.compression = kind.compression;
        let mut output = open_output(Vec::new(), &options).unwrap();
        for number in 0..1000 {
            match &mut output {
                Output::Rows(rows) => rows.row(["a\t,\"", &number.to_string()]).unwrap(),
                Output::Json(records) => records.value(&("a\t,\"", number)).unwrap(),
            }
        }
        let bytes = output.finish().unwrap();
        let mut options = InputOptions::new(kind.format);
        options.dialect = kind.dialect;
        let input = open_input(&bytes[..], &options).unwrap();
        assert_eq!(input.compression, kind.compression);
        let mut count = 0;
        match input.records {
            Records::Rows(mut reader) => {
                while let Some(row) = reader.next_row().unwrap() {
                    assert_eq!(&*row.cell(0), b"a\t,\"");
                    assert_eq!(&*row.cell(1), count.to_string().as_bytes());
                    count += 1;
                }
            }
            Records::Json(mut reader) => {
                while let Some(record) = reader.next_record().unwrap() {
                    assert_eq!(record.parse().unwrap(), serde_json::json!(["a\t,\"", count]));
                    count += 1;
                }
            }
        }
        assert_eq!(count, 1000, "{ext}");
    }
}

#[test]
fn an_empty_output_is_a_file_of_its_format() {
    for (format, compression, text) in [
        (Format::Csv, Compression::None, &b""[..]),
        (Format::Csv, Compression::Gzip, b""),
        (Format::Ndjson, Compression::Zstd, b""),
        (Format::Json, Compression::Gzip, b"[]\n"),
    ] {
        let mut options = OutputOptions::new(format);
        options.compression = compression;
        let bytes = open_output(Vec::new(), &options).unwrap().finish().unwrap();
        assert_eq!(Compression::of(&bytes), compression);
        let mut again = Vec::new();
        open_bytes(&bytes[..], &InputOptions::new(format), &mut Dialect::default())
            .unwrap()
            .read_to_end(&mut again)
            .unwrap();
        assert_eq!(again, text);
    }
}
