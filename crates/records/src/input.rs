//! Opening an input: watched, expanded, brought to UTF-8, and read as what it is.
//!
//! Compression is known by the first bytes, whatever the file is called; the encoding by a byte order mark, else as the
//! dialect declares it.
//!
//! Invariant: an input that is neither compressed nor in another encoding is read straight into the blocks. On a crash
//! nothing is lost: it only reads.

use crate::compress::{Compression, ExpandLimits, Expanded};
use crate::csv;
use crate::dialect::Dialect;
use crate::encoding::{DETECT_BYTES, Encoding, Utf8Input};
use crate::error::read_error;
use crate::format::Format;
use crate::json;
use crate::watch::{Watch, Watched};
use handover_core::Result;
use std::io::{Chain, Cursor, Read};

/// How many of the first bytes tell the compression and a byte order mark.
const BEGIN_BYTES: usize = 4;

/// How to read an input.
#[derive(Clone)]
pub struct InputOptions<'a> {
    /// How records stand in it.
    pub format: Format,
    /// How its table is written down; for JSON only the encoding counts.
    pub dialect: Dialect,
    /// Whether the dialect's delimiter and encoding are found out from the first bytes instead.
    pub sniff: bool,
    /// How far it may expand.
    pub limits: ExpandLimits,
    /// Who watches.
    pub watch: Watch<'a>,
    /// How many bytes a batch holds, about.
    pub block_bytes: usize,
}

impl InputOptions<'_> {
    /// This format, and the usual of everything else.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            dialect: Dialect::default(),
            sniff: false,
            limits: ExpandLimits::default(),
            watch: Watch::default(),
            block_bytes: csv::BLOCK_BYTES,
        }
    }
}

/// An input of which the first bytes were looked at.
type Begun<R> = Chain<Cursor<Vec<u8>>, R>;

/// The bytes of an input, expanded and in UTF-8.
pub struct Source<'a, R: Read> {
    bytes: Utf8Input<Begun<Expanded<Begun<Watched<'a, R>>>>>,
    /// How it was compressed.
    pub compression: Compression,
    /// What it was encoded in.
    pub encoding: Encoding,
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.bytes.read(into)
    }
}

/// An opened input.
pub struct Input<'a, R: Read> {
    /// Reads it.
    pub records: Records<Source<'a, R>>,
    /// How its table is written down, as far as that was declared or found out.
    pub dialect: Dialect,
    /// How it is compressed.
    pub compression: Compression,
    /// What it is encoded in; what is read is UTF-8.
    pub encoding: Encoding,
}

/// Reads rows or records.
#[derive(Debug)]
pub enum Records<S> {
    /// Rows of a table.
    Rows(csv::Reader<S>),
    /// JSON records, one a line or in an array.
    Json(json::Reader<S>),
}

fn begin<R: Read>(mut input: R, count: usize) -> Result<(Vec<u8>, R)> {
    let mut bytes = Vec::new();
    input.by_ref().take(count as u64).read_to_end(&mut bytes).map_err(read_error)?;
    Ok((bytes, input))
}

/// Opens an input as bytes, expanded and in UTF-8. The dialect is set to what was found out, where that was asked for.
///
/// # Errors
/// Where the first bytes cannot be read, or the work was cancelled.
pub fn open_bytes<'a, R: Read>(
    input: R,
    options: &InputOptions<'a>,
    dialect: &mut Dialect,
) -> Result<Source<'a, R>> {
    let (first, input) = begin(Watched::new(input, options.watch), BEGIN_BYTES)?;
    let compression = Compression::of(&first);
    let expanded = Expanded::new(Cursor::new(first).chain(input), compression, options.limits)?;
    let detecting = options.sniff || dialect.encoding == Encoding::Detect;
    let count = if detecting { DETECT_BYTES } else { BEGIN_BYTES };
    let (first, expanded) = begin(expanded, count)?;
    let declared =
        if options.sniff && dialect.encoding == Encoding::Utf8 { Encoding::Detect } else { dialect.encoding };
    let encoding = declared.of(&first, first.len() < count);
    if options.sniff && options.format == Format::Csv {
        dialect.sniff_delimiter(&first, encoding);
    }
    dialect.encoding = encoding;
    let bytes = Utf8Input::new(Cursor::new(first).chain(expanded), encoding);
    Ok(Source { bytes, compression, encoding })
}

/// Opens an input.
///
/// # Errors
/// Where the first bytes cannot be read, or the work was cancelled.
pub fn open_input<'a, R: Read>(input: R, options: &InputOptions<'a>) -> Result<Input<'a, R>> {
    let mut dialect = options.dialect.clone();
    let source = open_bytes(input, options, &mut dialect)?;
    let (compression, encoding) = (source.compression, source.encoding);
    let block = options.block_bytes;
    let records = match options.format {
        Format::Csv => Records::Rows(csv::Reader::new(source, &dialect).block_bytes(block)),
        Format::Ndjson => Records::Json(json::Reader::new(source, json::Shape::Lines).block_bytes(block)),
        Format::Json => Records::Json(json::Reader::new(source, json::Shape::Array).block_bytes(block)),
    };
    Ok(Input { records, dialect, compression, encoding })
}
