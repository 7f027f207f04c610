//! Rules: conditions over a row or a record, in CEL. A row that does not fulfil one is an error or a warning.
//!
//! Invariants: a rule that cannot be answered for a row (text where a number is wanted, a division by zero) does not hold.
//! Rules are asked only of rows with which nothing else is wrong. There is no I/O.

use super::report::{Code, Found, Report};
use crate::expression::{Cells, Expression, Over};
use handover_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule of the configuration.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is called in the report.
    pub name: String,
    /// A CEL expression that is true for a good row, such as `double(paid) <= double(total)`.
    pub check: String,
    /// Whether a row that does not fulfil it is rejected (`error`) or only counted (`warning`).
    #[serde(default)]
    pub severity: Severity,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The row is rejected.
    #[default]
    Error,
    /// The row passes and is counted.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// The most rules that a validator may have.
const RULES_MAX: usize = 1_000;

/// A rule, compiled.
#[derive(Debug, Clone)]
struct Compiled {
    name: String,
    severity: Severity,
    check: Expression,
}

/// All rules of a validator.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules(Vec<Compiled>);

impl Rules {
    /// Compiles the rules; over a table they still have to be bound.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] naming the rule.
    pub(super) fn new(rules: &[Rule], over: Over) -> Result<Self> {
        if rules.len() > RULES_MAX {
            return Err(Error::config(format!("there are {} rules, more than {RULES_MAX}", rules.len())));
        }
        for (index, rule) in rules.iter().enumerate() {
            let name = rule.name.trim();
            if name.is_empty() || rules[..index].iter().any(|other| other.name == rule.name) {
                return Err(Error::config(format!("rule {} needs a name of its own", index + 1)));
            }
        }
        let compile = |rule: &Rule| {
            let check =
                Expression::condition(&rule.check, over).map_err(|error| of_rule(error, &rule.name))?;
            Ok(Compiled { name: rule.name.clone(), severity: rule.severity, check })
        };
        Ok(Self(rules.iter().map(compile).collect::<Result<_>>()?))
    }

    /// The rules over a table with these columns.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a column that the table does not have.
    pub(super) fn bind(&self, columns: &[String]) -> Result<Self> {
        let bind = |rule: &Compiled| {
            let check = rule.check.bind(columns).map_err(|error| of_rule(error, &rule.name))?;
            Ok(Compiled { check, ..rule.clone() })
        };
        Ok(Self(self.0.iter().map(bind).collect::<Result<_>>()?))
    }

    /// Names and severities, for the report.
    pub(super) fn names(&self) -> Vec<(String, &'static str)> {
        self.0.iter().map(|rule| (rule.name.clone(), rule.severity.as_str())).collect()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks all rules of a row; what is an error is found, what is a warning goes into the report.
    pub(super) fn check_row<C: Cells>(
        &self,
        number: u64,
        cells: &C,
        report: &mut Report,
        found: &mut Vec<Found>,
    ) {
        for (index, rule) in self.0.iter().enumerate() {
            let why = match rule.check.holds_row(cells) {
                Ok(true) => continue,
                Ok(false) => None,
                Err(fault) => Some(rule.check.explain_row(&fault, cells)),
            };
            rule.broken(index, number, why, report, found);
        }
    }

    /// The same of a record.
    pub(super) fn check_record(
        &self,
        number: u64,
        record: &serde_json::Value,
        report: &mut Report,
        found: &mut Vec<Found>,
    ) {
        for (index, rule) in self.0.iter().enumerate() {
            let why = match rule.check.holds_record(record) {
                Ok(true) => continue,
                Ok(false) => None,
                Err(fault) => Some(rule.check.explain_record(&fault, record)),
            };
            rule.broken(index, number, why, report, found);
        }
    }
}

impl Compiled {
    fn broken(
        &self,
        index: usize,
        row: u64,
        why: Option<String>,
        report: &mut Report,
        found: &mut Vec<Found>,
    ) {
        let message = match why {
            None => format!("{}: {} does not hold", self.name, self.check.source()),
            Some(why) => format!("{}: it cannot be answered: {why}", self.name),
        };
        match self.severity {
            Severity::Warning => report.warn(row, index, &message),
            Severity::Error => {
                report.add_rule(index);
                found.push(Found::new(None, Code::RowConstraint, "", message));
            }
        }
    }
}

fn of_rule(error: Error, name: &str) -> Error {
    let wrong = Error::config(format!("rule {name:?}: {error}"));
    match error.hint_text() {
        Some(hint) => wrong.hint(hint),
        None => wrong,
    }
}
