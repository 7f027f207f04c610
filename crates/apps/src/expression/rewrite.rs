//! Rewriting an expression's tree before it is used, and the names that it takes from outside.
//!
//! `row["x"]` over a table becomes the column itself, and a match of a written pattern a function of its own, so that
//! nothing is looked up or compiled for a row.
//!
//! Invariant: the rewritten tree has the same answers. There is no I/O.

use super::loops::parts;
use super::{Over, ROW};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use regex::{Regex, RegexBuilder};

/// The most that one regular expression may take, in bytes.
const PATTERN_MAX_BYTES: usize = 1024 * 1024;

/// Before the number of a regular expression, in the name of the function that matches it.
pub(super) const PATTERN: &str = "@matches_";
/// Before a column that was written `row["…"]`.
pub(super) const COLUMN: &str = "@@";

/// Names that lead to functions, not to columns.
pub(super) const NAMESPACES: &[&str] = &["math", "strings", "optional"];
const TYPE_NAMES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "duration",
    "dyn",
    "google",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "timestamp",
    "type",
    "uint",
];
/// Makes `row["x"]` over a table the column itself, and a match of a written pattern a function of its own.
pub(super) struct Rewriting<'a> {
    pub(super) over: Over,
    pub(super) patterns: &'a mut Vec<Regex>,
}

impl Rewriting<'_> {
    pub(super) fn tree(&mut self, tree: &mut IdedExpr) -> Result<(), String> {
        if let Some(column) = self.column(&tree.expr) {
            tree.expr = Expr::Ident(format!("{COLUMN}{column}"));
            return Ok(());
        }
        match &mut tree.expr {
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(one) => [
                &mut one.iter_range,
                &mut one.accu_init,
                &mut one.loop_cond,
                &mut one.loop_step,
                &mut one.result,
            ]
            .into_iter()
            .try_for_each(|part| self.tree(part)),
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| self.tree(element)),
            Expr::Select(select) => self.tree(&mut select.operand),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| self.entry(&mut entry.expr)),
            Expr::Struct(made) => made.entries.iter_mut().try_for_each(|entry| self.entry(&mut entry.expr)),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn entry(&mut self, entry: &mut EntryExpr) -> Result<(), String> {
        match entry {
            EntryExpr::StructField(field) => self.tree(&mut field.value),
            EntryExpr::MapEntry(entry) => {
                self.tree(&mut entry.key)?;
                self.tree(&mut entry.value)
            }
        }
    }

    /// The column of `row["x"]` and `row.x`.
    fn column(&self, expr: &Expr) -> Option<String> {
        if self.over != Over::Rows {
            return None;
        }
        let is_row = |operand: &IdedExpr| matches!(&operand.expr, Expr::Ident(name) if name == ROW);
        match expr {
            Expr::Select(select) if !select.test && is_row(&select.operand) => Some(select.field.clone()),
            Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
                [operand, index] if is_row(operand) => text_of(&index.expr).map(str::to_owned),
                _ => None,
            },
            _ => None,
        }
    }

    fn call(&mut self, call: &mut CallExpr) -> Result<(), String> {
        if let Some(target) = call.target.as_deref_mut() {
            self.tree(target)?;
        }
        call.args.iter_mut().try_for_each(|argument| self.tree(argument))?;
        if call.func_name != "matches" {
            return Ok(());
        }
        let both = call.target.is_some() && call.args.len() == 1 || call.args.len() == 2;
        let Some(pattern) = call.args.last().filter(|_| both).and_then(|last| text_of(&last.expr)) else {
            return Err("the pattern of matches() has to be written out, in quotes".to_owned());
        };
        let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_MAX_BYTES).build();
        self.patterns.push(compiled.map_err(|error| {
            let why = error.to_string();
            format!("matches(): {}", why.lines().last().unwrap_or_default().trim())
        })?);
        call.args.pop();
        if let Some(target) = call.target.take() {
            call.args.push(*target);
        }
        call.func_name = format!("{PATTERN}{}", self.patterns.len() - 1);
        Ok(())
    }
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// The names that an expression takes from outside, each once.
pub(super) fn variables(expr: &Expr, bound: &mut Vec<String>, found: &mut Vec<String>) {
    match expr {
        Expr::Ident(name) => {
            let known = NAMESPACES.contains(&name.as_str()) || TYPE_NAMES.contains(&name.as_str());
            let inner = name.starts_with('@') && !name.starts_with(COLUMN);
            if !known && !inner && !bound.contains(name) && !found.contains(name) {
                found.push(name.clone());
            }
        }
        Expr::Comprehension(loops) => {
            variables(&loops.iter_range.expr, bound, found);
            variables(&loops.accu_init.expr, bound, found);
            let outer = bound.len();
            bound.extend([loops.iter_var.clone(), loops.accu_var.clone()]);
            bound.extend(loops.iter_var2.clone());
            for part in [&loops.loop_cond, &loops.loop_step, &loops.result] {
                variables(&part.expr, bound, found);
            }
            bound.truncate(outer);
        }
        other => parts(other).into_iter().for_each(|part| variables(part, bound, found)),
    }
}
