//! Aggregates: what all rows with the same key come to, as columns of each of them.
//!
//! Invariants:
//! - All rows that can be read and hold numbers where numbers are wanted take part, each once.
//! - Whole numbers are added exactly; others with the error of adding carried along.
//! - There is a limit on groups; more of them refuse the file, and say so.
//!
//! There is no I/O.

use super::config::Aggregate;
use super::content::{Content, Kind};
use crate::table::shown;
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use std::borrow::Cow;
use std::collections::HashMap;

/// How many different keys an aggregate may have.
const GROUPS_MAX: usize = 1_000_000;
/// How long its keys may be together, in bytes.
const KEYS_MAX_BYTES: usize = 256 * 1024 * 1024;

/// A function over a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Count,
    Sum,
    Mean,
    Min,
    Max,
}

const FUNCTIONS: [(&str, Function); 5] = [
    ("count", Function::Count),
    ("sum", Function::Sum),
    ("mean", Function::Mean),
    ("min", Function::Min),
    ("max", Function::Max),
];

/// A new column.
#[derive(Debug)]
struct Column {
    function: Function,
    /// Which of the arguments; none counts rows.
    argument: Option<usize>,
}

/// A compiled aggregate.
#[derive(Debug)]
pub(super) struct Totals {
    /// Our columns that make the key.
    pub(super) by: Vec<String>,
    /// The columns that the functions take, each once.
    pub(super) arguments: Vec<String>,
    /// The new columns' names.
    pub(super) names: Vec<String>,
    columns: Vec<Column>,
    /// Whether each of the arguments has to be a number.
    numeric: Vec<bool>,
}

impl Totals {
    /// Compiles an aggregate.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a function that does not exist.
    pub(super) fn new(config: &Aggregate) -> Result<Self> {
        if config.columns.0.is_empty() {
            return Err(Error::config("aggregate: columns: there are none")
                .hint("such as `columns: { flights: \"count()\", total: \"sum(distance)\" }`"));
        }
        let mut totals = Self {
            by: config.by.0.clone(),
            arguments: Vec::new(),
            names: config.columns.0.iter().map(|(name, _)| name.clone()).collect(),
            columns: Vec::new(),
            numeric: Vec::new(),
        };
        for (name, source) in &config.columns.0 {
            let column = totals.column(source).map_err(|error| {
                let wrong = Error::config(format!("aggregate: columns: {name}: {error}"));
                match error.hint_text() {
                    Some(hint) => wrong.hint(hint),
                    None => wrong,
                }
            })?;
            totals.columns.push(column);
        }
        Ok(totals)
    }

    fn column(&mut self, source: &str) -> Result<Column> {
        let (word, argument) = match source.trim().split_once('(') {
            Some((word, rest)) => match rest.strip_suffix(')') {
                Some(argument) => (word.trim(), argument.trim()),
                None => return Err(Error::config("a bracket is not closed").on(format!("`{source}`"))),
            },
            None => (source.trim(), ""),
        };
        let Some((_, function)) = FUNCTIONS.iter().find(|(name, _)| *name == word) else {
            let error = Error::config(format!("{word} is not known")).on(format!("`{source}`"));
            return Err(match nearest(word, FUNCTIONS.map(|(name, _)| name)) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint("it is one of count, sum, mean, min, max"),
            });
        };
        if argument.is_empty() {
            if *function == Function::Count {
                return Ok(Column { function: *function, argument: None });
            }
            return Err(Error::config(format!("{word} takes a column")).on(format!("`{source}`")));
        }
        let at = self.arguments.iter().position(|known| known == argument).unwrap_or_else(|| {
            self.arguments.push(argument.to_owned());
            self.numeric.push(false);
            self.arguments.len() - 1
        });
        self.numeric[at] |= *function != Function::Count;
        Ok(Column { function: *function, argument: Some(at) })
    }

    /// What is wrong with an argument's cell, where something is; both for people.
    pub(super) fn wrong(&self, argument: usize, cell: &[u8]) -> Option<String> {
        let numeric = self.numeric.get(argument).copied().unwrap_or_default();
        if !numeric || cell.is_empty() || Number::of(cell).is_some() {
            return None;
        }
        Some(format!("{} is not a number", shown(&String::from_utf8_lossy(cell))))
    }
}

/// A number of a cell.
#[derive(Debug, Clone, Copy)]
enum Number {
    Int(i64),
    Double(f64),
}

impl Number {
    fn of(cell: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(cell).ok()?;
        if let Ok(int) = text.parse() {
            return Some(Self::Int(int));
        }
        // Words that Rust reads as numbers are none here.
        let digits = text.bytes().any(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number: &f64| number.is_finite() && digits).map(Self::Double)
    }

    #[allow(clippy::cast_precision_loss)]
    fn double(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Double(double) => double,
        }
    }

    fn less_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => one < other,
            _ => self.double() < other.double(),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Int(int) => int.to_string(),
            Self::Double(double) => crate::expression::double_text(double),
        }
    }
}

/// What the cells of one argument in one group come to.
#[derive(Debug, Clone, Default)]
struct Sum {
    count: u64,
    /// The sum of the whole numbers.
    whole: i128,
    /// The sum of the others, and what adding them lost (Neumaier).
    rest: f64,
    lost: f64,
    any_rest: bool,
    least: Option<Number>,
    most: Option<Number>,
}

impl Sum {
    fn add(&mut self, cell: &[u8]) {
        if cell.is_empty() {
            return;
        }
        self.count += 1;
        let Some(number) = Number::of(cell) else { return };
        match number {
            Number::Int(int) => self.whole += i128::from(int),
            Number::Double(double) => {
                let sum = self.rest + double;
                self.lost += if self.rest.abs() >= double.abs() {
                    (self.rest - sum) + double
                } else {
                    (double - sum) + self.rest
                };
                self.rest = sum;
                self.any_rest = true;
            }
        }
        if self.least.is_none_or(|least| number.less_than(least)) {
            self.least = Some(number);
        }
        if self.most.is_none_or(|most| most.less_than(number)) {
            self.most = Some(number);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn sum(&self) -> f64 {
        self.whole as f64 + (self.rest + self.lost)
    }

    /// The text of a function; none where there is nothing to say.
    fn text(&self, function: Function) -> Option<String> {
        #[allow(clippy::cast_precision_loss)]
        match function {
            Function::Count => Some(self.count.to_string()),
            Function::Sum if !self.any_rest => Some(self.whole.to_string()),
            Function::Sum => Some(crate::expression::double_text(self.sum())),
            Function::Mean => {
                (self.count > 0).then(|| crate::expression::double_text(self.sum() / self.count as f64))
            }
            Function::Min => self.least.map(Number::text),
            Function::Max => self.most.map(Number::text),
        }
    }
}

/// The groups so far.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    totals: &'a Totals,
    found: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    /// How many rows each group has, and for each argument its sum.
    rows: Vec<u64>,
    sums: Vec<Sum>,
    keys_bytes: usize,
}

impl<'a> Groups<'a> {
    pub(super) fn new(totals: &'a Totals) -> Self {
        Self { totals, found: HashMap::default(), rows: Vec::new(), sums: Vec::new(), keys_bytes: 0 }
    }

    /// Adds a row by its key and its arguments' cells.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] where there are too many groups.
    pub(super) fn add<'c>(&mut self, key: &[u8], cells: impl Iterator<Item = Cow<'c, [u8]>>) -> Result<()> {
        let width = self.totals.arguments.len();
        let group = match self.found.get(key) {
            Some(group) => *group,
            None => {
                self.keys_bytes += key.len();
                if self.rows.len() >= GROUPS_MAX || self.keys_bytes > KEYS_MAX_BYTES {
                    return Err(Error::bad_data(format!(
                        "aggregate: there are more than {} different values of {}",
                        self.rows.len(),
                        self.totals.by.join(", ")
                    ))
                    .hint("choose `by` columns with fewer values, or sort and add up with a program"));
                }
                self.found.insert(key.into(), self.rows.len());
                self.rows.push(0);
                self.sums.resize(self.sums.len() + width, Sum::default());
                self.rows.len() - 1
            }
        };
        self.rows[group] += 1;
        for (sum, cell) in self.sums[group * width..].iter_mut().zip(cells) {
            sum.add(&cell);
        }
        Ok(())
    }

    /// What the groups come to, by their keys.
    pub(super) fn content(self) -> Content {
        let width = self.totals.arguments.len();
        let mut content = Content::new(self.totals.columns.len());
        for (key, group) in self.found {
            let cells = self.totals.columns.iter().map(|column| {
                let text = match column.argument {
                    None => Some(self.rows[group].to_string()),
                    Some(argument) => self.sums[group * width + argument].text(column.function),
                };
                match text {
                    Some(text) => (Cow::Owned(text.into_bytes()), Kind::Json),
                    None => (Cow::Borrowed(&b""[..]), Kind::Missing),
                }
            });
            content.add(&key, 0, cells);
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TextMap;
    use crate::enricher::config::Names;

    fn totals(columns: &[(&str, &str)]) -> Result<Totals> {
        let columns = columns.iter().map(|(name, source)| ((*name).into(), (*source).into())).collect();
        Totals::new(&Aggregate { by: Names(vec!["k".into()]), columns: TextMap(columns) })
    }

    #[test]
    fn what_a_group_comes_to() {
        let totals = totals(&[
            ("n", "count"),
            ("c", "count(x)"),
            ("s", "sum(x)"),
            ("m", "mean( x )"),
            ("lo", "min(x)"),
            ("hi", "max(x)"),
            ("z", "sum(y)"),
        ])
        .unwrap();
        assert_eq!(totals.arguments, ["x", "y"]);
        let mut groups = Groups::new(&totals);
        for (key, x, y) in [
            ("a", "1", "9223372036854775807"),
            ("a", "", "9223372036854775807"),
            ("a", "0.1", ""),
            ("a", "0.2", ""),
            ("b", "", ""),
        ] {
            let cells = [x, y].into_iter().map(|cell| Cow::Borrowed(cell.as_bytes()));
            groups.add(key.as_bytes(), cells).unwrap();
        }
        let content = groups.content();
        let texts = |key: &str| {
            let row = content.find(key.as_bytes()).unwrap();
            (0..7).map(|at| String::from_utf8_lossy(content.cell(row, at).0).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts("a"), ["4", "3", "1.3", "0.43333333333333335", "0.1", "1", "18446744073709551614"]);
        assert_eq!(texts("b"), ["1", "0", "0", "", "", "", "0"]);
        assert!(totals.wrong(0, b"NA").is_some() && totals.wrong(0, b"nan").is_some());
        assert!(totals.wrong(0, b"").is_none() && totals.wrong(0, b"-1.5e3").is_none());
    }

    #[test]
    fn a_wrong_function_is_named() {
        for (source, why) in [
            ("sume(x)", "sume is not known"),
            ("sum", "takes a column"),
            ("sum(x", "not closed"),
            ("sum()", "takes a column"),
        ] {
            let error = totals(&[("s", source)]).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(totals(&[]).is_err());
    }
}
