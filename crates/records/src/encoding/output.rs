//! The way out of UTF-8: text written in another encoding.
//!
//! Invariants:
//! - A character that the encoding does not have is an error, never another character.
//! - UTF-16 begins with a byte order mark, by which its readers know it.
//! - Characters may be cut anywhere between two writes.

use super::Encoding;
use crate::error::carried;
use encoding_rs::{Encoder, EncoderResult};
use handover_core::{Error, Result};
use std::io::Write;

const ROOM_BYTES: usize = 64 * 1024;

/// Takes UTF-8 and gives another encoding.
pub(crate) struct Transcoder {
    encoding: Encoding,
    encoder: Option<Encoder>,
    started: bool,
    /// The beginning of a character that the last write cut in two.
    cut: Vec<u8>,
    packed: Vec<u8>,
}

impl Transcoder {
    /// None for UTF-8, which needs no transcoding.
    pub(crate) fn new(encoding: Encoding) -> Option<Self> {
        let encoder = match encoding {
            Encoding::Utf8 | Encoding::Detect => return None,
            Encoding::Utf16Le | Encoding::Utf16Be | Encoding::Latin1 => None,
            Encoding::Other(other) => Some(other.new_encoder()),
        };
        Some(Self { encoding, encoder, started: false, cut: Vec::new(), packed: Vec::new() })
    }

    /// Writes the bytes on, but for a character that is cut at their end.
    pub(crate) fn write(&mut self, bytes: &[u8], out: &mut impl Write) -> std::io::Result<()> {
        if self.cut.is_empty() {
            return self.write_text(bytes, out);
        }
        let mut text = std::mem::take(&mut self.cut);
        text.extend_from_slice(bytes);
        self.write_text(&text, out)
    }

    fn write_text(&mut self, bytes: &[u8], out: &mut impl Write) -> std::io::Result<()> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => {
                let (whole, cut) = bytes.split_at(error.valid_up_to());
                self.cut = cut.to_vec();
                std::str::from_utf8(whole).unwrap_or_default()
            }
            Err(_) => return Err(carried(self.not_text())),
        };
        self.packed.clear();
        self.push(text).map_err(carried)?;
        out.write_all(&self.packed)
    }

    /// Appends the text, encoded, to what is to be written.
    fn push(&mut self, text: &str) -> Result<()> {
        let mark = if std::mem::replace(&mut self.started, true) { "" } else { "\u{feff}" };
        match self.encoding {
            Encoding::Utf16Le => {
                self.packed.extend(mark.encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes));
            }
            Encoding::Utf16Be => {
                self.packed.extend(mark.encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_be_bytes));
            }
            _ => return self.push_encoded(text, false),
        }
        Ok(())
    }

    fn push_encoded(&mut self, mut text: &str, last: bool) -> Result<()> {
        let Some(encoder) = &mut self.encoder else {
            for character in text.chars() {
                self.packed.push(u8::try_from(u32::from(character)).map_err(|_| self.lacks(character))?);
            }
            return Ok(());
        };
        loop {
            let start = self.packed.len();
            self.packed.resize(start + ROOM_BYTES, 0);
            let (result, read, written) =
                encoder.encode_from_utf8_without_replacement(text, &mut self.packed[start..], last);
            self.packed.truncate(start + written);
            text = &text[read..];
            match result {
                EncoderResult::InputEmpty => return Ok(()),
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(character) => return Err(self.lacks(character)),
            }
        }
    }

    fn lacks(&self, character: char) -> Error {
        Error::bad_data(format!("the character {character:?} cannot be written in {}", self.encoding.name()))
            .hint("write in utf-8, or replace the character before")
    }

    fn not_text(&self) -> Error {
        Error::bad_data(format!("bytes that are not UTF-8 cannot be written in {}", self.encoding.name()))
            .hint("reject such rows before, with a validator")
    }

    /// Writes what the encoding has to say at its end.
    pub(crate) fn finish(&mut self, out: &mut impl Write) -> Result<()> {
        if !self.cut.is_empty() {
            return Err(self.not_text());
        }
        self.packed.clear();
        self.push("")?;
        if self.encoder.is_some() {
            self.push_encoded("", true)?;
        }
        out.write_all(&self.packed).map_err(crate::error::write_error)
    }
}
