//! One record on its way through the mapping: its fields' values, each where it stands in the input or, where it was
//! written anew, in one buffer that all records share.
//!
//! Invariant: nothing is allocated for a field. There is no I/O.

use crate::expression::Cells;
use std::borrow::Cow;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The record has no such field.
    Absent,
    /// It has no value.
    Missing,
    /// Text.
    Text,
    /// A number, written as JSON has it.
    Number,
    /// `true` or `false`.
    Bool,
    /// Any value as JSON.
    Json,
}

impl Kind {
    /// Whether there is a value.
    pub(super) fn is_some(self) -> bool {
        !matches!(self, Kind::Absent | Kind::Missing)
    }
}

#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Lent(&'a [u8]),
    Own { start: usize, end: usize },
}

/// A value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    place: Place<'a>,
    /// What it is.
    pub(super) kind: Kind,
}

impl<'a> Item<'a> {
    /// A field that the record does not have.
    pub(super) const ABSENT: Item<'static> = Item { place: Place::Lent(b""), kind: Kind::Absent };
    /// No value.
    pub(super) const MISSING: Item<'static> = Item { place: Place::Lent(b""), kind: Kind::Missing };

    /// A value that stands elsewhere.
    pub(super) fn lent(bytes: &'a [u8], kind: Kind) -> Self {
        Self { place: Place::Lent(bytes), kind }
    }
}

/// The values of one record, by the fields' places.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    items: Vec<Item<'a>>,
    own: Vec<u8>,
}

impl<'a> Fields<'a> {
    /// No fields, with this buffer for what is written anew.
    pub(super) fn new(own: Vec<u8>) -> Self {
        Self { items: Vec::new(), own }
    }

    /// The buffer, to be used again.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.own
    }

    /// No fields.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.own.clear();
    }

    /// As many fields, those that are new without a value.
    pub(super) fn resize(&mut self, count: usize) {
        self.items.resize(count, Item::ABSENT);
    }

    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Adds a field.
    pub(super) fn push(&mut self, item: Item<'a>) {
        self.items.push(item);
    }

    /// Sets a field that is there.
    pub(super) fn set(&mut self, slot: usize, item: Item<'a>) {
        if let Some(there) = self.items.get_mut(slot) {
            *there = item;
        }
    }

    /// A field; none is one that is absent.
    pub(super) fn item(&self, slot: usize) -> Item<'a> {
        self.items.get(slot).copied().unwrap_or(Item::ABSENT)
    }

    /// What a field is.
    pub(super) fn kind(&self, slot: usize) -> Kind {
        self.items.get(slot).map_or(Kind::Absent, |item| item.kind)
    }

    /// The bytes of a value.
    pub(super) fn bytes(&self, item: &Item<'a>) -> &[u8] {
        match item.place {
            Place::Lent(bytes) => bytes,
            Place::Own { start, end } => self.own.get(start..end).unwrap_or_default(),
        }
    }

    /// The bytes of a field.
    pub(super) fn get(&self, slot: usize) -> &[u8] {
        self.items.get(slot).map_or(b"", |item| self.bytes(item))
    }

    /// Writes a value: what the function appends is it.
    pub(super) fn write(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) -> Item<'a> {
        let start = self.own.len();
        write(&mut self.own);
        Item { place: Place::Own { start, end: self.own.len() }, kind }
    }

    /// Where the next value that is written will begin.
    pub(super) fn mark(&self) -> usize {
        self.own.len()
    }

    /// The value that was written since the mark.
    pub(super) fn since(&self, mark: usize, kind: Kind) -> Item<'a> {
        Item { place: Place::Own { start: mark, end: self.own.len() }, kind }
    }

    /// The buffer, to append a value to.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// Appends a part of a value to the buffer, which may be a part of the buffer.
    pub(super) fn copy(&mut self, item: &Item<'a>) {
        match item.place {
            Place::Lent(bytes) => self.own.extend_from_slice(bytes),
            Place::Own { start, end } => self.own.extend_from_within(start..end),
        }
    }

    /// A part of a value, as text.
    pub(super) fn part(&self, item: &Item<'a>, from: usize, to: usize) -> Item<'a> {
        let place = match item.place {
            Place::Lent(bytes) => Place::Lent(bytes.get(from..to).unwrap_or_default()),
            Place::Own { start, .. } => Place::Own { start: start + from, end: start + to },
        };
        Item { place, kind: Kind::Text }
    }

    /// The same value as another kind.
    pub(super) fn as_kind(&self, item: &Item<'a>, kind: Kind) -> Item<'a> {
        Item { kind, ..*item }
    }
}

impl Cells for Fields<'_> {
    fn cell(&self, column: usize) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.get(column))
    }
}
