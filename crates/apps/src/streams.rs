//! How an app reads its input and writes its output, as a configuration says it: the keys `input:` and `output:` that
//! all table apps share.
//!
//! What neither the configuration nor the extension says is a CSV with the usual dialect; what an output does not say is
//! as its input. There is no I/O, so a crash leaves nothing.

use handover_core::{Error, Result};
use handover_records::csv::Quoting;
use handover_records::{
    Compression, Dialect, Encoding, FileKind, Format, InputOptions, OutputOptions, Watch,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A format by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatName {
    /// A table, with commas unless the dialect says otherwise.
    Csv,
    /// A table with tabs.
    Tsv,
    /// One JSON value a line.
    #[serde(alias = "jsonl")]
    Ndjson,
    /// One JSON array.
    Json,
}

impl FormatName {
    /// How records stand in it, and the usual dialect.
    pub fn format(self) -> (Format, Dialect) {
        match self {
            Self::Csv => (Format::Csv, Dialect::default()),
            Self::Tsv => (Format::Csv, Dialect::tsv()),
            Self::Ndjson => (Format::Ndjson, Dialect::default()),
            Self::Json => (Format::Json, Dialect::default()),
        }
    }
}

/// How the input is read. By default its extension says the format; whether it is compressed is seen by itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// The format, where the extension does not say it: `csv`, `tsv`, `ndjson` or `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<FormatName>,
    /// How the table is written down: delimiter, quotes, header, encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// Whether the delimiter and the encoding are found out from the beginning of each file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sniff: bool,
}

impl InputConfig {
    /// What an input with this extension is.
    pub fn kind(&self, ext: &str) -> FileKind {
        let mut kind = FileKind::of_ext(ext).unwrap_or_else(|| FileKind {
            format: Format::Csv,
            compression: handover_records::format::split_compression(ext).1,
            dialect: Dialect::default(),
        });
        if let Some(name) = self.format {
            (kind.format, kind.dialect) = name.format();
        }
        if let Some(dialect) = &self.dialect {
            kind.dialect = dialect.clone();
        }
        kind
    }

    /// How to open an input with this extension.
    pub fn options<'a>(&self, ext: &str, watch: Watch<'a>) -> InputOptions<'a> {
        let kind = self.kind(ext);
        let mut options = InputOptions::new(kind.format);
        options.dialect = kind.dialect;
        options.sniff = self.sniff;
        options.watch = watch;
        options
    }
}

/// How the output is written. What is not said is as the input: format, dialect, compression.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputConfig {
    /// The format: `csv`, `tsv`, `ndjson` or `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<FormatName>,
    /// How the table is written down; in UTF-8 unless it says an encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// Which cells are put in quotes where rows are written anew: `minimal` (those that need them) or `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoting: Option<Quoting>,
    /// How it is compressed: `none`, `gzip` or `zstd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// How hard: 0 to 12 for gzip (4), 1 to 22 for zstd (3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<i32>,
}

impl OutputConfig {
    /// What does not go together, where the configuration alone shows it.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        if let Some(format) = self.format
            && matches!(format, FormatName::Ndjson | FormatName::Json)
            && (self.dialect.is_some() || self.quoting.is_some())
        {
            let key = if self.dialect.is_some() { "dialect" } else { "quoting" };
            return Err(Error::config(format!("{key} is given, and the format is no table")));
        }
        let Some(level) = self.level else { return Ok(()) };
        match self.compression {
            Some(Compression::None) => Err(Error::config("level is given, and compression is none")
                .hint("write compression: gzip or compression: zstd, or leave level out")),
            Some(compression) if !compression.levels().contains(&level) => Err(Error::config(format!(
                "level {level} is not between {} and {}",
                compression.levels().start(),
                compression.levels().end()
            ))),
            Some(_) => Ok(()),
            None => Err(Error::config("level is given without compression")
                .hint("write compression: gzip or compression: zstd")),
        }
    }

    /// What the output of such an input is. With the input's dialect as it was found out, where it was sniffed.
    pub fn kind(&self, input: &FileKind) -> FileKind {
        let mut kind = input.clone();
        kind.dialect.encoding = Encoding::Utf8;
        if let Some(name) = self.format {
            let (format, dialect) = name.format();
            if format != Format::Csv || input.format != Format::Csv || name == FormatName::Tsv {
                kind.dialect = dialect;
            }
            kind.format = format;
        }
        if let Some(dialect) = &self.dialect {
            kind.dialect = dialect.clone();
        }
        if let Some(compression) = self.compression {
            kind.compression = compression;
        }
        kind
    }

    /// The extension of the output of an input with this one: the input's own, where nothing of it changes.
    pub fn ext(&self, input: &InputConfig, input_ext: &str) -> String {
        let from = input.kind(input_ext);
        let to = self.kind(&from);
        if to.format == from.format && (to.format != Format::Csv || self.format != Some(FormatName::Tsv)) {
            let (plain, _) = handover_records::format::split_compression(input_ext);
            let plain = if plain.is_empty() { to.format.ext() } else { plain };
            return format!("{plain}{}", to.compression.suffix());
        }
        to.ext()
    }

    /// How to write the output of such an input.
    pub fn options(&self, input: &FileKind) -> OutputOptions {
        let kind = self.kind(input);
        OutputOptions {
            format: kind.format,
            dialect: kind.dialect,
            quoting: self.quoting.unwrap_or_default(),
            compression: kind.compression,
            level: self.level,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(json: serde_json::Value) -> OutputConfig {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_output_is_as_its_input_where_nothing_is_said() {
        let input = InputConfig::default();
        for (ext, says, expected) in [
            ("csv", serde_json::json!({}), "csv"),
            ("csv.gz", serde_json::json!({}), "csv.gz"),
            ("txt", serde_json::json!({}), "txt"),
            ("", serde_json::json!({}), "csv"),
            ("gz", serde_json::json!({}), "csv.gz"),
            ("jsonl", serde_json::json!({}), "jsonl"),
            ("csv.gz", serde_json::json!({ "compression": "none" }), "csv"),
            ("csv", serde_json::json!({ "compression": "zstd" }), "csv.zst"),
            ("csv.gz", serde_json::json!({ "format": "ndjson" }), "ndjson.gz"),
            ("csv", serde_json::json!({ "format": "tsv" }), "tsv"),
            ("json", serde_json::json!({ "format": "csv", "compression": "gzip" }), "csv.gz"),
        ] {
            assert_eq!(output(says.clone()).ext(&input, ext), expected, "{ext} {says}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (says, why) in [
            (serde_json::json!({ "level": 3 }), "without compression"),
            (serde_json::json!({ "compression": "none", "level": 3 }), "compression is none"),
            (serde_json::json!({ "compression": "gzip", "level": 13 }), "between 0 and 12"),
            (serde_json::json!({ "format": "json", "quoting": "all" }), "no table"),
        ] {
            let error = output(says.clone()).check().unwrap_err().to_string();
            assert!(error.contains(why), "{says}: {error}");
        }
        output(serde_json::json!({ "compression": "gzip", "level": 12 })).check().unwrap();
    }
}
