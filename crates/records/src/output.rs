//! Opening an output: a table, NDJSON or a JSON array, compressed or not.
//!
//! Invariant: nothing is whole before `finish` has returned. On a crash nothing is lost: whoever writes publishes
//! afterwards.

use crate::compress::{BlockWriter, Compression};
use crate::csv::{self, Quoting};
use crate::dialect::Dialect;
use crate::encoding::{Encoding, Transcoder};
use crate::error::write_error;
use crate::format::Format;
use crate::json;
use handover_core::Result;
use std::io::Write;

/// How to write an output.
#[derive(Debug, Clone)]
pub struct OutputOptions {
    /// How records stand in it.
    pub format: Format,
    /// How its table is written down; for JSON only the encoding counts.
    pub dialect: Dialect,
    /// Which cells are put in quotes.
    pub quoting: Quoting,
    /// How it is compressed.
    pub compression: Compression,
    /// How hard; none for the usual.
    pub level: Option<i32>,
}

impl OutputOptions {
    /// This format, and the usual of everything else.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            dialect: Dialect::default(),
            quoting: Quoting::default(),
            compression: Compression::None,
            level: None,
        }
    }
}

/// Bytes on their way out, in another encoding or compressed or as they are. [`Sink::finish`] has to be called at the
/// end.
pub struct Sink<W: Write> {
    way: Way<W>,
    transcoder: Option<Transcoder>,
}

enum Way<W: Write> {
    Plain(W),
    Blocks(Box<BlockWriter<W>>),
}

impl<W: Write> Sink<W> {
    /// A way out with this compression, at this level or the usual one.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a level that the compression does not have.
    pub fn new(out: W, compression: Compression, level: Option<i32>) -> Result<Self> {
        Self::encoded(out, compression, level, Encoding::Utf8)
    }

    /// A way out for UTF-8 that is to be written in this encoding, and compressed. UTF-16 begins with a byte order
    /// mark.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a level that the compression does not have.
    pub fn encoded(out: W, compression: Compression, level: Option<i32>, encoding: Encoding) -> Result<Self> {
        let way = if compression == Compression::None {
            Way::Plain(out)
        } else {
            let level = level.unwrap_or_else(|| compression.usual_level());
            Way::Blocks(Box::new(BlockWriter::new(out, compression, level)?))
        };
        Ok(Self { way, transcoder: Transcoder::new(encoding) })
    }

    /// As [`Sink::encoded`], where each compressed block is unpacked again and compared with what went in.
    ///
    /// # Errors
    /// As [`Sink::new`].
    pub fn checked(out: W, compression: Compression, level: Option<i32>, encoding: Encoding) -> Result<Self> {
        let way = if compression == Compression::None {
            Way::Plain(out)
        } else {
            let level = level.unwrap_or_else(|| compression.usual_level());
            Way::Blocks(Box::new(BlockWriter::checked(out, compression, level)?))
        };
        Ok(Self { way, transcoder: Transcoder::new(encoding) })
    }

    /// Writes what is still held, and gives the output back; it is flushed.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn finish(mut self) -> Result<W> {
        if let Some(mut transcoder) = self.transcoder.take() {
            transcoder.finish(&mut self.way)?;
        }
        match self.way {
            Way::Plain(mut out) => {
                out.flush().map_err(write_error)?;
                Ok(out)
            }
            Way::Blocks(blocks) => blocks.finish(),
        }
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.transcoder {
            None => self.way.write(bytes),
            Some(transcoder) => transcoder.write(bytes, &mut self.way).map(|()| bytes.len()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.way.flush()
    }
}

impl<W: Write> Write for Way<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Way::Plain(out) => out.write(bytes),
            Way::Blocks(blocks) => blocks.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Way::Plain(out) => out.flush(),
            Way::Blocks(blocks) => blocks.flush(),
        }
    }
}

/// An opened output. [`Output::finish`] has to be called at the end.
pub enum Output<W: Write> {
    /// Rows of a table.
    Rows(csv::Writer<Sink<W>>),
    /// JSON records, one a line or in an array.
    Json(json::Writer<Sink<W>>),
}

/// Opens an output.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] for a level that the compression does not have.
pub fn open_output<W: Write>(out: W, options: &OutputOptions) -> Result<Output<W>> {
    let sink = Sink::encoded(out, options.compression, options.level, options.dialect.encoding)?;
    Ok(match options.format {
        Format::Csv => Output::Rows(csv::Writer::with_quoting(sink, &options.dialect, options.quoting)),
        Format::Ndjson => Output::Json(json::Writer::new(sink, json::Shape::Lines)),
        Format::Json => Output::Json(json::Writer::new(sink, json::Shape::Array)),
    })
}

impl<W: Write> Output<W> {
    /// Writes what is still held, and gives the output back; it is flushed.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn finish(self) -> Result<W> {
        match self {
            Output::Rows(rows) => rows.finish()?.finish(),
            Output::Json(records) => records.finish()?.finish(),
        }
    }
}
