//! A mapping bound to the fields of one input: names have become places.
//!
//! Over a table all fields are known when its header is. Over JSON records they are found as they come; where the output
//! is a table they are settled after the first block.
//!
//! Invariant: a field has one place for the whole input; places are only added. There is no I/O.

use super::config::Keep;
use super::keys::Part;
use super::plan::{Plan, Rule};
use crate::expression::Expression;
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use handover_records::Format;
use std::collections::{HashMap, HashSet};

/// No input may have more fields.
pub(super) const FIELDS_MAX: usize = 10_000;

/// What is known of a field.
pub(super) struct Spec<'p> {
    /// What is done to its values.
    pub(super) rule: Option<&'p Rule>,
    /// Whether it is made by split, join or compute, so that what comes in under its name is only read for them.
    pub(super) made: bool,
    /// Whether anything uses it.
    pub(super) needed: bool,
    seen: bool,
}

/// A field that is split.
pub(super) struct SplitInto<'p> {
    pub(super) from: usize,
    pub(super) by: &'p [u8],
    pub(super) into: Vec<usize>,
}

/// A field that is put together.
pub(super) struct Joined<'p> {
    pub(super) into: usize,
    pub(super) from: Vec<usize>,
    pub(super) with: &'p [u8],
}

/// A mapping, bound.
pub(super) struct Bound<'p> {
    pub(super) plan: &'p Plan,
    pub(super) names: Vec<String>,
    pub(super) specs: Vec<Spec<'p>>,
    /// Where each new name stands.
    index: HashMap<String, usize>,
    /// Names that a table has twice.
    twice: HashSet<String>,
    /// Fields of the input whose names are not known are errors.
    pub(super) settled: bool,
    /// The fields in the order in which they are written, unless the mapping selects.
    order: Vec<usize>,
    pub(super) defaults: Vec<usize>,
    /// The fields that come in and have rules.
    pub(super) ruled: Vec<usize>,
    pub(super) splits: Vec<SplitInto<'p>>,
    pub(super) joins: Vec<Joined<'p>>,
    pub(super) computes: Vec<(usize, Expression)>,
    pub(super) filter: Option<Expression>,
    pub(super) unique: Option<(Vec<usize>, Keep)>,
    pub(super) sort: Vec<Part>,
    select: Option<Vec<usize>>,
    dropped: HashSet<usize>,
}

impl<'p> Bound<'p> {
    /// Binds to a table with these columns.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] for a column that the mapping names and the table does not have, or has
    /// twice; [`handover_core::ErrorKind::Config`] for an expression that cannot work over tables.
    pub(super) fn to_table(plan: &'p Plan, columns: &[String], output: Format) -> Result<Self> {
        if let Some(old) = plan.rename.keys().find(|old| !columns.contains(old)) {
            return Err(no_column(old, "rename", columns));
        }
        let mut bound = Self::empty(plan);
        for column in columns {
            let name = plan.renamed(column).to_owned();
            if bound.index.contains_key(&name) {
                bound.twice.insert(name.clone());
            }
            let slot = bound.add(name);
            bound.see(slot);
        }
        bound.settled = true;
        if output != Format::Csv
            && let Some(name) = bound.twice.iter().min()
        {
            return Err(Error::bad_data(format!("duplicate-label: there are two columns {name:?}"))
                .hint("a JSON object has a name once: `rename` one of them"));
        }
        bound.bind(Format::Csv)?;
        for (slot, spec) in bound.specs.iter_mut().enumerate() {
            spec.needed |= spec.rule.is_some() || bound.dropped.is_empty() && bound.select.is_none();
            spec.needed |= bound.select.as_ref().is_some_and(|select| select.contains(&slot));
            spec.needed |= bound.select.is_none() && !bound.dropped.contains(&slot);
        }
        Ok(bound)
    }

    /// Binds to JSON records, of which the fields are found later.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for an expression that cannot work over records.
    pub(super) fn to_records(plan: &'p Plan) -> Result<Self> {
        let mut bound = Self::empty(plan);
        let mut rules: Vec<&String> = plan.rules.keys().collect();
        rules.sort();
        for name in rules {
            bound.slot(name, "cast")?;
        }
        bound.bind(Format::Ndjson)?;
        bound.specs.iter_mut().for_each(|spec| spec.needed = true);
        Ok(bound)
    }

    fn empty(plan: &'p Plan) -> Self {
        Self {
            plan,
            names: Vec::new(),
            specs: Vec::new(),
            index: HashMap::new(),
            twice: HashSet::new(),
            settled: false,
            order: Vec::new(),
            defaults: Vec::new(),
            ruled: Vec::new(),
            splits: Vec::new(),
            joins: Vec::new(),
            computes: Vec::new(),
            filter: None,
            unique: None,
            sort: Vec::new(),
            select: None,
            dropped: HashSet::new(),
        }
    }

    /// Adds a field.
    fn add(&mut self, name: String) -> usize {
        let slot = self.names.len();
        let rule = self.plan.rules.get(&name);
        self.specs.push(Spec { rule, made: false, needed: true, seen: false });
        self.index.entry(name.clone()).or_insert(slot);
        self.names.push(name);
        slot
    }

    /// The place of a field of a record; none where it has come too late, or there are too many.
    pub(super) fn slot_of_record(&mut self, name: &str) -> Option<usize> {
        let name = self.plan.renamed(name);
        match self.index.get(name) {
            Some(slot) => Some(*slot),
            None if self.settled || self.names.len() >= FIELDS_MAX => None,
            None => Some(self.add(name.to_owned())),
        }
    }

    /// The field is in a record: it is written from now on.
    pub(super) fn see(&mut self, slot: usize) {
        if let Some(spec) = self.specs.get_mut(slot)
            && !std::mem::replace(&mut spec.seen, true)
        {
            self.order.push(slot);
        }
    }

    /// The place of a field that the mapping reads.
    fn slot(&mut self, name: &str, key: &str) -> Result<usize> {
        if self.twice.contains(name) {
            return Err(Error::bad_data(format!(
                "duplicate-label: `{key}` uses {name:?}, and there are two such columns"
            )));
        }
        match self.index.get(name) {
            Some(slot) => {
                self.specs[*slot].needed = true;
                Ok(*slot)
            }
            None if self.settled => Err(no_column(name, key, &self.names)),
            None => Ok(self.add(name.to_owned())),
        }
    }

    /// The place of a field that the mapping makes.
    fn made(&mut self, name: &str) -> usize {
        let slot = match self.index.get(name) {
            Some(slot) => *slot,
            None => self.add(name.to_owned()),
        };
        self.specs[slot].made = true;
        slot
    }

    fn bind(&mut self, format: Format) -> Result<()> {
        let plan = self.plan;
        for name in &plan.defaults {
            let slot = match self.index.get(name) {
                Some(slot) => *slot,
                None => self.add(name.clone()),
            };
            self.defaults.push(slot);
        }
        for (name, split) in &plan.splits {
            let from = self.slot(name, "split")?;
            let into = split.into.iter().map(|name| self.made(name)).collect();
            self.splits.push(SplitInto { from, by: split.by.as_bytes(), into });
        }
        for (name, join) in &plan.joins {
            let from = join.from.iter().map(|name| self.slot(name, "join")).collect::<Result<_>>()?;
            let into = self.made(name);
            self.joins.push(Joined { into, from, with: join.with.as_bytes() });
        }
        for (name, formula) in &plan.computes {
            let expression = self.expression(formula.over(format)?, formula.on(), format)?;
            let slot = self.made(name);
            self.computes.push((slot, expression));
        }
        if let Some(formula) = &plan.filter {
            self.filter = Some(self.expression(formula.over(format)?, formula.on(), format)?);
        }
        self.bind_rules()?;
        self.bind_output()
    }

    /// Every field that has a rule is there.
    fn bind_rules(&mut self) -> Result<()> {
        let mut names: Vec<&String> = self.plan.rules.keys().collect();
        names.sort();
        for name in names {
            if self.plan.lenient && self.settled && !self.index.contains_key(name) {
                continue;
            }
            let slot = self.slot(name, "cast, numbers or dates")?;
            if !self.specs[slot].made {
                self.ruled.push(slot);
            }
        }
        Ok(())
    }

    fn bind_output(&mut self) -> Result<()> {
        let plan = self.plan;
        for name in &plan.drop {
            let slot = self.slot(name, "drop")?;
            self.dropped.insert(slot);
        }
        if let Some(select) = &plan.select {
            self.select = Some(select.iter().map(|name| self.slot(name, "select")).collect::<Result<_>>()?);
        }
        if let Some((by, keep)) = &plan.unique {
            let by = by.iter().map(|name| self.slot(name, "deduplicate")).collect::<Result<_>>()?;
            self.unique = Some((by, *keep));
        }
        for key in &plan.sort {
            let slot = self.slot(&key.name, "sort")?;
            let number = self.specs[slot].rule.is_some_and(Rule::is_number);
            let compare = key.compare.or(number.then_some(super::config::Compare::Number));
            self.sort.push(Part { slot, descending: key.descending, compare });
        }
        Ok(())
    }

    fn expression(&mut self, expression: &Expression, on: &str, format: Format) -> Result<Expression> {
        if format != Format::Csv {
            return Ok(expression.clone());
        }
        let names: Vec<String> = expression.names().map(str::to_owned).collect();
        for name in &names {
            self.slot(name, on)?;
        }
        if expression.uses_row() {
            self.specs.iter_mut().for_each(|spec| spec.needed = true);
        }
        expression.bind(&self.names)
    }

    /// The fields that were made are written too, behind those that came in.
    pub(super) fn see_made(&mut self) {
        let made =
            self.splits.iter().flat_map(|split| &split.into).chain(self.joins.iter().map(|join| &join.into));
        let all: Vec<usize> = self
            .defaults
            .iter()
            .chain(made)
            .chain(self.computes.iter().map(|(slot, _)| slot))
            .copied()
            .collect();
        all.into_iter().for_each(|slot| self.see(slot));
    }

    /// How many fields are known to be written; a writer is good as long as this stays the same.
    pub(super) fn version(&self) -> usize {
        self.order.len()
    }

    /// Whether the mapping says which fields are written.
    pub(super) fn selects(&self) -> bool {
        self.select.is_some()
    }

    /// The fields that are written, in their order.
    pub(super) fn written(&self) -> Vec<usize> {
        match &self.select {
            Some(select) => select.clone(),
            None => self.order.iter().copied().filter(|slot| !self.dropped.contains(slot)).collect(),
        }
    }
}

/// Why a file is refused that lacks a column.
fn no_column(name: &str, key: &str, columns: &[String]) -> Error {
    let error = Error::bad_data(format!("missing-label: there is no column {name:?}, which `{key}` names"));
    match nearest(name, columns.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint(format!("there are: {}", columns.join(", "))),
    }
}
