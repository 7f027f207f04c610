//! gzip and zstd, in and out.
//!
//! In: known by their first bytes, whatever the file is called; several members or frames one behind the other are one
//! input; what is cut short, damaged, or expands beyond all measure ends in an error that says so.
//!
//! Out: blocks of fixed size, compressed on all processors and written in their order, each a gzip member (RFC 1952) or
//! a zstd frame (RFC 8878) of its own. Readers of both formats read such files as one.
//!
//! Invariants:
//! - The same bytes give the same compressed bytes, on any number of processors: no time and no name is in them.
//! - Memory is bounded by the blocks under way.
//! - On a crash nothing is lost: whoever writes here publishes afterwards.

mod blocks;
mod deflate;
mod expand;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use blocks::BlockWriter;
pub use expand::{ExpandLimits, Expanded};

/// How a stream is compressed.
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

impl Compression {
    /// How an input that begins so is compressed. Four bytes are enough.
    pub fn of(begin: &[u8]) -> Self {
        match begin {
            // ID1, ID2 and CM of RFC 1952, 2.3.
            [0x1f, 0x8b, 8, ..] => Compression::Gzip,
            // The magic numbers of RFC 8878: a frame, 3.1.1; a skippable frame, 3.1.2.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// The extension that says so, with its dot.
    pub fn suffix(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }

    /// The levels that it has.
    pub fn levels(self) -> std::ops::RangeInclusive<i32> {
        match self {
            Compression::None => 0..=0,
            Compression::Gzip => 0..=12,
            Compression::Zstd => 1..=22,
        }
    }

    /// The level that is used where none is given: a good deal faster than the usual one of other programs, and not much larger.
    /// gzip's is a compressor of our own, made for tables ([`deflate`]).
    pub fn usual_level(self) -> i32 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 4,
            Compression::Zstd => 3,
        }
    }
}
