//! A mapping compiled as far as that can be done without an input: what contradicts itself is refused here.

use super::cast::{Fit, cast};
use super::config::{Compare, Config, Deduplicate, Join, Keep, Order, Scalar, SortKey, Split, Type};
use super::dates::DateRule;
use super::fields::Kind;
use super::numbers::NumberRule;
use crate::expression::{Expression, Over};
use handover_core::{Error, Result};
use handover_records::Format;
use std::collections::{HashMap, HashSet};

/// How the text of a field is read, before it is cast.
pub(super) enum Parse {
    Number(NumberRule),
    Date(DateRule),
    Words(WordRule),
}

/// Words that mean true, and words that mean false.
pub(super) struct WordRule {
    pub(super) yes: Vec<String>,
    pub(super) no: Vec<String>,
}

impl WordRule {
    /// Appends what the word means; false, and nothing appended, where it is none of them.
    pub(super) fn read(&self, text: &str, into: &mut Vec<u8>) -> bool {
        let is = |words: &[String]| words.iter().any(|word| word == text);
        match (is(&self.yes), is(&self.no)) {
            (true, _) => into.extend_from_slice(b"true"),
            (_, true) => into.extend_from_slice(b"false"),
            _ => return false,
        }
        true
    }
}

/// What is done to the value of one field.
#[derive(Default)]
pub(super) struct Rule {
    pub(super) parse: Option<Parse>,
    pub(super) cast: Option<Type>,
    /// What stands for no value, as it is written.
    pub(super) default: Option<(Vec<u8>, Kind)>,
    /// Texts that mean that this field has no value, where it has its own.
    pub(super) missing: Option<Vec<Vec<u8>>>,
    /// Whether a number that JSON's readers would not keep to its last digit does not fit.
    pub(super) exact: bool,
}

impl Rule {
    /// Whether its values are numbers.
    pub(super) fn is_number(&self) -> bool {
        match self.cast {
            None => matches!(self.parse, Some(Parse::Number(_))),
            Some(to) => matches!(to, Type::Integer | Type::Number),
        }
    }
}

/// An expression, over whatever comes in.
pub(super) struct Formula {
    rows: Result<Expression>,
    records: Result<Expression>,
    /// `compute: total`, or `filter`.
    on: String,
}

impl Formula {
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where it cannot work over the format, or over any.
    fn new(on: String, source: &str, format: Option<Format>, condition: bool) -> Result<Self> {
        let compile = |over| {
            let compiled = if condition {
                Expression::condition(source, over)
            } else {
                Expression::compile(source, over)
            };
            compiled.map_err(|error| named(&on, error))
        };
        let (rows, records) = (compile(Over::Rows), compile(Over::Records));
        match (format, rows, records) {
            (Some(Format::Csv) | None, Err(error), Err(_)) | (Some(Format::Csv), Err(error), _) => Err(error),
            (Some(_), _, Err(error)) => Err(error),
            (_, rows, records) => Ok(Self { rows, records, on }),
        }
    }

    /// The expression over this format.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where it cannot work over it.
    pub(super) fn over(&self, format: Format) -> Result<&Expression> {
        let expression = if format == Format::Csv { &self.rows } else { &self.records };
        expression.as_ref().map_err(|error| {
            let again = Error::config(error.to_string());
            match error.hint_text() {
                Some(hint) => again.hint(hint),
                None => again,
            }
        })
    }

    /// Where it stands in the configuration.
    pub(super) fn on(&self) -> &str {
        &self.on
    }
}

/// An error with the key that it is about before it.
pub(super) fn named(on: &str, error: Error) -> Error {
    let again = Error::config(format!("{on}: {error}"));
    match error.hint_text() {
        Some(hint) => again.hint(hint),
        None => again,
    }
}

/// A field to sort by.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) descending: bool,
    pub(super) compare: Option<Compare>,
}

/// A mapping, compiled.
pub(super) struct Plan {
    /// Texts that mean that there is no value.
    pub(super) missing: Vec<Vec<u8>>,
    pub(super) trim: bool,
    pub(super) infer: bool,
    pub(super) flatten: Option<bool>,
    pub(super) nest: bool,
    /// Old name, new name.
    pub(super) rename: HashMap<String, String>,
    pub(super) rules: HashMap<String, Rule>,
    /// Whether a table may lack fields that have rules.
    pub(super) lenient: bool,
    /// The fields that have defaults, in their order.
    pub(super) defaults: Vec<String>,
    pub(super) splits: Vec<(String, Split)>,
    pub(super) joins: Vec<(String, Join)>,
    pub(super) computes: Vec<(String, Formula)>,
    pub(super) filter: Option<Formula>,
    pub(super) drop: Vec<String>,
    pub(super) select: Option<Vec<String>>,
    pub(super) unique: Option<(Vec<String>, Keep)>,
    pub(super) sort: Vec<Key>,
}

impl Plan {
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] naming the key, and what helps.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let format = config.input.format.map(|name| name.format().0);
        let computes = config.compute.0.iter().map(|(name, source)| {
            Ok((name.clone(), Formula::new(format!("compute: {name}"), source, format, false)?))
        });
        let filter = config.filter.as_deref();
        let plan = Self {
            missing: config.missing.iter().map(|text| text.clone().into_bytes()).collect(),
            trim: config.trim,
            infer: config.infer,
            flatten: config.flatten,
            nest: config.nest,
            rename: renames(config)?,
            rules: rules(config)?,
            lenient: false,
            defaults: config.defaults.names().map(str::to_owned).collect(),
            splits: config.split.0.clone(),
            joins: config.join.0.clone(),
            computes: computes.collect::<Result<_>>()?,
            filter: filter
                .map(|source| Formula::new("filter".to_owned(), source, format, true))
                .transpose()?,
            drop: config.drop.clone(),
            select: config.select.clone(),
            unique: unique(config)?,
            sort: sort_keys(&config.sort)?,
        };
        plan.check_made()?;
        plan.check_written()?;
        Ok(plan)
    }

    /// The fields that are made, and how often.
    fn check_made(&self) -> Result<()> {
        let mut made: HashSet<&str> = HashSet::new();
        for (name, split) in &self.splits {
            if split.by.is_empty() || split.into.is_empty() {
                return Err(Error::config(format!("split: {name}: by and into may not be empty")));
            }
        }
        for (name, join) in &self.joins {
            if join.from.is_empty() {
                return Err(Error::config(format!("join: {name}: from is empty")));
            }
        }
        let parts = self.splits.iter().flat_map(|(_, split)| split.into.iter().map(String::as_str));
        let others = self.joins.iter().map(|(name, _)| name.as_str());
        for name in parts.chain(others).chain(self.computes.iter().map(|(name, _)| name.as_str())) {
            if !made.insert(name) {
                return Err(Error::config(format!(
                    "the field {name:?} is made twice, by split, join or compute"
                )));
            }
        }
        Ok(())
    }

    fn check_written(&self) -> Result<()> {
        let Some(select) = &self.select else { return Ok(()) };
        if select.is_empty() {
            return Err(Error::config("select: no field is left"));
        }
        let mut names = HashSet::new();
        for name in select {
            if !names.insert(name) {
                return Err(Error::config(format!("select: {name:?} is given twice")));
            }
            if self.drop.contains(name) {
                return Err(Error::config(format!("{name:?} stands in select and in drop")));
            }
        }
        Ok(())
    }

    /// Whether records are gathered before they are written.
    pub(super) fn orders(&self) -> bool {
        self.unique.is_some() || !self.sort.is_empty()
    }

    /// The new name of a field.
    pub(super) fn renamed<'a>(&'a self, name: &'a str) -> &'a str {
        self.rename.get(name).map_or(name, String::as_str)
    }
}

fn renames(config: &Config) -> Result<HashMap<String, String>> {
    let mut new = HashSet::new();
    for (_, to) in &config.rename.0 {
        if !new.insert(to) {
            return Err(Error::config(format!("rename: two fields would be called {to:?}")));
        }
    }
    Ok(config.rename.0.iter().cloned().collect())
}

fn rules(config: &Config) -> Result<HashMap<String, Rule>> {
    let mut rules: HashMap<String, Rule> = HashMap::new();
    for (name, numbers) in &config.numbers.0 {
        let rule = NumberRule::new(numbers).map_err(|error| named(&format!("numbers: {name}"), error))?;
        rules.entry(name.clone()).or_default().parse = Some(Parse::Number(rule));
    }
    for (name, dates) in &config.dates.0 {
        let rule = DateRule::new(dates).map_err(|error| named(&format!("dates: {name}"), error))?;
        let before = rules.entry(name.clone()).or_default().parse.replace(Parse::Date(rule));
        if before.is_some() {
            return Err(Error::config(format!("{name:?} stands in numbers and in dates")));
        }
    }
    for (name, to) in &config.cast.0 {
        rules.entry(name.clone()).or_default().cast = Some(*to);
    }
    for (name, scalar) in &config.defaults.0 {
        let cast = config.cast.get(name).copied().or(config.numbers.get(name).map(|_| Type::Number));
        let default =
            default(scalar, cast).map_err(|why| Error::config(format!("defaults: {name}: {why}")))?;
        rules.entry(name.clone()).or_default().default = Some(default);
    }
    Ok(rules)
}

/// A default as it is written.
fn default(scalar: &Scalar, to: Option<Type>) -> Result<(Vec<u8>, Kind), String> {
    let (text, kind) = match scalar {
        Scalar::Bool(yes) => (yes.to_string(), Kind::Bool),
        Scalar::Number(number) => (number.to_string(), Kind::Number),
        Scalar::Text(text) => (text.clone(), Kind::Text),
    };
    let Some(to) = to else { return Ok((text.into_bytes(), kind)) };
    let mut written = Vec::new();
    Ok(match cast(to, text.as_bytes(), &mut written)? {
        Fit::AsIs(kind) => (text.into_bytes(), kind),
        Fit::Written(kind) => (written, kind),
    })
}

fn unique(config: &Config) -> Result<Option<(Vec<String>, Keep)>> {
    let (by, keep) = match &config.deduplicate {
        None => return Ok(None),
        Some(Deduplicate::By(by)) => (by, Keep::First),
        Some(Deduplicate::Full(full)) => (&full.by, full.keep),
    };
    if by.is_empty() {
        return Err(Error::config("deduplicate: by names no field"));
    }
    Ok(Some((by.clone(), keep)))
}

fn sort_keys(keys: &[SortKey]) -> Result<Vec<Key>> {
    let mut names = HashSet::new();
    keys.iter()
        .map(|key| {
            let key = match key {
                SortKey::Field(name) => Key { name: name.clone(), descending: false, compare: None },
                SortKey::Full(full) => Key {
                    name: full.by.clone(),
                    descending: full.order == Order::Desc,
                    compare: full.compare,
                },
            };
            if names.insert(key.name.clone()) {
                Ok(key)
            } else {
                Err(Error::config(format!("sort: {:?} is given twice", key.name)))
            }
        })
        .collect()
}
