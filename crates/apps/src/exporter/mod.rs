//! The file-exporter: files for others, in the format, the dialect and the compression that they want, whole or in
//! parts, under names of their choice.
//!
//! What changes neither format nor dialect is copied byte for byte, and its rows are counted on the way ([`copy`]); what
//! does is converted row by row ([`convert`]). Either goes into one file or, with `split`, into several ([`parts`]).
//!
//! Invariants:
//! - The same input gives the same output: gzip carries no time and no name.
//! - Rows in = rows out + rows rejected; only a conversion rejects rows, those that cannot be said in the new format, or, where it
//!   makes records of a ledger, would not come out of it as they are.
//! - With `verify` whoever runs the exporter reads again what stands in the file and compares it with what was written;
//!   with `verify: content` what is compressed is also unpacked again and compared before it is written.
//! - Of a file of unknown format nothing is looked at: its bytes are copied, compressed where that is asked for.
//!
//! On a crash nothing is lost: the export is void until whoever runs it has published it.

mod config;
mod convert;
mod copy;
mod name;
mod parts;
#[cfg(test)]
mod tests;

pub use config::{Config, Folders, Split, Verify, VerifyMore};
pub use name::NameParts;
pub use parts::{Content, PartFile};

use crate::app::{AppIo, Outcome, RowApp, RunOptions};
use crate::streams::{FormatName, InputConfig, OutputConfig};
use handover_core::{Error, Result};
use handover_records::csv::Quoting;
use handover_records::{Compression, Encoding, FileKind, Format, Watch, read_error};
use name::{Pattern, Piece};
use parts::Parts;
use serde_json::{Value, json};
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;

/// How many of the first bytes tell the compression and the byte order mark.
const BEGIN_BYTES: u64 = 4;

/// A file-exporter whose configuration is checked.
#[derive(Debug)]
pub struct Exporter {
    input: InputConfig,
    output: OutputConfig,
    split: Option<Split>,
    name: Pattern,
    usual_name: bool,
    to: Vec<PathBuf>,
    verify: Verify,
    /// Whether it makes records of a ledger.
    records: bool,
}

/// What is exported.
pub struct ExportFrom<'a> {
    /// What comes in. Large reads are made, so it needs no buffer.
    pub input: &'a mut (dyn Read + Send),
    /// The extension of the input's name.
    pub input_ext: &'a str,
    /// Progress and cancelling.
    pub watch: Watch<'a>,
    /// How much of it is wanted.
    pub options: RunOptions,
    /// What the input's bytes are, where that is known: they need not be hashed again where they go out as they are.
    pub known: Option<Content>,
    /// Whether the checksum of what is in compressed files is wanted.
    pub hash_content: bool,
}

/// How an input becomes files.
enum Way {
    /// Its bytes as they stand, compressed or not; `count` is whether it has rows that can be counted.
    AsIs { count: bool },
    /// Its text as it stands, compressed anew; `count` as above.
    Text { count: bool },
    /// Row by row.
    Rows,
}

impl Exporter {
    /// Checks the configuration. The folders themselves are not touched.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a level that the compression does not have, for a name that is none,
    /// and for what does not go together.
    pub fn new(config: &Config) -> Result<Self> {
        let output = config.output();
        output.check()?;
        let name = Pattern::read(&config.name)?;
        let parts_differ = [Piece::Part, Piece::Sequence, Piece::Hash].iter().any(|piece| name.has(piece));
        if let Some(split) = &config.split {
            split.check()?;
            if !parts_differ {
                return Err(Error::config(format!(
                    "name: {:?} would give all parts of a split export one name",
                    config.name
                ))
                .hint("add {part}, {sequence} or {hash}"));
            }
        }
        Ok(Self {
            input: config.input.clone(),
            output,
            split: config.split.clone(),
            usual_name: config.name == name::USUAL,
            name,
            to: config.to.checked()?,
            verify: config.verify,
            records: false,
        })
    }

    /// One that makes records of a ledger of any table or any records, a line of JSON each: what would not come out of a ledger as
    /// it is written is rejected.
    ///
    /// # Errors
    /// None that a user could mend.
    pub fn of_records() -> Result<Self> {
        let mut config = Config::to(PathBuf::from("."));
        config.format = Some(FormatName::Ndjson);
        config.compression = Some(Compression::None);
        config.verify = Verify::Written(false);
        Ok(Self { records: true, ..Self::new(&config)? })
    }

    /// An exporter that copies what it gets, as it stands, and counts the rows.
    pub(crate) fn copying(input: InputConfig) -> Result<Self> {
        let mut exporter = Self::new(&Config::to(PathBuf::from(".")))?;
        exporter.input = input;
        Ok(exporter)
    }

    /// The folders that exports go to, as they were configured; at least one.
    pub fn folders(&self) -> &[PathBuf] {
        &self.to
    }

    /// Whether exports are read again after writing.
    pub fn verifies(&self) -> bool {
        self.verify.written()
    }

    /// Whether an export may become several files.
    pub fn splits(&self) -> bool {
        self.split.is_some()
    }

    /// Whether names follow the convention.
    pub fn names_by_convention(&self) -> bool {
        self.usual_name
    }

    /// Whether names carry the export's hash, and so are known only after it is written.
    pub fn name_needs_hash(&self) -> bool {
        self.name.has(&Piece::Hash)
    }

    /// The name of an export.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where the name would be too long for a file system.
    pub fn render_name(&self, parts: &NameParts<'_>) -> Result<String> {
        self.name.render(parts)
    }

    /// Exports an input. Each file is opened by `open` when it begins, which is told whether what it gets is the input, byte for
    /// byte.
    ///
    /// # Errors
    /// As [`RowApp::run`].
    pub fn export<W: Write + Send>(
        &self,
        from: ExportFrom<'_>,
        rejected: &mut (dyn Write + Send),
        open: &mut (dyn FnMut(bool) -> Result<W> + Send),
    ) -> Result<(Outcome, Vec<PartFile<W>>)> {
        let ExportFrom { mut input, input_ext, watch, options, known, hash_content } = from;
        let mut begin = Vec::new();
        (&mut input).take(BEGIN_BYTES).read_to_end(&mut begin).map_err(read_error)?;
        let kind = self.input.kind(input_ext);
        let found = Compression::of(&begin);
        let to = self.output.kind(&FileKind { compression: found, ..kind.clone() });
        let way = self.way(input_ext, &kind, found, &begin, options);
        let mut written = to.clone();
        if options.dry_run || matches!(way, Way::AsIs { .. }) {
            written.compression = Compression::None;
        }
        // What is not compressed is hashed by whoever writes it.
        let utf8 = is_utf8(&kind, &to) && !self.input.sniff && !is_utf16(&begin);
        let same_text = matches!(way, Way::Text { .. }) && found == Compression::None && utf8;
        let as_is = matches!(way, Way::AsIs { .. });
        let hash =
            !as_is && hash_content && to.compression != Compression::None && !(same_text && known.is_some());
        let same_bytes = as_is || same_text && written.compression == Compression::None;
        let mut open = || open(same_bytes);
        let mut parts = Parts::new(&mut open, &written, self.output.level, self.verify.content(), hash);
        let input = Cursor::new(begin).chain(input);
        let outcome = match way {
            Way::AsIs { count: false } => copy::raw(input, watch, &mut parts)?,
            Way::AsIs { count: true } => {
                let hash = hash_content && found != Compression::None;
                copy::counted(input, &self.input.options(input_ext, watch), hash, &mut parts)?
            }
            Way::Text { count } => {
                copy::text(input, &self.input.options(input_ext, watch), count, &mut parts)?
            }
            Way::Rows => {
                parts.by_rows(self.split.as_ref());
                let job = convert::Job {
                    options: self.input.options(input_ext, watch),
                    to: &self.output,
                    limit: options.limit,
                    records: self.records,
                };
                convert::run(input, &job, &mut parts, rejected)?
            }
        };
        let mut files = parts.finish()?;
        if let (true, Some(known), [only]) = (same_text, known, &mut files[..]) {
            only.content = Some(known);
        }
        Ok((outcome.checked(self.name())?, files))
    }

    fn way(
        &self,
        input_ext: &str,
        kind: &FileKind,
        found: Compression,
        begin: &[u8],
        options: RunOptions,
    ) -> Way {
        let mut to = self.output.kind(kind);
        // What an input is encoded in is no reason to write it anew row by row.
        to.dialect.encoding = kind.dialect.encoding;
        let same_format = to.format == kind.format
            && (to.format != Format::Csv
                || (to.dialect == kind.dialect && self.output.quoting != Some(Quoting::All)));
        // Whether a sniffed dialect is the wanted one is seen only when it is known.
        let unsure = self.input.sniff && self.output.dialect.is_some();
        if self.split.is_some() || self.records || options.limit.is_some() || !same_format || unsure {
            return Way::Rows;
        }
        let packed_alike = match self.output.compression {
            None => true,
            Some(wanted) => wanted == found && self.output.level.is_none(),
        };
        let known_format =
            self.input.format.is_some() || input_ext.is_empty() || FileKind::of_ext(input_ext).is_some();
        if !known_format {
            return if packed_alike { Way::AsIs { count: false } } else { Way::Text { count: false } };
        }
        let recodes = kind.dialect.encoding != Encoding::Utf8
            || self.output.dialect.as_ref().is_some_and(|dialect| dialect.encoding != Encoding::Utf8);
        if packed_alike && !recodes && (is_utf16(begin) || found != Compression::None) {
            return Way::AsIs { count: true };
        }
        Way::Text { count: true }
    }

    /// What the manifest of an export says of what is in it. `part` is which of `of` parts it is, from 1.
    pub fn manifest_of(
        &self,
        content: Option<Content>,
        rows: u64,
        part: usize,
        of: usize,
    ) -> Vec<(String, Value)> {
        let mut says = Vec::new();
        if let Some(compression) = self.output.compression {
            says.push(("compression".to_owned(), serde_json::to_value(compression).unwrap_or(Value::Null)));
        }
        if let Some(content) = content {
            says.push((
                "content".to_owned(),
                json!({ "checksum": content.checksum.to_string(), "file_size": content.bytes, "row_count": rows }),
            ));
        }
        if self.split.is_some() {
            says.push(("part".to_owned(), json!({ "number": part, "of": of })));
        }
        says
    }
}

/// Whether an input says that it is UTF-16.
fn is_utf16(begin: &[u8]) -> bool {
    matches!(begin, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
}

fn is_utf8(from: &FileKind, to: &FileKind) -> bool {
    from.dialect.encoding == Encoding::Utf8 && to.dialect.encoding == Encoding::Utf8
}

impl RowApp for Exporter {
    fn name(&self) -> &'static str {
        "file-exporter"
    }

    fn output_ext(&self, input_ext: &str) -> String {
        let known = self.input.format.is_some() || FileKind::of_ext(input_ext).is_some();
        if known || self.output.format.is_some() || input_ext.is_empty() {
            return self.output.ext(&self.input, input_ext);
        }
        // Of a format that is not known here only the compression is said.
        match self.output.compression {
            None => input_ext.to_owned(),
            Some(compression) => {
                let (plain, _) = handover_records::format::split_compression(input_ext);
                let plain = if plain.is_empty() { "dat" } else { plain };
                format!("{plain}{}", compression.suffix())
            }
        }
    }

    fn run(&self, io: AppIo<'_>) -> Result<Outcome> {
        if self.split.is_some() {
            return Err(Error::config("split: one stream cannot be split into several files")
                .hint("a flow splits, or `handover app file-exporter -o FILE`"));
        }
        let watch = io.watch();
        let from = ExportFrom {
            input: io.input,
            input_ext: io.input_ext,
            watch,
            options: io.options,
            known: None,
            hash_content: true,
        };
        let mut output = Some(io.output);
        let mut open = |_| output.take().ok_or_else(|| Error::internal("an export was begun twice"));
        let (mut outcome, files) = self.export(from, io.rejected, &mut open)?;
        if let Some(file) = files.first() {
            outcome.manifest.extend(self.manifest_of(file.content, file.rows, 1, 1));
        }
        Ok(outcome)
    }
}
