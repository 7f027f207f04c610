//! The file-exporter: a copy with or without compression, under a name of the receiver's choice, verified after it is
//! written.
//!
//! Invariants:
//! - What is decompressed again is what went in, byte for byte ([`Exporter::verify_written`]).
//! - The same input gives the same output: gzip carries no time and no name.
//! - Rows are counted, never changed. For what is not CSV the count is that of CSV records; the manifest has the
//!   right one.
//!
//! On a crash nothing is lost: the export is void until whoever runs it has published it.

use crate::app::{AppIo, Outcome, RowApp};
use crate::rows::RowReader;
use flate2::read::MultiGzDecoder;
use flate2::{Compression as GzipLevel, GzBuilder};
use handover_core::suggest::nearest;
use handover_core::{AppName, Checksum, Error, ErrorKind, Result, TypeName};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::PathBuf;

/// The configuration of a file-exporter.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder that exports go to, relative to the configuration. Nothing in it is ever replaced.
    pub to: PathBuf,
    /// How exports are compressed; the extension says so too.
    #[serde(default)]
    pub compression: Compression,
    /// How hard: 0 to 9 for gzip (6), 1 to 22 for zstd (3).
    #[serde(default)]
    pub level: Option<i32>,
    /// The names of exports: text with `{app} {type} {date} {sequence} {hash} {ext}`. `{hash}` is the first twelve
    /// hex digits of the export's SHA-256.
    #[serde(default = "usual_name")]
    pub name: String,
    /// Whether an export is read again after writing and compared with what went in.
    #[serde(default = "yes")]
    pub verify: bool,
}

fn usual_name() -> String {
    "{app}_{type}_{date}_{sequence}.{ext}".to_owned()
}

fn yes() -> bool {
    true
}

/// How exports are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878), with its content checksum.
    Zstd,
}

/// What went into an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Its SHA-256, before compression.
    pub checksum: Checksum,
    /// Its size in bytes, before compression.
    pub bytes: u64,
}

impl Content {
    /// What went into the export with this outcome.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        let content = outcome.manifest.get("content")?;
        Some(Self {
            checksum: content.get("checksum")?.as_str()?.parse().ok()?,
            bytes: content.get("file_size")?.as_u64()?,
        })
    }
}

/// What an export's name is made of.
#[derive(Debug, Clone, Copy)]
pub struct NameParts<'a> {
    /// The exporter's name.
    pub app: &'a AppName,
    /// The type of the data.
    pub type_name: &'a TypeName,
    /// The date of the data.
    pub date: Date,
    /// Written with three digits or more.
    pub sequence: u32,
    /// The extension of the export, such as `csv.gz`.
    pub ext: &'a str,
    /// The checksum of the export as it was written.
    pub checksum: Checksum,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    App,
    Type,
    Date,
    Sequence,
    Hash,
    Ext,
}

const PLACES: [&str; 6] = ["app", "type", "date", "sequence", "hash", "ext"];
/// How many hex digits `{hash}` has.
const HASH_DIGITS: usize = 12;
/// The longest name that common file systems take.
const FILE_NAME_MAX_BYTES: usize = 255;

/// A file-exporter whose name pattern is read.
#[derive(Debug)]
pub struct Exporter {
    compression: Compression,
    level: i32,
    pieces: Vec<Piece>,
    verify: bool,
}

impl Exporter {
    /// Checks the configuration. The folder itself is not touched.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a level that the compression does not have and for a name that is none.
    pub fn new(config: &Config) -> Result<Self> {
        let (usual, levels) = match config.compression {
            Compression::None => (0, 0..=0),
            Compression::Gzip => (6, 0..=9),
            Compression::Zstd => (3, 1..=22),
        };
        let level = config.level.unwrap_or(usual);
        if !levels.contains(&level) {
            return Err(match config.compression {
                Compression::None => Error::config("level is given, and compression is none")
                    .hint("write compression: gzip or compression: zstd, or leave level out"),
                _ => Error::config(format!(
                    "level {level} is not between {} and {}",
                    levels.start(),
                    levels.end()
                )),
            });
        }
        Ok(Self {
            compression: config.compression,
            level,
            pieces: pieces(&config.name)?,
            verify: config.verify,
        })
    }

    /// Whether exports are read again after writing.
    pub fn verifies(&self) -> bool {
        self.verify
    }

    /// Whether names carry the export's hash, and so are known only after it is written.
    pub fn name_needs_hash(&self) -> bool {
        self.pieces.contains(&Piece::Hash)
    }

    /// The name of an export.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the name would be too long for a file system.
    pub fn render_name(&self, parts: &NameParts<'_>) -> Result<String> {
        let mut name = String::new();
        for piece in &self.pieces {
            let _ = match piece {
                Piece::Text(text) => write!(name, "{text}"),
                Piece::App => write!(name, "{}", parts.app),
                Piece::Type => write!(name, "{}", parts.type_name),
                Piece::Date => write!(name, "{}", parts.date),
                Piece::Sequence => write!(name, "{:03}", parts.sequence),
                Piece::Hash => {
                    parts.checksum.0[..HASH_DIGITS / 2].iter().try_for_each(|b| write!(name, "{b:02x}"))
                }
                Piece::Ext => write!(name, "{}", parts.ext),
            };
        }
        if name.len() > FILE_NAME_MAX_BYTES {
            return Err(Error::config(format!(
                "the export's name has more than {FILE_NAME_MAX_BYTES} bytes"
            ))
            .on(name));
        }
        Ok(name)
    }

    /// Reads an export again, decompresses it and compares it with what went in.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where it is not the same (a retry writes it anew), or what reading it gives.
    pub fn verify_written(&self, file: &mut dyn Read, expected: &Content) -> Result<()> {
        let broken = |why: String| {
            Error::new(ErrorKind::Io, format!("the export is not what went in: {why}"))
                .hint("the disk or the network changed what was written; the export is made again")
        };
        let unreadable = |error: std::io::Error| broken(error.to_string());
        let mut gzip;
        let mut zstd;
        let plain: &mut dyn Read = match self.compression {
            Compression::None => file,
            Compression::Gzip => {
                gzip = MultiGzDecoder::new(file);
                &mut gzip
            }
            Compression::Zstd => {
                zstd = zstd::stream::read::Decoder::new(file).map_err(unreadable)?;
                &mut zstd
            }
        };
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match plain.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    bytes += count as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        if bytes != expected.bytes {
            return Err(broken(format!("it holds {bytes} bytes, not {}", expected.bytes)));
        }
        let found = Checksum(hasher.finalize().into());
        if found == expected.checksum {
            Ok(())
        } else {
            Err(broken(format!("it holds {found}, not {}", expected.checksum)))
        }
    }
}

impl RowApp for Exporter {
    fn name(&self) -> &'static str {
        "file-exporter"
    }

    fn output_ext(&self, input_ext: &str) -> String {
        match self.compression {
            Compression::None => input_ext.to_owned(),
            Compression::Gzip => format!("{input_ext}.gz"),
            Compression::Zstd => format!("{input_ext}.zst"),
        }
    }

    fn run(&self, io: AppIo<'_>) -> Result<Outcome> {
        let AppIo { input, output, progress, cancelled, .. } = io;
        let failed = |error| Error::io("write", "the export", error);
        let mut out = std::io::BufWriter::with_capacity(128 * 1024, output);
        let (rows, content) = match self.compression {
            Compression::None => copy(input, &mut out, progress, cancelled)?,
            Compression::Gzip => {
                let level = GzipLevel::new(self.level.unsigned_abs());
                let mut gzip = GzBuilder::new().mtime(0).write(&mut out, level);
                let copied = copy(input, &mut gzip, progress, cancelled)?;
                gzip.finish().map_err(failed)?;
                copied
            }
            Compression::Zstd => {
                let mut zstd = zstd::stream::write::Encoder::new(&mut out, self.level).map_err(failed)?;
                zstd.include_checksum(true).map_err(failed)?;
                let copied = copy(input, &mut zstd, progress, cancelled)?;
                zstd.finish().map_err(failed)?;
                copied
            }
        };
        out.flush().map_err(failed)?;
        let mut outcome = Outcome { rows_in: rows, rows_out: rows, ..Outcome::default() };
        outcome
            .manifest
            .insert("compression".to_owned(), serde_json::to_value(self.compression).unwrap_or(Value::Null));
        outcome.manifest.insert(
            "content".to_owned(),
            json!({ "checksum": content.checksum.to_string(), "file_size": content.bytes, "row_count": rows }),
        );
        outcome.checked(self.name())
    }
}

/// Copies, hashes and counts in one pass.
pub(crate) fn copy(
    input: &mut dyn Read,
    out: &mut dyn Write,
    progress: Option<&dyn Fn(u64)>,
    cancelled: &dyn Fn() -> bool,
) -> Result<(u64, Content)> {
    struct Copied<'a> {
        input: &'a mut dyn Read,
        out: &'a mut dyn Write,
        hasher: Sha256,
        bytes: u64,
        /// Why writing failed: the reader that drives this must not take it for a fault of the input.
        failed: Option<std::io::Error>,
    }
    impl Read for Copied<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let count = self.input.read(into)?;
            self.hasher.update(&into[..count]);
            self.bytes += count as u64;
            if let Err(error) = self.out.write_all(&into[..count]) {
                self.failed = Some(error);
                return Err(std::io::Error::other("the output cannot be written"));
            }
            Ok(count)
        }
    }
    let mut copied = Copied { input, out, hasher: Sha256::new(), bytes: 0, failed: None };
    let counted = count_rows(&mut RowReader::new(&mut copied, progress, cancelled));
    if let Some(error) = copied.failed {
        return Err(Error::io("write", "the output", error));
    }
    let content = Content { checksum: Checksum(copied.hasher.finalize().into()), bytes: copied.bytes };
    Ok((counted?, content))
}

/// The records of the input, less the header.
fn count_rows(reader: &mut RowReader<'_>) -> Result<u64> {
    let mut records: u64 = 0;
    while let Some(row) = reader.next_row()? {
        if row.fault.is_some() || !row.is_empty() {
            records += 1;
        }
    }
    Ok(records.saturating_sub(1))
}

/// Reads a name pattern.
fn pieces(pattern: &str) -> Result<Vec<Piece>> {
    let refuse = |why: String| Error::config(format!("name: {pattern:?} is no name for exports: {why}"));
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').ok_or_else(|| refuse("a { is not closed".to_owned()))? + open;
        if open > 0 {
            pieces.push(Piece::Text(rest[..open].to_owned()));
        }
        let place = &rest[open + 1..close];
        pieces.push(match place {
            "app" => Piece::App,
            "type" => Piece::Type,
            "date" => Piece::Date,
            "sequence" => Piece::Sequence,
            "hash" => Piece::Hash,
            "ext" => Piece::Ext,
            _ => {
                let error = refuse(format!("{{{place}}} is not known"));
                return Err(match nearest(place, PLACES) {
                    Some(near) => error.hint(format!("did you mean {{{near}}}?")),
                    None => error.hint("known are {app} {type} {date} {sequence} {hash} {ext}"),
                });
            }
        });
        rest = &rest[close + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    let texts =
        || pieces.iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(text) } else { None });
    let bad = |c: char| matches!(c, '/' | '\\' | '}') || c.is_control();
    if let Some(found) = texts().flat_map(|text| text.chars()).find(|c| bad(*c)) {
        return Err(refuse(format!("it has the character {found:?}")).hint("folders belong into `to:`"));
    }
    if matches!(pieces.first(), Some(Piece::Text(text)) if text.starts_with('.'))
        || pattern.ends_with(".meta.json")
    {
        return Err(refuse(
            "names with a dot first are for unfinished files, and .meta.json for manifests".to_owned(),
        ));
    }
    if !pieces.iter().any(|piece| matches!(piece, Piece::Sequence | Piece::Hash | Piece::Date | Piece::Type))
    {
        return Err(refuse("every export would have the same name".to_owned())
            .hint("add {sequence}, {date}, {type} or {hash}"));
    }
    Ok(pieces)
}

#[cfg(test)]
#[path = "exporter_tests.rs"]
mod tests;
