//! Reading what is compressed, within limits.
//!
//! Invariant: what is cut short or damaged is bad data and says so; an error of the source stays the source's.

use super::Compression;
use crate::error::carried;
use flate2::bufread::MultiGzDecoder;
use handover_core::limits::{EXPANDED_MAX_BYTES, EXPANSION_FREE_BYTES, EXPANSION_RATIO_MAX};
use handover_core::{Error, Result};
use std::io::{BufReader, Read};

const READ_BYTES: usize = 128 * 1024;
/// The largest window of a zstd frame that is read, as a power of two: 128 MiB, what the `zstd` program takes too.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How far a compressed input may expand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpandLimits {
    /// How many times its size it may come to.
    pub ratio: u64,
    /// Up to how many bytes nothing is said of the ratio.
    pub free_bytes: u64,
    /// The most that it may come to, in bytes.
    pub max_bytes: u64,
}

impl Default for ExpandLimits {
    fn default() -> Self {
        Self { ratio: EXPANSION_RATIO_MAX, free_bytes: EXPANSION_FREE_BYTES, max_bytes: EXPANDED_MAX_BYTES }
    }
}

/// The source, counted.
struct Counted<R> {
    input: R,
    bytes: u64,
    /// Whether the last error was the source's own.
    failed: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let result = self.input.read(into);
        match &result {
            Ok(count) => self.bytes += *count as u64,
            Err(_) => self.failed = true,
        }
        result
    }
}

enum Way<R: Read> {
    Plain(R),
    Gzip(Box<MultiGzDecoder<BufReader<Counted<R>>>>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Counted<R>>>),
}

/// A compressed input, expanded; one that is not compressed passes as it is.
pub struct Expanded<R: Read> {
    way: Way<R>,
    limits: ExpandLimits,
    bytes: u64,
}

impl<R: Read> Expanded<R> {
    /// The input, expanded.
    ///
    /// # Errors
    /// Where a decoder cannot be made.
    pub fn new(input: R, compression: Compression, limits: ExpandLimits) -> Result<Self> {
        let counted =
            |input| BufReader::with_capacity(READ_BYTES, Counted { input, bytes: 0, failed: false });
        let way = match compression {
            Compression::None => Way::Plain(input),
            Compression::Gzip => Way::Gzip(Box::new(MultiGzDecoder::new(counted(input)))),
            Compression::Zstd => {
                let broken =
                    |error: std::io::Error| Error::internal("cannot make a zstd decoder").because(error);
                let mut decoder = zstd::stream::read::Decoder::with_buffer(counted(input)).map_err(broken)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
                Way::Zstd(decoder)
            }
        };
        Ok(Self { way, limits, bytes: 0 })
    }

    fn source(&mut self) -> Option<&mut Counted<R>> {
        match &mut self.way {
            Way::Plain(_) => None,
            Way::Gzip(decoder) => Some(decoder.get_mut().get_mut()),
            Way::Zstd(decoder) => Some(decoder.get_mut().get_mut()),
        }
    }

    fn check(&mut self, count: usize) -> std::io::Result<usize> {
        self.bytes += count as u64;
        let (bytes, limits) = (self.bytes, self.limits);
        let Some(source) = self.source() else { return Ok(count) };
        let over_ratio = bytes > limits.free_bytes && bytes / limits.ratio.max(1) > source.bytes;
        if over_ratio || bytes > limits.max_bytes {
            let (what, hint) = if over_ratio {
                (format!("more than {} times its size", limits.ratio), "it looks like a decompression bomb")
            } else {
                (format!("more than {} bytes", limits.max_bytes), "split it into smaller files")
            };
            return Err(carried(Error::bad_data(format!("the compressed input comes to {what}")).hint(
                format!("{hint}; if it is meant to be so, expand it yourself and hand over the result"),
            )));
        }
        Ok(count)
    }

    fn damaged(&mut self, error: std::io::Error) -> std::io::Error {
        let Some(source) = self.source() else { return error };
        if source.failed || error.kind() == std::io::ErrorKind::Interrupted {
            source.failed = false;
            return error;
        }
        let (format, bytes) = (
            match self.way {
                Way::Zstd(_) => "zstd",
                _ => "gzip",
            },
            self.bytes,
        );
        let what = if error.kind() == std::io::ErrorKind::UnexpectedEof {
            format!("the {format} data is cut short after {bytes} expanded bytes")
        } else {
            format!("the {format} data is damaged after {bytes} expanded bytes")
        };
        carried(Error::bad_data(what).because(error).hint("the file is not whole: have it sent again"))
    }
}

impl<R: Read> Read for Expanded<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let result = match &mut self.way {
            Way::Plain(input) => return input.read(into),
            Way::Gzip(decoder) => decoder.read(into),
            Way::Zstd(decoder) => decoder.read(into),
        };
        match result {
            Ok(count) => self.check(count),
            Err(error) => Err(self.damaged(error)),
        }
    }
}
