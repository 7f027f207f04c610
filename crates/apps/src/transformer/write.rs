//! Writing records: as rows of a table, or as JSON objects whose keys are written once.
//!
//! Invariant: nothing is allocated for a record or a field.

use super::fields::{Fields, Kind};
use handover_core::{Error, Result};
use handover_records::csv::{CellWriter, Quoting};
use handover_records::json::push_string;
use handover_records::{Dialect, Format};

/// Writes the fields of records.
pub(super) enum Writer {
    /// Rows of a table.
    Table {
        /// In its dialect.
        cells: Box<CellWriter>,
        /// The fields, in their order.
        slots: Vec<usize>,
    },
    /// JSON objects, flat: each field's key with what stands before it.
    Flat(Vec<(Vec<u8>, usize)>),
    /// JSON objects of which some fields may be absent, or lie in one another.
    Tree {
        /// The fields.
        root: Vec<Node>,
        /// Whether a field that is absent is written as null.
        whole: bool,
    },
}

/// A field of a JSON object.
pub(super) struct Node {
    /// `"name":`
    key: Vec<u8>,
    name: String,
    body: Body,
}

enum Body {
    Leaf(usize),
    Branch(Vec<Node>),
}

fn key_of(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    push_string(&mut key, name);
    key.push(b':');
    key
}

impl Writer {
    /// A writer of a table's rows.
    pub(super) fn table(dialect: &Dialect, quoting: Quoting, slots: Vec<usize>) -> Self {
        Self::Table { cells: Box::new(CellWriter::new(dialect, quoting)), slots }
    }

    /// A writer of JSON. `whole` says that every record has all the fields, with null for those that it lacks; `nest`
    /// that dotted names become objects in one another.
    ///
    /// # Errors
    /// The name of a field that would be both a value and an object.
    pub(super) fn json(fields: &[(&str, usize)], whole: bool, nest: bool) -> Result<Self, String> {
        if whole && !nest {
            let lead = |index| if index == 0 { b'{' } else { b',' };
            let keys = fields.iter().enumerate().map(|(index, (name, slot))| {
                let mut key = vec![lead(index)];
                key.extend(key_of(name));
                (key, *slot)
            });
            return Ok(Self::Flat(keys.collect()));
        }
        let mut root = Vec::new();
        for (name, slot) in fields {
            let parts: Vec<&str> = if nest { name.split('.').collect() } else { vec![name] };
            insert(&mut root, &parts, *slot).ok_or_else(|| (*name).to_owned())?;
        }
        Ok(Self::Tree { root, whole })
    }

    /// The names of the columns as a row; nothing for JSON.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] for a name that the dialect cannot express.
    pub(super) fn header(&self, names: &[String]) -> Result<Vec<u8>> {
        let mut header = Vec::new();
        if let Self::Table { cells, slots } = self
            && cells.dialect().header
            && !slots.is_empty()
        {
            cells.push_row(&mut header, slots.iter().filter_map(|slot| names.get(*slot)))?;
        }
        Ok(header)
    }

    /// Appends a record, a row with its line end.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] for a cell that the dialect cannot express; what was appended is to be taken
    /// back then.
    pub(super) fn push(&self, into: &mut Vec<u8>, fields: &Fields<'_>) -> Result<()> {
        match self {
            Self::Table { cells, slots } => return push_row(cells, slots, into, fields),
            Self::Flat(keys) => {
                for (key, slot) in keys {
                    into.extend_from_slice(key);
                    push_value(into, fields.kind(*slot), fields.get(*slot));
                }
                into.extend_from_slice(if keys.is_empty() { b"{}" } else { b"}" });
            }
            Self::Tree { root, whole } => {
                push_object(root, *whole, into, fields);
            }
        }
        Ok(())
    }
}

fn push_row(cells: &CellWriter, slots: &[usize], into: &mut Vec<u8>, fields: &Fields<'_>) -> Result<()> {
    if slots.is_empty() {
        return Err(Error::bad_data("a row without any column cannot be written")
            .hint("name the columns in `select`"));
    }
    if let [only] = slots {
        // An empty cell alone would be no row without its quotes.
        return cells.push_row(into, [fields.get(*only)]);
    }
    for (index, slot) in slots.iter().enumerate() {
        if index > 0 {
            cells.push_delimiter(into);
        }
        cells.push_cell(into, fields.get(*slot), index == 0)?;
    }
    cells.push_line_end(into);
    Ok(())
}

/// Puts a field under its dotted name; none where something is in its way.
fn insert(nodes: &mut Vec<Node>, parts: &[&str], slot: usize) -> Option<()> {
    let (name, rest) = parts.split_first()?;
    let at = nodes.iter().position(|node| node.name == *name);
    match (at, rest) {
        (None, []) => {
            nodes.push(Node { key: key_of(name), name: (*name).to_owned(), body: Body::Leaf(slot) })
        }
        (None, rest) => {
            let mut inside = Vec::new();
            insert(&mut inside, rest, slot)?;
            nodes.push(Node { key: key_of(name), name: (*name).to_owned(), body: Body::Branch(inside) });
        }
        (Some(at), rest) => match &mut nodes[at].body {
            Body::Branch(inside) if !rest.is_empty() => insert(inside, rest, slot)?,
            _ => return None,
        },
    }
    Some(())
}

/// Appends an object; whether anything is in it.
fn push_object(nodes: &[Node], whole: bool, into: &mut Vec<u8>, fields: &Fields<'_>) -> bool {
    into.push(b'{');
    let mut any = false;
    for node in nodes {
        let start = into.len();
        if any {
            into.push(b',');
        }
        into.extend_from_slice(&node.key);
        let written = match &node.body {
            Body::Leaf(slot) if !whole && fields.kind(*slot) == Kind::Absent => false,
            Body::Leaf(slot) => {
                push_value(into, fields.kind(*slot), fields.get(*slot));
                true
            }
            Body::Branch(inside) => push_object(inside, whole, into, fields),
        };
        if written {
            any = true;
        } else {
            into.truncate(start);
        }
    }
    into.push(b'}');
    any
}

fn push_value(into: &mut Vec<u8>, kind: Kind, value: &[u8]) {
    match kind {
        Kind::Absent | Kind::Missing => into.extend_from_slice(b"null"),
        Kind::Text => push_text(into, value),
        Kind::Number | Kind::Bool => into.extend_from_slice(value),
        // Outside strings a line feed is white space, and inside them none stands.
        Kind::Json => into.extend(value.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte })),
    }
}

/// A text as a JSON string.
fn push_text(into: &mut Vec<u8>, text: &[u8]) {
    let plain =
        text.iter().fold(true, |plain, byte| plain & (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\'));
    if plain {
        into.push(b'"');
        into.extend_from_slice(text);
        into.push(b'"');
    } else {
        // Rows that are not UTF-8 were rejected before.
        push_string(into, &String::from_utf8_lossy(text));
    }
}

/// What stands around the records of an output.
pub(super) enum Frame {
    /// A table: its header, which is taken when it is written.
    Table(Option<Vec<u8>>),
    /// One record a line.
    Lines,
    /// An array, and whether it has a record.
    Array(bool),
}

impl Frame {
    pub(super) fn new(format: Format, header: Vec<u8>) -> Self {
        match format {
            Format::Csv => Frame::Table(Some(header)),
            Format::Ndjson => Frame::Lines,
            Format::Json => Frame::Array(false),
        }
    }

    /// Before a record.
    #[inline]
    pub(super) fn before(&mut self, into: &mut Vec<u8>) {
        match self {
            Frame::Table(None) | Frame::Lines => {}
            Frame::Table(header) => into.extend(header.take().unwrap_or_default()),
            Frame::Array(any) => {
                into.extend_from_slice(if std::mem::replace(any, true) { b",\n" } else { b"[\n" })
            }
        }
    }

    /// After a record.
    #[inline]
    pub(super) fn after(&self, into: &mut Vec<u8>) {
        if matches!(self, Frame::Lines) {
            into.push(b'\n');
        }
    }

    /// At the end.
    pub(super) fn end(&mut self, into: &mut Vec<u8>) {
        match self {
            Frame::Table(header) => into.extend(header.take().unwrap_or_default()),
            Frame::Lines => {}
            Frame::Array(any) => into.extend_from_slice(if *any { b"\n]\n" } else { b"[]\n" }),
        }
    }
}
