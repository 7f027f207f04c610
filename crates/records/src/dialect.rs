//! How a table is written down: the separators, quotes and line ends of a CSV file.
//!
//! The keys are those of the Frictionless CSV Dialect (<https://specs.frictionlessdata.io/csv-dialect/>), in
//! snake_case as everywhere in a configuration and in the specification's own camelCase. What a dialect leaves out is
//! the default: comma, `"` doubled, a header, UTF-8.
//!
//! On purpose different from the specification: every character is one ASCII character; LF, CRLF and CR all end a row
//! when reading, whichever of them `line_terminator` names (as in Python's `csv`), and any other terminator alone;
//! an escape character may stand beside a quote; one that is the quote itself means that quotes are doubled.
//!
//! Invariant: the special characters of a [`Dialect`] that came out of [`Dialect::checked`] are ASCII and differ.
//! There is no I/O, so a crash leaves nothing.

mod sniff;

use crate::encoding::Encoding;
use handover_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How rows end when they are written, and where that is no LF, CRLF or CR, when they are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineEnd {
    /// `\n`.
    #[default]
    Lf,
    /// `\r\n`.
    CrLf,
    /// `\r`.
    Cr,
    /// Any other single character.
    Byte(u8),
}

impl LineEnd {
    /// Its bytes.
    pub fn bytes(self) -> &'static [u8] {
        /// Every byte, so that one can be lent for ever.
        const ALL: [u8; 256] = {
            let mut all = [0; 256];
            let mut at = 0;
            while at < 256 {
                all[at] = at as u8;
                at += 1;
            }
            all
        };
        match self {
            LineEnd::Lf => b"\n",
            LineEnd::CrLf => b"\r\n",
            LineEnd::Cr => b"\r",
            LineEnd::Byte(byte) => std::slice::from_ref(&ALL[usize::from(byte)]),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "\n" => Some(LineEnd::Lf),
            "\r\n" => Some(LineEnd::CrLf),
            "\r" => Some(LineEnd::Cr),
            other => one_ascii(other).map(LineEnd::Byte),
        }
    }
}

/// How a table is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Words", into = "Words")]
#[schemars(with = "Words")]
pub struct Dialect {
    /// Stands between the cells.
    pub delimiter: u8,
    /// Encloses cells that hold special characters; none where there are no quotes.
    pub quote: Option<u8>,
    /// Whether a quote inside quotes is written twice.
    pub double_quote: bool,
    /// Makes the next character literal.
    pub escape: Option<u8>,
    /// Whether the first row names the columns.
    pub header: bool,
    /// At the start of a row makes it a comment, which is no row.
    pub comment: Option<u8>,
    /// Whether spaces after a delimiter are no part of the cell.
    pub skip_initial_space: bool,
    /// Ends the rows.
    pub line_terminator: LineEnd,
    /// The characters' encoding.
    pub encoding: Encoding,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            double_quote: true,
            escape: None,
            header: true,
            comment: None,
            skip_initial_space: false,
            line_terminator: LineEnd::Lf,
            encoding: Encoding::default(),
        }
    }
}

impl Dialect {
    /// The default with tabs.
    pub fn tsv() -> Self {
        Self { delimiter: b'\t', ..Self::default() }
    }

    /// The dialect, if its characters can be told apart.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a character that is not ASCII, is a line end, or stands for two things.
    pub fn checked(self) -> Result<Self> {
        let terminator = match self.line_terminator {
            LineEnd::Byte(byte) => Some(byte),
            _ => None,
        };
        let given = [
            ("delimiter", Some(self.delimiter)),
            ("quote_char", self.quote),
            ("escape_char", self.escape),
            ("comment_char", self.comment),
            ("line_terminator", terminator),
        ];
        for (index, (key, byte)) in given.iter().enumerate() {
            let Some(byte) = *byte else { continue };
            if !byte.is_ascii() || matches!(byte, b'\0' | b'\r' | b'\n') {
                return Err(Error::config(format!("{key} is {:?}", char::from(byte)))
                    .hint("it has to be one ASCII character, and no line end"));
            }
            if self.skip_initial_space && byte == b' ' {
                return Err(Error::config(format!("{key} is a space, and skip_initial_space is set")));
            }
            if let Some((other, _)) = given[..index].iter().find(|(_, before)| *before == Some(byte)) {
                return Err(Error::config(format!("{key} and {other} are both {:?}", char::from(byte))));
            }
        }
        Ok(self)
    }
}

/// A dialect as a configuration has it: the keys of the Frictionless CSV Dialect.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Words {
    /// Between the cells; a comma unless it says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delimiter: Option<String>,
    /// Around cells with special characters; `"` unless it says otherwise, and an empty text or null for none.
    #[serde(
        default,
        alias = "quoteChar",
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    quote_char: Option<Option<String>>,
    /// Whether a quote inside quotes is written twice (true).
    #[serde(default, alias = "doubleQuote", skip_serializing_if = "Option::is_none")]
    double_quote: Option<bool>,
    /// Makes the next character literal (none).
    #[serde(default, alias = "escapeChar", skip_serializing_if = "Option::is_none")]
    escape_char: Option<String>,
    /// Whether the first row names the columns (true).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<bool>,
    /// At the start of a row makes it a comment (none).
    #[serde(default, alias = "commentChar", skip_serializing_if = "Option::is_none")]
    comment_char: Option<String>,
    /// Whether spaces after a delimiter are no part of the cell (false).
    #[serde(default, alias = "skipInitialSpace", skip_serializing_if = "Option::is_none")]
    skip_initial_space: Option<bool>,
    /// Ends the rows that are written (LF); LF, CRLF and CR are all read.
    #[serde(default, alias = "lineTerminator", skip_serializing_if = "Option::is_none")]
    line_terminator: Option<String>,
    /// `utf-8`, `utf-16le`, `utf-16be`, `iso-8859-1`, `windows-1252`, any other name of the WHATWG standard, or
    /// `detect`. A byte order mark goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
}

/// Tells a null from a key that is not there.
#[allow(clippy::option_option, reason = "null and absent differ here")]
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// The one ASCII character of a text.
fn one_ascii(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Some(*byte),
        _ => None,
    }
}

fn character(key: &str, text: &str) -> Result<u8> {
    one_ascii(text)
        .ok_or_else(|| Error::config(format!("{key} is {text:?}, which is not one ASCII character")))
}

impl TryFrom<Words> for Dialect {
    type Error = Error;

    fn try_from(words: Words) -> Result<Self> {
        let usual = Self::default();
        let optional = |key: &str, text: &Option<String>| match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => character(key, text).map(Some),
        };
        let quote = match &words.quote_char {
            None => usual.quote,
            Some(text) => optional("quote_char", text)?,
        };
        let escape = optional("escape_char", &words.escape_char)?;
        // Quotes that are escaped by themselves are doubled quotes.
        let doubled = escape.is_some() && escape == quote;
        Self {
            delimiter: words.delimiter.map_or(Ok(usual.delimiter), |text| character("delimiter", &text))?,
            quote,
            double_quote: words.double_quote.unwrap_or(usual.double_quote) || doubled,
            escape: escape.filter(|_| !doubled),
            header: words.header.unwrap_or(usual.header),
            comment: optional("comment_char", &words.comment_char)?,
            skip_initial_space: words.skip_initial_space.unwrap_or(usual.skip_initial_space),
            line_terminator: match words.line_terminator {
                None => usual.line_terminator,
                Some(text) => LineEnd::from_text(&text).ok_or_else(|| {
                    Error::config(format!("line_terminator {text:?} cannot be used"))
                        .hint("it is \"\\n\", \"\\r\\n\", \"\\r\" or one other ASCII character")
                })?,
            },
            encoding: words.encoding.unwrap_or(usual.encoding),
        }
        .checked()
    }
}

impl From<Dialect> for Words {
    fn from(dialect: Dialect) -> Self {
        let text = |byte: u8| char::from(byte).to_string();
        Self {
            delimiter: Some(text(dialect.delimiter)),
            quote_char: Some(dialect.quote.map(text)),
            double_quote: Some(dialect.double_quote),
            escape_char: dialect.escape.map(text),
            header: Some(dialect.header),
            comment_char: dialect.comment.map(text),
            skip_initial_space: Some(dialect.skip_initial_space),
            line_terminator: Some(String::from_utf8_lossy(dialect.line_terminator.bytes()).into_owned()),
            encoding: Some(dialect.encoding),
        }
    }
}

#[cfg(test)]
#[path = "dialect_tests.rs"]
mod tests;
