//! From a row or a record to fields: read, told whether there is a value, parsed and cast by their rules.

use super::bound::{Bound, FIELDS_MAX};
use super::cast::{Fit, cast, infer};
use super::fields::{Fields, Item, Kind};
use super::plan::{Parse, Rule};
use crate::table::shown;
use handover_records::csv::RowRef;
use handover_records::json::{self, Problem, RecordRef};
use std::borrow::Cow;

/// What is wrong with one field of a record.
#[derive(Debug)]
pub(super) struct Flaw {
    /// The field, where it is one.
    pub(super) field: Option<String>,
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// Loads records.
pub(super) struct Loader {
    /// Texts that mean that there is no value, but for the empty one.
    missing: Vec<Vec<u8>>,
    empty_is_missing: bool,
    trim: bool,
    infer: bool,
    /// Whether objects become fields of their own.
    flatten: bool,
    /// The places of the fields of the record before, in their order: most records have the same.
    guess: Vec<usize>,
    /// A value that is parsed, or a name that is put together.
    spare: Vec<u8>,
    pub(super) flaws: Vec<Flaw>,
}

impl Loader {
    /// For a table; `infer` where the output has types.
    pub(super) fn of_rows(bound: &Bound<'_>, infer: bool) -> Self {
        let plan = bound.plan;
        let missing = plan.missing.iter().filter(|text| !text.is_empty()).cloned().collect();
        let empty_is_missing = plan.missing.iter().any(Vec::is_empty);
        Self { missing, empty_is_missing, trim: plan.trim, infer, ..Self::new() }
    }

    /// For JSON records, where only null is no value, and what `missing` says beside the empty text.
    pub(super) fn of_records(bound: &Bound<'_>, flatten: bool) -> Self {
        let plan = bound.plan;
        let missing = plan.missing.iter().filter(|text| !text.is_empty()).cloned().collect();
        Self { missing, flatten, trim: plan.trim, ..Self::new() }
    }

    fn new() -> Self {
        Self {
            missing: Vec::new(),
            empty_is_missing: false,
            trim: false,
            infer: false,
            flatten: false,
            guess: Vec::new(),
            spare: Vec::new(),
            flaws: Vec::new(),
        }
    }

    pub(super) fn is_missing(&self, text: &[u8]) -> bool {
        if text.is_empty() {
            self.empty_is_missing
        } else {
            self.missing.iter().any(|missing| missing == text)
        }
    }

    /// Whether a cell of this field has no value.
    fn is_missing_in(&self, rule: Option<&Rule>, cell: &[u8]) -> bool {
        match rule.and_then(|rule| rule.missing.as_ref()) {
            Some(own) => own.iter().any(|missing| missing == cell),
            None => self.is_missing(cell),
        }
    }

    /// Loads a row of as many cells as the table has columns.
    pub(super) fn row<'a>(&mut self, bound: &Bound<'_>, row: &RowRef<'a>, fields: &mut Fields<'a>) {
        fields.clear();
        for (slot, spec) in bound.specs.iter().enumerate().take(row.len()) {
            if !spec.needed {
                fields.push(Item::ABSENT);
                continue;
            }
            let item = match row.cell(slot) {
                Cow::Borrowed(cell) => {
                    let cell = if self.trim { cell.trim_ascii() } else { cell };
                    match self.is_missing_in(spec.rule, cell) {
                        true => Item::MISSING,
                        false => Item::lent(cell, Kind::Text),
                    }
                }
                Cow::Owned(cell) => {
                    let cell = if self.trim { cell.trim_ascii() } else { &cell };
                    if self.is_missing_in(spec.rule, cell) {
                        Item::MISSING
                    } else {
                        fields.write(Kind::Text, |own| own.extend_from_slice(cell))
                    }
                }
            };
            let item = match spec.rule {
                Some(rule) if !spec.made => self.ruled(&bound.names[slot], rule, item, fields),
                None if self.infer && item.kind == Kind::Text => {
                    let kind = infer(fields.bytes(&item));
                    fields.as_kind(&item, kind)
                }
                _ => item,
            };
            fields.push(item);
        }
        fields.resize(bound.names.len());
    }

    /// What the rule of a field makes of its value; what does not fit is a flaw.
    pub(super) fn ruled<'a>(
        &mut self,
        name: &str,
        rule: &Rule,
        item: Item<'a>,
        fields: &mut Fields<'a>,
    ) -> Item<'a> {
        if !item.kind.is_some() {
            return match &rule.default {
                Some((text, kind)) => fields.write(*kind, |own| own.extend_from_slice(text)),
                None => item,
            };
        }
        let mut item = item;
        if let Some(parse) = &rule.parse {
            // A number of JSON is no text that would have to be parsed.
            if item.kind == Kind::Text || matches!(parse, Parse::Date(_)) {
                match self.parsed(parse, &item, fields) {
                    Ok(parsed) => item = parsed,
                    Err(message) => return self.flawed(name, message),
                }
            }
            if matches!(parse, Parse::Date(_)) && rule.cast.is_none() {
                return item;
            }
        }
        let to = match (rule.cast, &rule.parse) {
            (Some(to), _) => to,
            (None, Some(Parse::Number(_))) => super::config::Type::Number,
            (None, _) => return item,
        };
        self.spare.clear();
        match cast(to, fields.bytes(&item), &mut self.spare) {
            Ok(fit) if rule.exact && !is_kept(&fit, fields.bytes(&item), &self.spare) => {
                let shown = shown(&String::from_utf8_lossy(fields.bytes(&item)));
                self.flawed(name, format!("{shown} has more digits than a number of JSON keeps"))
            }
            Ok(Fit::AsIs(kind)) => fields.as_kind(&item, kind),
            Ok(Fit::Written(kind)) => fields.write(kind, |own| own.extend_from_slice(&self.spare)),
            Err(message) => self.flawed(name, message),
        }
    }

    fn flawed<'a>(&mut self, name: &str, message: String) -> Item<'a> {
        self.flaws.push(Flaw { field: Some(name.to_owned()), code: "type-error", message });
        Item::MISSING
    }

    fn parsed<'a>(
        &mut self,
        parse: &Parse,
        item: &Item<'a>,
        fields: &mut Fields<'a>,
    ) -> Result<Item<'a>, String> {
        self.spare.clear();
        let bytes = fields.bytes(item);
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let read = match parse {
            Parse::Number(rule) => rule.read(text, &mut self.spare),
            Parse::Date(rule) => rule.read(text, &mut self.spare),
            Parse::Words(rule) => rule.read(text, &mut self.spare),
        };
        if !read {
            return Err(match parse {
                Parse::Number(_) => {
                    format!("{} is not a number as `numbers` says they are written", shown(text))
                }
                Parse::Date(rule) => format!("{} is not {}", shown(text), rule.expected()),
                Parse::Words(rule) => {
                    format!(
                        "{} is not a boolean ({} or {})",
                        shown(text),
                        rule.yes.join(", "),
                        rule.no.join(", ")
                    )
                }
            });
        }
        Ok(fields.write(Kind::Text, |own| own.extend_from_slice(&self.spare)))
    }

    /// Loads a record. The outer error is that it is no JSON, or no object.
    pub(super) fn record<'a>(
        &mut self,
        bound: &mut Bound<'_>,
        record: &RecordRef<'a>,
        fields: &mut Fields<'a>,
    ) -> Result<(), Flaw> {
        fields.clear();
        fields.resize(bound.names.len());
        let raw = record.fields().map_err(flaw_of)?;
        let Some(raw) = raw else {
            let message = "the record is no object".to_owned();
            return Err(Flaw { field: None, code: "type-error", message });
        };
        let mut at = 0;
        for (name, value) in raw {
            self.field(bound, &name, value.get().as_bytes(), &mut at, fields)?;
        }
        for slot in &bound.ruled {
            if let Some(rule) = bound.specs[*slot].rule {
                let item = self.ruled(&bound.names[*slot], rule, fields.item(*slot), fields);
                fields.set(*slot, item);
            }
        }
        Ok(())
    }

    /// Loads a field, or the fields of an object in it.
    fn field<'a>(
        &mut self,
        bound: &mut Bound<'_>,
        name: &str,
        value: &'a [u8],
        at: &mut usize,
        fields: &mut Fields<'a>,
    ) -> Result<(), Flaw> {
        if matches!(value.first(), Some(b'{' | b'[')) {
            json::check(value).map_err(flaw_of)?;
            if self.flatten
                && let Ok(Some(inside)) = json::fields(value)
                && !inside.is_empty()
            {
                for (key, value) in inside {
                    self.field(bound, &format!("{name}.{key}"), value.get().as_bytes(), at, fields)?;
                }
                return Ok(());
            }
        }
        let slot = match self.guess.get(*at) {
            Some(slot) if bound.plan.renamed(name) == bound.names[*slot] => *slot,
            _ => match bound.slot_of_record(name) {
                Some(slot) => {
                    self.guess.truncate(*at);
                    self.guess.push(slot);
                    slot
                }
                None if bound.selects() => return Ok(()),
                None => {
                    self.flaws.push(if bound.settled { late(name) } else { too_many(name) });
                    return Ok(());
                }
            },
        };
        *at += 1;
        fields.resize(bound.names.len().max(fields.len()));
        if fields.kind(slot) != Kind::Absent {
            let message = format!("two fields of the record would be called {:?}", bound.names[slot]);
            self.flaws.push(Flaw { field: Some(name.to_owned()), code: "duplicate-field", message });
            return Ok(());
        }
        bound.see(slot);
        let item = self.value(value, fields)?;
        fields.set(slot, item);
        Ok(())
    }

    /// A value of JSON as it stands; a text without its quotes and escapes.
    fn value<'a>(&mut self, value: &'a [u8], fields: &mut Fields<'a>) -> Result<Item<'a>, Flaw> {
        let item = match value {
            [b'"', inside @ .., b'"'] if memchr::memchr(b'\\', inside).is_none() => {
                let inside = if self.trim { inside.trim_ascii() } else { inside };
                Item::lent(inside, Kind::Text)
            }
            [b'"', ..] => {
                let text: String = serde_json::from_slice(value).map_err(|error| Flaw {
                    field: None,
                    code: "source-error",
                    message: format!("a text in it cannot be read: {error}"),
                })?;
                let text = if self.trim { text.trim_ascii() } else { &text };
                fields.write(Kind::Text, |own| own.extend_from_slice(text.as_bytes()))
            }
            [b'n', ..] => Item::MISSING,
            [b't' | b'f', ..] => Item::lent(value, Kind::Bool),
            [b'{' | b'[', ..] => Item::lent(value, Kind::Json),
            _ => Item::lent(value, Kind::Number),
        };
        let missing = item.kind == Kind::Text && self.is_missing(fields.bytes(&item));
        Ok(if missing { Item::MISSING } else { item })
    }
}

fn late(name: &str) -> Flaw {
    Flaw {
        field: Some(name.to_owned()),
        code: "extra-field",
        message:
            "the field is new here, and the columns were settled by the first records: name it in `select`"
                .to_owned(),
    }
}

fn too_many(name: &str) -> Flaw {
    let message = format!("the records have more than {FIELDS_MAX} different fields");
    Flaw { field: Some(name.to_owned()), code: "too-many-fields", message }
}

fn flaw_of(problem: Problem) -> Flaw {
    Flaw { field: None, code: "source-error", message: problem.message }
}

/// Whether a cast value, if it is a number, is kept to its last digit.
fn is_kept(fit: &Fit, as_is: &[u8], written: &[u8]) -> bool {
    let number = match fit {
        Fit::AsIs(Kind::Number) => as_is,
        Fit::Written(Kind::Number) => written,
        _ => return true,
    };
    std::str::from_utf8(number).is_ok_and(json::is_exact)
}
