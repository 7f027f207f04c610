use super::*;
use proptest::prelude::*;

fn config(compression: Compression) -> Config {
    Config { to: "out".into(), compression, level: None, name: usual_name(), verify: true }
}

fn export(app: &Exporter, input: &[u8]) -> (Vec<u8>, Outcome) {
    let mut output = Vec::new();
    let outcome = app
        .run(AppIo {
            input: &mut &input[..],
            output: &mut output,
            rejected: &mut std::io::sink(),
            progress: None,
            cancelled: &|| false,
        })
        .unwrap();
    (output, outcome)
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let app = Exporter::new(&config(compression)).unwrap();
            let (output, outcome) = export(&app, &bytes);
            let content = Content::of(&outcome).unwrap();
            prop_assert_eq!(content.bytes, bytes.len() as u64);
            prop_assert!(app.verify_written(&mut &output[..], &content).is_ok());
            prop_assert_eq!(export(&app, &bytes).0, output);
        }
    }
}

#[test]
fn rows_are_counted_and_the_extension_says_the_compression() {
    for (compression, ext) in
        [(Compression::None, "csv"), (Compression::Gzip, "csv.gz"), (Compression::Zstd, "csv.zst")]
    {
        let app = Exporter::new(&config(compression)).unwrap();
        assert_eq!(app.output_ext("csv"), ext);
        let (_, outcome) = export(&app, b"a,b\r\n1,\"x\ny\"\r\n\r\n2,z");
        assert_eq!((outcome.rows_in, outcome.rows_out, outcome.rows_rejected), (2, 2, 0));
        assert_eq!(export(&app, b"").1.rows_in, 0);
    }
}

#[test]
fn a_changed_export_is_found() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let app = Exporter::new(&config(compression)).unwrap();
        let (output, outcome) = export(&app, b"a\n1\n2\n3\n");
        let content = Content::of(&outcome).unwrap();
        for at in [0, output.len() / 2, output.len() - 1] {
            let mut changed = output.clone();
            changed[at] ^= 1;
            // Not every byte of a gzip header counts; what comes out does.
            let result = app.verify_written(&mut &changed[..], &content);
            assert!(result.is_err() || compression != Compression::None, "{compression:?} {at}");
        }
        let cut = &output[..output.len() - 1];
        let error = app.verify_written(&mut &cut[..], &content).unwrap_err();
        assert_eq!(error.retry(), handover_core::Retry::Yes);
        let other = Content { bytes: content.bytes + 1, ..content };
        assert!(app.verify_written(&mut &output[..], &other).is_err());
    }
}

#[test]
fn names_are_rendered() {
    let parts = NameParts {
        app: &AppName::new("file-exporter").unwrap(),
        type_name: &TypeName::new("sales").unwrap(),
        date: jiff::civil::date(2025, 11, 24),
        sequence: 7,
        ext: "csv.gz",
        checksum: Checksum([0xab; 32]),
    };
    for (pattern, name) in [
        ("{app}_{type}_{date}_{sequence}.{ext}", "file-exporter_sales_2025-11-24_007.csv.gz"),
        ("{type}-{hash}.{ext}", "sales-abababababab.csv.gz"),
        ("daily {date}", "daily 2025-11-24"),
    ] {
        let app = Exporter::new(&Config { name: pattern.to_owned(), ..config(Compression::Gzip) }).unwrap();
        assert_eq!(app.render_name(&parts).unwrap(), name);
        assert_eq!(app.name_needs_hash(), pattern.contains("hash"));
    }
    let long = Config { name: format!("{}{{date}}", "x".repeat(250)), ..config(Compression::None) };
    assert!(Exporter::new(&long).unwrap().render_name(&parts).is_err());
}

#[test]
fn what_is_no_name_or_level_is_refused() {
    for (name, why) in [
        ("{typ}", "{typ} is not known"),
        ("{type", "not closed"),
        ("{type}}", "'}'"),
        ("a/{type}", "'/'"),
        ("../{type}", "'/'"),
        (".{type}", "dot"),
        ("{type}.meta.json", "manifests"),
        ("{type}\n", "'\\n'"),
        ("fixed.csv", "the same name"),
        ("", "the same name"),
    ] {
        let error =
            Exporter::new(&Config { name: name.to_owned(), ..config(Compression::None) }).unwrap_err();
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
    for (compression, level) in
        [(Compression::None, 1), (Compression::Gzip, 10), (Compression::Gzip, -1), (Compression::Zstd, 23)]
    {
        assert!(
            Exporter::new(&Config { level: Some(level), ..config(compression) }).is_err(),
            "{compression:?} {level}"
        );
    }
    for (compression, level) in [(Compression::Gzip, 0), (Compression::Gzip, 9), (Compression::Zstd, 22)] {
        assert!(Exporter::new(&Config { level: Some(level), ..config(compression) }).is_ok());
    }
}

#[test]
fn an_output_that_fails_is_said_as_one() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = copy(&mut &b"a\n1\n"[..], &mut Full, None, &|| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotYet);
}
