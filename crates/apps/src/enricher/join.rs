//! What is joined to rows by key: a reference file, or what the rows of the input come to. Compiled once for the app,
//! and made ready for each run.
//!
//! Invariant: one run sees one state of each reference.

use super::aggregate::Totals;
use super::config::{self, Lookup, Unmatched};
use super::content::{Content, Form, Holding, Kind, Pieces};
use super::reference::{Reading, Reference};
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// A compiled lookup or aggregate.
#[derive(Debug)]
pub(super) enum Join {
    Lookup(Box<Compiled>),
    Aggregate(Totals),
}

/// A lookup whose reference has been read.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) reference: Reference,
    /// Our columns that make the key.
    keys: Vec<String>,
    /// Our names of the taken columns.
    take: Vec<String>,
    /// What they hold where there is no match.
    defaults: Vec<(Vec<u8>, Kind)>,
    unmatched: Unmatched,
}

impl Compiled {
    pub(super) fn new(lookup: &Lookup, base: &Path) -> Result<Self> {
        let shown = lookup.from.display().to_string();
        if lookup.key.0.is_empty() || lookup.take.0.is_empty() {
            return Err(Error::config("a lookup needs a `key` and something to `take`").on(shown));
        }
        let unmatched = match (lookup.join, lookup.unmatched) {
            (config::Join::Inner, Some(Unmatched::Keep)) => {
                return Err(Error::config("join is inner, and unmatched is keep")
                    .on(shown)
                    .hint("with `join: inner`, unmatched is reject or filter"));
            }
            (config::Join::Inner, None) => Unmatched::Reject,
            (_, unmatched) => unmatched.unwrap_or_default(),
        };
        let ours = |pairs: &config::Pairs| pairs.0.iter().map(|(ours, _)| ours.clone()).collect::<Vec<_>>();
        let take = ours(&lookup.take);
        if let Some(name) = lookup.default.keys().find(|name| !take.contains(name)) {
            let error = Error::config(format!("default: {name:?} is not one of the taken columns")).on(shown);
            return Err(match nearest(name, take.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint(format!("they are: {}", take.join(", "))),
            });
        }
        let defaults = take.iter().map(|name| default(lookup.default.get(name))).collect();
        let reference = Reference::open(lookup, base)?;
        Ok(Self { reference, keys: ours(&lookup.key), take, defaults, unmatched })
    }
}

fn default(value: Option<&Value>) -> (Vec<u8>, Kind) {
    match value {
        None | Some(Value::Null) => (Vec::new(), Kind::Missing),
        Some(Value::String(text)) => (text.clone().into_bytes(), Kind::Text),
        Some(other) => (other.to_string().into_bytes(), Kind::Json),
    }
}

impl Join {
    /// Our columns that make the key.
    pub(super) fn keys(&self) -> &[String] {
        match self {
            Join::Lookup(lookup) => &lookup.keys,
            Join::Aggregate(totals) => &totals.by,
        }
    }

    /// The new columns' names.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Join::Lookup(lookup) => &lookup.take,
            Join::Aggregate(totals) => &totals.names,
        }
    }

    pub(super) fn totals(&self) -> Option<&Totals> {
        match self {
            Join::Lookup(_) => None,
            Join::Aggregate(totals) => Some(totals),
        }
    }
}

/// Where the rows of a join are.
enum Held {
    Reading(Arc<Reading>),
    Totals(Box<Content>),
}

/// A join, ready for one run.
pub(super) struct Ready<'a> {
    pub(super) join: &'a Join,
    held: Held,
    holding: Arc<Holding>,
    /// What is appended to a row without a match.
    fallback: Vec<u8>,
    pub(super) unmatched: Unmatched,
    /// How many rows had no match.
    pub(super) unmatched_count: u64,
    /// The row that the row under way matches.
    pub(super) found: Option<u32>,
}

impl<'a> Ready<'a> {
    /// Ready to be appended in this form; `totals` are what an aggregate came to.
    ///
    /// # Errors
    /// What reading a reference gives.
    pub(super) fn new(join: &'a Join, form: &Form, totals: Option<Content>) -> Result<Self> {
        let mut fallback = Vec::new();
        let (held, holding, unmatched) = match join {
            Join::Lookup(lookup) => {
                let reading = lookup.reference.current()?;
                let holding = lookup.reference.holding(&reading, form)?;
                let mut pieces = Pieces::new(form);
                for (name, (text, kind)) in lookup.take.iter().zip(&lookup.defaults) {
                    pieces.push(&mut fallback, name, text, *kind)?;
                }
                (Held::Reading(reading), holding, lookup.unmatched)
            }
            Join::Aggregate(compiled) => {
                let content = totals.unwrap_or_default();
                let holding = Arc::new(Holding::new(&content, form, &compiled.names)?);
                // Every row has its group: it was there when the groups were made.
                (Held::Totals(Box::new(content)), holding, Unmatched::Reject)
            }
        };
        Ok(Self { join, held, holding, fallback, unmatched, unmatched_count: 0, found: None })
    }

    #[inline]
    pub(super) fn content(&self) -> &Content {
        match &self.held {
            Held::Reading(reading) => &reading.content,
            Held::Totals(content) => content,
        }
    }

    /// Looks a key up; false where there is no match, which is counted.
    #[inline]
    pub(super) fn look_up(&mut self, key: &[u8]) -> bool {
        self.found = self.content().find(key);
        self.unmatched_count += u64::from(self.found.is_none());
        self.found.is_some()
    }

    /// What is appended to the row under way.
    #[inline]
    pub(super) fn piece(&self) -> &[u8] {
        match self.found {
            Some(row) => self.holding.piece(row),
            None => &self.fallback,
        }
    }

    /// A cell of the row under way.
    #[inline]
    pub(super) fn cell(&self, cell: usize) -> (&[u8], Kind) {
        match (self.found, self.join) {
            (Some(row), _) => self.content().cell(row, cell),
            (None, Join::Lookup(lookup)) => {
                lookup.defaults.get(cell).map_or((b"", Kind::Missing), |(text, kind)| (text, *kind))
            }
            (None, Join::Aggregate(_)) => (b"", Kind::Missing),
        }
    }

    /// What the reference was, for the manifest.
    pub(super) fn manifest(&self) -> Option<Value> {
        let (Join::Lookup(lookup), Held::Reading(reading)) = (self.join, &self.held) else { return None };
        Some(json!({
            "path": lookup.reference.shown,
            "file_size": reading.size,
            "checksum": reading.checksum.to_string(),
            "rows": reading.row_count,
            "unmatched": self.unmatched_count,
        }))
    }

    /// How many rows had no match, for people.
    pub(super) fn note(&self) -> Option<String> {
        let Join::Lookup(lookup) = self.join else { return None };
        let done = match self.unmatched {
            Unmatched::Keep if lookup.defaults.iter().all(|(_, kind)| *kind == Kind::Missing) => {
                "kept, with empty columns"
            }
            Unmatched::Keep => "kept, with the default values",
            Unmatched::Reject => "rejected",
            Unmatched::Filter => "left out",
        };
        let (count, keys, from) = (self.unmatched_count, lookup.keys.join(", "), &lookup.reference.shown);
        (count > 0).then(|| format!("{count} rows have a key ({keys}) that {from} does not have: {done}"))
    }
}
