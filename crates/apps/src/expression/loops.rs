//! How often an expression's loops (`all`, `exists`, `map`, `filter` …) can go round.
//!
//! Invariant: an expression that passes here goes round at most [`STEPS_MAX`] times over what is written out in it, and
//! in one loop, not in a loop within a loop, over what a row holds. There is no I/O.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr};

/// How many steps loops over written lists may come to.
const STEPS_MAX: u64 = 10_000;

/// Whether there is a loop over something of which the length is not written in the expression.
///
/// # Errors
/// Why the loops are too much.
pub(super) fn check(expr: &Expr) -> Result<bool, String> {
    let mut walk = Walk { within: false, found: false };
    let steps = walk.steps(expr)?;
    if steps > STEPS_MAX {
        return Err(format!("its loops come to more than {STEPS_MAX} steps"));
    }
    Ok(walk.found)
}

struct Walk {
    /// Inside a loop of unknown length.
    within: bool,
    /// A loop of unknown length was found.
    found: bool,
}

impl Walk {
    /// How often its loops go round; one of unknown length counts as one.
    fn steps(&mut self, expr: &Expr) -> Result<u64, String> {
        if let Expr::Comprehension(one) = expr {
            return self.one_loop(one);
        }
        let mut steps = 0u64;
        for part in parts(expr) {
            steps = steps.saturating_add(self.steps(part)?);
        }
        Ok(steps)
    }

    fn one_loop(&mut self, one: &ComprehensionExpr) -> Result<u64, String> {
        let before = self.steps(&one.iter_range.expr)?.saturating_add(self.steps(&one.accu_init.expr)?);
        let length = length(&one.iter_range.expr);
        if length.is_none() && self.within {
            return Err("it loops over a list of the row within a loop over another".to_owned());
        }
        let outer = self.within;
        self.within |= length.is_none();
        self.found |= length.is_none();
        let mut body = 1u64;
        for part in [&one.loop_cond, &one.loop_step] {
            body = body.saturating_add(self.steps(&part.expr)?);
        }
        self.within = outer;
        let after = self.steps(&one.result.expr)?;
        Ok(before.saturating_add(length.unwrap_or(1).saturating_mul(body)).saturating_add(after))
    }
}

/// The length of a list or map that is written out, or made from such a one.
fn length(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::List(list) => Some(list.elements.len() as u64),
        Expr::Map(map) => Some(map.entries.len() as u64),
        Expr::Comprehension(one) => length(&one.iter_range.expr),
        _ => None,
    }
}

/// What an expression is made of.
pub(super) fn parts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Call(call) => {
            let target = call.target.iter().map(|target| &target.expr);
            target.chain(call.args.iter().map(|argument| &argument.expr)).collect()
        }
        Expr::Comprehension(one) => {
            let parts = [&one.iter_range, &one.accu_init, &one.loop_cond, &one.loop_step, &one.result];
            parts.into_iter().map(|part| &part.expr).collect()
        }
        Expr::List(list) => list.elements.iter().map(|element| &element.expr).collect(),
        Expr::Select(select) => vec![&select.operand.expr],
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Struct(made) => made.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry_parts(entry: &EntryExpr) -> Vec<&Expr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value.expr],
        EntryExpr::MapEntry(entry) => vec![&entry.key.expr, &entry.value.expr],
    }
}
