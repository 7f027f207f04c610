//! Expressions: CEL (<https://cel.dev>) over a row or a record, compiled once.
//!
//! Over a table every column is text, by its name; a name that is no CEL identifier is reached by `row["unit price"]`.
//! Over JSON records every field has its own type (whole numbers are `int`, others `double`), a field that a record lacks
//! is an error (`has(row.field)` asks), and `row` is the record. The standard functions and macros are there, CEL's
//! extensions `strings` and `math`, and `round(x[, digits])`, `floor(x)`, `ceil(x)`, `abs(x)`, `min(…)`, `max(…)`. `round`
//! rounds the exact value of the double, and a tie to the even digit, as Python does.
//!
//! What can be known to be wrong is refused when the expression is compiled: what cannot be read, a function that does
//! not exist, text where a number is wanted, a division by a written zero, a regular expression that is wrong or not
//! written out, nesting, length and loops without measure.
//!
//! Two evaluators: arithmetic, comparisons and the common functions over columns are compiled to a tree of known types
//! ([`typed`]), which allocates nothing for a row; it has no errors of its own, but asks the interpreter whenever it has
//! no answer. Everything else is the `cel` crate's interpreter ([`interpret`]).
//!
//! Invariants: both give the same answers; no expression and no row makes either panic or run without bound. There is no
//! I/O, so a crash leaves nothing.

mod check;
mod compile;
mod interpret;
mod loops;
mod number;
mod rewrite;
#[cfg(test)]
mod tests;
mod typed;
mod value;

pub(crate) use value::{Fault, Value};

use cel::Context;
use cel::common::ast::IdedExpr;
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use handover_records::csv::RowRef;
use std::borrow::Cow;
use std::sync::Arc;

/// The name by which the whole row or record is reached.
const ROW: &str = "row";

/// What expressions see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Rows of a table: every column is text.
    Rows,
    /// JSON records.
    Records,
}

/// The cells of a row, by column.
pub(crate) trait Cells {
    /// The text of a cell; nothing for one that is not there.
    fn cell(&self, column: usize) -> Cow<'_, [u8]>;
}

impl Cells for RowRef<'_> {
    #[inline]
    fn cell(&self, column: usize) -> Cow<'_, [u8]> {
        RowRef::cell(self, column)
    }
}

impl<T: AsRef<[u8]>> Cells for [T] {
    fn cell(&self, column: usize) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.get(column).map_or(b"", |cell| cell.as_ref()))
    }
}

impl<C: Cells + ?Sized> Cells for &C {
    fn cell(&self, column: usize) -> Cow<'_, [u8]> {
        (**self).cell(column)
    }
}

/// A name that an expression takes from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    /// As it stands in the tree.
    ident: String,
    /// The column or field.
    column: String,
}

/// What an expression was compiled to.
struct Code {
    source: String,
    over: Over,
    tree: IdedExpr,
    names: Vec<Name>,
    /// Whether it uses the row as a whole.
    uses_row: bool,
    /// Whether it loops over something of which the length is not written in it.
    loops: bool,
    typed: Option<typed::Typed>,
    context: Context<'static, 'static>,
}

/// A compiled expression; over a table, [bound](Expression::bind) to its columns. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Expression {
    code: Arc<Code>,
    /// Where each of the names stands.
    columns: Vec<usize>,
    /// All columns, where the row is used as a whole.
    all: Vec<String>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.code.source).finish()
    }
}

impl Expression {
    /// Compiles an expression over the columns of a table.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] as [`Expression::compile`] and [`Expression::bind`].
    #[cfg(test)]
    pub(crate) fn new(source: &str, columns: &[String]) -> Result<Self> {
        Self::compile(source, Over::Rows)?.bind(columns)
    }

    /// Compiles an expression of which the columns are not known yet.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] with the reason and the place in the expression.
    pub(crate) fn compile(source: &str, over: Over) -> Result<Self> {
        let code = check::compile(source, over)?;
        let columns = (0..code.names.len()).collect();
        Ok(Self { code: Arc::new(code), columns, all: Vec::new() })
    }

    /// Compiles an expression that answers true or false, if that can be told.
    ///
    /// # Errors
    /// As [`Expression::compile`], and where it is known to give something else.
    pub(crate) fn condition(source: &str, over: Over) -> Result<Self> {
        let expression = Self::compile(source, over)?;
        match check::not_boolean(&expression.code) {
            None => Ok(expression),
            Some(kind) => Err(Error::config(format!("it gives {kind}, and true or false is wanted"))
                .on(format!("`{source}`"))
                .hint("compare it with something")),
        }
    }

    /// The expression over a table with these columns.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a column that the table does not have, or has twice.
    pub(crate) fn bind(&self, columns: &[String]) -> Result<Self> {
        let find = |name: &Name| {
            let mut found = columns.iter().enumerate().filter(|(_, column)| **column == name.column);
            match (found.next(), found.next()) {
                (Some((index, _)), None) => Ok(index),
                (Some(_), Some(_)) => {
                    Err(Error::config(format!("it uses {:?}, and there are two such columns", name.column))
                        .on(format!("`{}`", self.code.source)))
                }
                (None, _) => {
                    let error = Error::config(format!("there is no column {:?}", name.column))
                        .on(format!("`{}`", self.code.source));
                    Err(match nearest(&name.column, columns.iter().map(String::as_str)) {
                        Some(near) => error.hint(format!("did you mean {near}?")),
                        None => error.hint(format!("there are: {}", columns.join(", "))),
                    })
                }
            }
        };
        let bound = self.code.names.iter().map(find).collect::<Result<_>>()?;
        let all = if self.code.uses_row { columns.to_vec() } else { Vec::new() };
        Ok(Self { code: Arc::clone(&self.code), columns: bound, all })
    }

    /// The expression as it was written.
    pub(crate) fn source(&self) -> &str {
        &self.code.source
    }

    /// The columns or fields that it uses, each once.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.code.names.iter().map(|name| name.column.as_str())
    }

    /// Whether it uses the row or record as a whole.
    pub(crate) fn uses_row(&self) -> bool {
        self.code.uses_row
    }

    /// Where the columns that it uses stand, in the order of [`Expression::names`].
    #[cfg(test)]
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Its value in a row of the table that it is bound to.
    ///
    /// # Errors
    /// Why it has none, for people.
    #[inline]
    pub(crate) fn eval_row<'v, C: Cells>(&'v self, cells: &'v C) -> Result<Value<'v>, Fault> {
        if let Some(typed) = &self.code.typed
            && let Some(value) = typed.get(&typed::Row { cells, columns: &self.columns })
        {
            return Ok(value);
        }
        interpret::row(&self.code, &self.columns, &self.all, cells)
    }

    /// Its value in a record.
    ///
    /// # Errors
    /// Why it has none, for people.
    pub(crate) fn eval_record(&self, record: &serde_json::Value) -> Result<Value<'static>, Fault> {
        interpret::record(&self.code, record)
    }

    /// Whether a row fulfils it.
    ///
    /// # Errors
    /// Why that cannot be said, for people.
    #[inline]
    pub(crate) fn holds_row<C: Cells>(&self, cells: &C) -> Result<bool, Fault> {
        self.eval_row(cells)?.truth()
    }

    /// Whether a record fulfils it.
    ///
    /// # Errors
    /// Why that cannot be said, for people.
    pub(crate) fn holds_record(&self, record: &serde_json::Value) -> Result<bool, Fault> {
        self.eval_record(record)?.truth()
    }

    /// A fault with the expression and what it saw, for a rejected row.
    pub(crate) fn explain_row<C: Cells>(&self, fault: &Fault, cells: &C) -> String {
        let seen = self.code.names.iter().zip(&self.columns).map(|(name, column)| {
            let cell = cells.cell(*column);
            format!("{} is {}", name.column, value::shown(&String::from_utf8_lossy(&cell)))
        });
        self.explain(fault, seen.collect())
    }

    /// A fault with the expression and what it saw, for a rejected record.
    pub(crate) fn explain_record(&self, fault: &Fault, record: &serde_json::Value) -> String {
        let seen = self.code.names.iter().filter_map(|name| {
            let text = match record.get(&name.column)? {
                serde_json::Value::String(text) => value::shown(text),
                other => value::short(&other.to_string()),
            };
            Some(format!("{} is {text}", name.column))
        });
        self.explain(fault, seen.collect())
    }

    fn explain(&self, fault: &Fault, seen: Vec<String>) -> String {
        let seen = if seen.is_empty() { String::new() } else { format!(" ({})", seen.join(", ")) };
        format!("`{}`: {fault}{seen}", self.code.source)
    }
}

/// The shortest text that reads back as the same finite number.
pub(crate) fn double_text(number: f64) -> String {
    let mut text = Vec::new();
    number::push_double(&mut text, number);
    String::from_utf8_lossy(&text).into_owned()
}
