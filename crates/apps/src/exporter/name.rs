//! The names of exports, by a pattern of the receiver's choice.
//!
//! Invariant: a name that comes out of a pattern has no folder in it, is no manifest's and no unfinished file's. There is
//! no I/O.

use handover_core::suggest::nearest;
use handover_core::{AppName, Checksum, Error, Result, TypeName};
use jiff::civil::Date;
use std::fmt::Write as _;

/// The pattern of the convention.
pub(super) const USUAL: &str = "{app}_{type}_{date}_{sequence}.{ext}";

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
    /// Which part it is, from 1; 1 where the export is one file.
    pub part: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Text(String),
    App,
    Type,
    Date,
    Sequence,
    Hash,
    Ext,
    Part,
}

const PLACES: [&str; 7] = ["app", "type", "date", "sequence", "part", "hash", "ext"];
/// How many hex digits `{hash}` has.
const HASH_DIGITS: usize = 12;
/// The longest name that common file systems take.
const FILE_NAME_MAX_BYTES: usize = 255;

/// A name pattern that was read.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Piece>);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where it gives no names.
    pub(super) fn read(text: &str) -> Result<Self> {
        pieces(text).map(Self)
    }

    /// Whether it has this place.
    pub(super) fn has(&self, piece: &Piece) -> bool {
        self.0.contains(piece)
    }

    /// The name of an export.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where it would be too long for a file system.
    pub(super) fn render(&self, parts: &NameParts<'_>) -> Result<String> {
        let mut name = String::new();
        for piece in &self.0 {
            let _ = match piece {
                Piece::Text(text) => write!(name, "{text}"),
                Piece::App => write!(name, "{}", parts.app),
                Piece::Type => write!(name, "{}", parts.type_name),
                Piece::Date => write!(name, "{}", parts.date),
                Piece::Sequence => write!(name, "{:03}", parts.sequence),
                Piece::Part => write!(name, "{:03}", parts.part),
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
            "part" => Piece::Part,
            "hash" => Piece::Hash,
            "ext" => Piece::Ext,
            _ => {
                let error = refuse(format!("{{{place}}} is not known"));
                return Err(match nearest(place, PLACES) {
                    Some(near) => error.hint(format!("did you mean {{{near}}}?")),
                    None => error.hint("known are {app} {type} {date} {sequence} {part} {hash} {ext}"),
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
