//! Which formats there are, and how a file's extension names them: `csv`, `tsv`, `ndjson`, `jsonl`, `json`, each with
//! `.gz` or `.zst` behind it.
//!
//! There is no I/O, so a crash leaves nothing.

use crate::compress::Compression;
use crate::dialect::Dialect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How records stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Rows of cells, in a dialect.
    #[serde(alias = "tsv")]
    Csv,
    /// One JSON value a line.
    #[serde(alias = "jsonl")]
    Ndjson,
    /// One JSON array.
    Json,
}

impl Format {
    /// The extension of files of this format.
    pub fn ext(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
            Format::Json => "json",
        }
    }
}

/// What an extension says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileKind {
    /// How records stand in it.
    pub format: Format,
    /// How it is compressed.
    pub compression: Compression,
    /// The default dialect, with tabs for `tsv`.
    pub dialect: Dialect,
}

impl FileKind {
    /// What this extension says (without its first dot, in any case); none where it names no format.
    pub fn of_ext(ext: &str) -> Option<Self> {
        let lower = ext.to_ascii_lowercase();
        let (plain, compression) = split_compression(&lower);
        let (format, dialect) = match plain {
            "csv" => (Format::Csv, Dialect::default()),
            "tsv" | "tab" => (Format::Csv, Dialect::tsv()),
            "ndjson" | "jsonl" => (Format::Ndjson, Dialect::default()),
            "json" => (Format::Json, Dialect::default()),
            _ => return None,
        };
        Some(Self { format, compression, dialect })
    }

    /// What the name of a file says: its longest ending that names a format.
    pub fn of_name(name: &str) -> Option<Self> {
        name.match_indices('.').find_map(|(dot, _)| Self::of_ext(&name[dot + 1..]))
    }

    /// The extension of such a file.
    pub fn ext(&self) -> String {
        let plain = match self.format {
            Format::Csv if self.dialect.delimiter == b'\t' => "tsv",
            format => format.ext(),
        };
        format!("{plain}{}", self.compression.suffix())
    }
}

/// An extension without its compression, and the compression.
pub fn split_compression(ext: &str) -> (&str, Compression) {
    for (suffixes, compression) in
        [(&["gz", "gzip"][..], Compression::Gzip), (&["zst", "zstd"], Compression::Zstd)]
    {
        for suffix in suffixes {
            let Some(at) = ext.len().checked_sub(suffix.len()) else { continue };
            if !ext.is_char_boundary(at) || !ext[at..].eq_ignore_ascii_case(suffix) {
                continue;
            }
            match ext[..at].strip_suffix('.') {
                Some(plain) => return (plain, compression),
                None if at == 0 => return ("", compression),
                None => {}
            }
        }
    }
    (ext, Compression::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_says_format_and_compression() {
        for (ext, format, compression, again) in [
            ("csv", Format::Csv, Compression::None, "csv"),
            ("CSV.GZ", Format::Csv, Compression::Gzip, "csv.gz"),
            ("tsv.zst", Format::Csv, Compression::Zstd, "tsv.zst"),
            ("jsonl", Format::Ndjson, Compression::None, "ndjson"),
            ("json.gz", Format::Json, Compression::Gzip, "json.gz"),
        ] {
            let kind = FileKind::of_ext(ext).unwrap();
            assert_eq!((kind.format, kind.compression, kind.ext().as_str()), (format, compression, again));
        }
        for ext in ["", "gz", "txt", "csv.bz2", "parquet", "é", "csvgz"] {
            assert_eq!(FileKind::of_ext(ext), None, "{ext}");
        }
        assert_eq!(FileKind::of_name("a.b.csv.gz").unwrap().compression, Compression::Gzip);
        assert_eq!(FileKind::of_name("csv"), None);
        assert_eq!(split_compression("tar.gz"), ("tar", Compression::Gzip));
        assert_eq!(split_compression("gz"), ("", Compression::Gzip));
    }
}
