//! The encoding of characters: declared, told by a byte order mark, or detected; the way to UTF-8, and back.
//!
//! UTF-8 passes byte for byte, its byte order mark too: a row that is not UTF-8 says so itself. Any other encoding is
//! transcoded as it comes in. What cannot be read (half a surrogate pair) becomes a byte that is not UTF-8, so that the
//! row says so and the rest of the file goes on.
//!
//! Invariants:
//! - A byte order mark goes before what is declared: nobody writes one by mistake.
//! - Memory is two buffers of fixed size. A crash leaves nothing behind.

mod output;

pub(crate) use output::Transcoder;

use encoding_rs::{Decoder, DecoderResult};
use handover_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::Read;

/// How much of an input is looked at to detect its encoding, in bytes.
pub const DETECT_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// What a character becomes that cannot be read: a byte that UTF-8 never has.
const UNREADABLE: u8 = 0xff;

/// The encoding of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, unless a byte order mark says UTF-16.
    #[default]
    Utf8,
    /// Found out from the first [`DETECT_BYTES`]: UTF-8, UTF-16, or else windows-1252.
    Detect,
    /// UTF-16, the low byte first.
    Utf16Le,
    /// UTF-16, the high byte first.
    Utf16Be,
    /// ISO 8859-1: each byte is the character of that number.
    Latin1,
    /// Any other of the WHATWG encoding standard, windows-1252 among them.
    Other(&'static encoding_rs::Encoding),
}

impl Encoding {
    /// The encoding of this name.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a name that is none.
    pub fn named(name: &str) -> Result<Self> {
        let lower = name.trim().to_ascii_lowercase();
        Ok(match lower.as_str() {
            "utf-8" | "utf8" | "utf-8-sig" => Encoding::Utf8,
            "detect" | "auto" => Encoding::Detect,
            // Without a byte order mark, RFC 2781 takes the high byte for the first, and what people have is the other.
            "utf-16" | "utf16" | "utf-16le" | "utf-16-le" | "utf16le" => Encoding::Utf16Le,
            "utf-16be" | "utf-16-be" | "utf16be" => Encoding::Utf16Be,
            // The WHATWG standard takes these names for windows-1252; a table that declares them means what it says.
            "iso-8859-1" | "iso8859-1" | "latin1" | "latin-1" | "iso_8859-1" => Encoding::Latin1,
            "cp1252" => Encoding::Other(encoding_rs::WINDOWS_1252),
            other => match encoding_rs::Encoding::for_label_no_replacement(other.as_bytes()) {
                Some(found) if found == encoding_rs::UTF_8 => Encoding::Utf8,
                Some(found) if found == encoding_rs::UTF_16LE => Encoding::Utf16Le,
                Some(found) if found == encoding_rs::UTF_16BE => Encoding::Utf16Be,
                Some(found) => Encoding::Other(found),
                None => {
                    return Err(Error::config(format!("the encoding {name:?} is not known")).hint(
                        "known are utf-8, utf-16le, utf-16be, iso-8859-1, windows-1252, the other names of the WHATWG encoding standard, and detect",
                    ));
                }
            },
        })
    }

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Encoding::Utf8 => "utf-8".to_owned(),
            Encoding::Detect => "detect".to_owned(),
            Encoding::Utf16Le => "utf-16le".to_owned(),
            Encoding::Utf16Be => "utf-16be".to_owned(),
            Encoding::Latin1 => "iso-8859-1".to_owned(),
            Encoding::Other(other) => other.name().to_ascii_lowercase(),
        }
    }

    /// What an input that begins so is encoded in: by its byte order mark, else as declared, else as detected.
    /// `whole` says that the input has no more bytes.
    pub fn of(self, begin: &[u8], whole: bool) -> Self {
        match begin {
            [0xef, 0xbb, 0xbf, ..] => return Encoding::Utf8,
            [0xff, 0xfe, ..] => return Encoding::Utf16Le,
            [0xfe, 0xff, ..] => return Encoding::Utf16Be,
            _ => {}
        }
        if self == Encoding::Detect { detect(begin, whole) } else { self }
    }
}

/// UTF-16 of mostly Latin text has a NUL in every second byte; what is not UTF-8 is taken for windows-1252.
fn detect(begin: &[u8], whole: bool) -> Encoding {
    let nuls = |parity: usize| begin.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (nuls(0), nuls(1));
    let half = begin.len() / 2;
    if half > 0 && odd * 4 > half && even * 8 < half {
        return Encoding::Utf16Le;
    }
    if half > 0 && even * 4 > half && odd * 8 < half {
        return Encoding::Utf16Be;
    }
    match std::str::from_utf8(begin) {
        Ok(_) => Encoding::Utf8,
        Err(error) if error.error_len().is_none() && !whole => Encoding::Utf8,
        Err(_) => Encoding::Other(encoding_rs::WINDOWS_1252),
    }
}

impl Serialize for Encoding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::named(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Encoding {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Encoding".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// An input as UTF-8.
pub struct Utf8Input<R> {
    input: R,
    way: Way,
}

enum Way {
    /// UTF-8 as it is.
    AsIs,
    Decoded(Box<Decoding>),
}

/// The transcoding of an input.
struct Decoding {
    /// None for ISO 8859-1, which needs no table.
    decoder: Option<Decoder>,
    raw: Vec<u8>,
    raw_pos: usize,
    raw_end: usize,
    text: Vec<u8>,
    text_pos: usize,
    text_end: usize,
    at_end: bool,
    done: bool,
}

impl<R: Read> Utf8Input<R> {
    /// The input of this encoding, which is no longer to be detected (see [`Encoding::of`]).
    pub fn new(input: R, encoding: Encoding) -> Self {
        let decoder = match encoding {
            Encoding::Utf8 | Encoding::Detect => return Self { input, way: Way::AsIs },
            Encoding::Latin1 => None,
            Encoding::Utf16Le => Some(encoding_rs::UTF_16LE.new_decoder_with_bom_removal()),
            Encoding::Utf16Be => Some(encoding_rs::UTF_16BE.new_decoder_with_bom_removal()),
            Encoding::Other(other) => Some(other.new_decoder_without_bom_handling()),
        };
        let way = Way::Decoded(Box::new(Decoding {
            decoder,
            raw: vec![0; READ_BYTES],
            raw_pos: 0,
            raw_end: 0,
            text: vec![0; 2 * READ_BYTES],
            text_pos: 0,
            text_end: 0,
            at_end: false,
            done: false,
        }));
        Self { input, way }
    }
}

impl<R: Read> Read for Utf8Input<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let decoding = match &mut self.way {
            Way::AsIs => return self.input.read(into),
            Way::Decoded(decoding) => decoding,
        };
        while decoding.text_pos == decoding.text_end && !decoding.done {
            if decoding.raw_pos == decoding.raw_end && !decoding.at_end {
                decoding.raw_pos = 0;
                decoding.raw_end = self.input.read(&mut decoding.raw)?;
                decoding.at_end = decoding.raw_end == 0;
            }
            decoding.decode();
        }
        let ready = &decoding.text[decoding.text_pos..decoding.text_end];
        let count = ready.len().min(into.len());
        into[..count].copy_from_slice(&ready[..count]);
        decoding.text_pos += count;
        Ok(count)
    }
}

impl Decoding {
    fn decode(&mut self) {
        let raw = &self.raw[self.raw_pos..self.raw_end];
        self.text_pos = 0;
        let Some(decoder) = &mut self.decoder else {
            self.text_end = latin1(raw, &mut self.text);
            self.raw_pos = self.raw_end;
            self.done = self.at_end;
            return;
        };
        // One place is kept for the byte of a character that cannot be read.
        let room = self.text.len() - 1;
        let (result, read, written) =
            decoder.decode_to_utf8_without_replacement(raw, &mut self.text[..room], self.at_end);
        self.raw_pos += read;
        self.text_end = written;
        match result {
            DecoderResult::InputEmpty => self.done = self.at_end,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                self.text[written] = UNREADABLE;
                self.text_end += 1;
            }
        }
    }
}

/// Each byte is the character of its number; the text has twice the room.
fn latin1(raw: &[u8], text: &mut [u8]) -> usize {
    encoding_rs::mem::convert_latin1_to_utf8(raw, text)
}

/// Text in another encoding.
///
/// # Errors
/// [`handover_core::ErrorKind::BadData`] for a character that the encoding does not have.
pub fn encode(text: &str, encoding: Encoding) -> Result<Vec<u8>> {
    let mut sink = crate::Sink::encoded(Vec::new(), crate::Compression::None, None, encoding)?;
    std::io::Write::write_all(&mut sink, text.as_bytes()).map_err(crate::write_error)?;
    sink.finish()
}

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod tests;
