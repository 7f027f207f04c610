//! Expressions over columns as trees of known types, evaluated without allocation.
//!
//! Invariant: where a tree has an answer, it is the interpreter's. Where it has none (text that is no number, an
//! overflow, a comparison with NaN, a cell that is not UTF-8) it gives nothing, and the interpreter is asked: it knows
//! the reason, and whether there is one.

use super::Cells;
use super::number;
use super::value::Value;
use regex::Regex;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A row, and where the names of an expression stand in it.
pub(super) struct Row<'v, C> {
    pub(super) cells: &'v C,
    pub(super) columns: &'v [usize],
}

/// A tree of any type.
#[derive(Debug)]
pub(super) enum Typed {
    Double(Double),
    Int(Int),
    Bool(Bool),
    Text(Text),
}

impl Typed {
    #[inline]
    pub(super) fn get<'v, C: Cells>(&'v self, row: &Row<'v, C>) -> Option<Value<'v>> {
        match self {
            Typed::Double(tree) => tree.get(row).map(Value::Double),
            Typed::Int(tree) => tree.get(row).map(Value::Int),
            Typed::Bool(tree) => tree.get(row).map(Value::Bool),
            Typed::Text(tree) => tree.get(row).map(Value::Text),
        }
    }

    /// What it gives, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Typed::Double(_) => "a double",
            Typed::Int(_) => "an integer",
            Typed::Bool(_) => "a boolean",
            Typed::Text(_) => "text",
        }
    }
}

/// Two trees of the same type.
pub(super) type Two<T> = Box<(T, T)>;
/// A condition and two trees of the same type.
pub(super) type Choice<T> = Box<(Bool, T, T)>;

fn chosen<'t, T, C: Cells>(choice: &'t Choice<T>, row: &Row<'_, C>) -> Option<&'t T> {
    let (condition, yes, no) = choice.as_ref();
    Some(if condition.get(row)? { yes } else { no })
}

#[derive(Debug)]
pub(super) enum Double {
    Const(f64),
    Parse(Text),
    FromInt(Box<Int>),
    Add(Two<Double>),
    Subtract(Two<Double>),
    Multiply(Two<Double>),
    Divide(Two<Double>),
    Negate(Box<Double>),
    Round(Box<Double>, i64),
    Floor(Box<Double>),
    Ceil(Box<Double>),
    Abs(Box<Double>),
    /// The smaller of two, or the second where they are equal.
    Min(Two<Double>),
    /// The larger of two, or the second where they are equal.
    Max(Two<Double>),
    If(Choice<Double>),
}

impl Double {
    pub(super) fn get<C: Cells>(&self, row: &Row<'_, C>) -> Option<f64> {
        Some(match self {
            Double::Const(number) => *number,
            Double::Parse(text) => text.get(row)?.parse().ok()?,
            #[allow(clippy::cast_precision_loss)]
            Double::FromInt(int) => int.get(row)? as f64,
            Double::Add(two) => two.0.get(row)? + two.1.get(row)?,
            Double::Subtract(two) => two.0.get(row)? - two.1.get(row)?,
            Double::Multiply(two) => two.0.get(row)? * two.1.get(row)?,
            Double::Divide(two) => two.0.get(row)? / two.1.get(row)?,
            Double::Negate(one) => -one.get(row)?,
            Double::Round(one, digits) => number::round(one.get(row)?, *digits),
            Double::Floor(one) => one.get(row)?.floor(),
            Double::Ceil(one) => one.get(row)?.ceil(),
            Double::Abs(one) => one.get(row)?.abs(),
            Double::Min(two) => {
                let (left, right) = (two.0.get(row)?, two.1.get(row)?);
                if left.partial_cmp(&right)? == Ordering::Less { left } else { right }
            }
            Double::Max(two) => {
                let (left, right) = (two.0.get(row)?, two.1.get(row)?);
                if left.partial_cmp(&right)? == Ordering::Greater { left } else { right }
            }
            Double::If(choice) => chosen(choice, row)?.get(row)?,
        })
    }
}

#[derive(Debug)]
pub(super) enum Int {
    Const(i64),
    Parse(Text),
    /// Towards zero.
    FromDouble(Box<Double>),
    Add(Two<Int>),
    Subtract(Two<Int>),
    Multiply(Two<Int>),
    Divide(Two<Int>),
    Remainder(Two<Int>),
    Negate(Box<Int>),
    Abs(Box<Int>),
    /// How many characters.
    Size(Box<Text>),
    Min(Two<Int>),
    Max(Two<Int>),
    If(Choice<Int>),
}

impl Int {
    pub(super) fn get<C: Cells>(&self, row: &Row<'_, C>) -> Option<i64> {
        match self {
            Int::Const(number) => Some(*number),
            Int::Parse(text) => text.get(row)?.parse().ok(),
            Int::FromDouble(one) => whole(one.get(row)?),
            Int::Add(two) => two.0.get(row)?.checked_add(two.1.get(row)?),
            Int::Subtract(two) => two.0.get(row)?.checked_sub(two.1.get(row)?),
            Int::Multiply(two) => two.0.get(row)?.checked_mul(two.1.get(row)?),
            Int::Divide(two) => two.0.get(row)?.checked_div(two.1.get(row)?),
            Int::Remainder(two) => two.0.get(row)?.checked_rem(two.1.get(row)?),
            Int::Negate(one) => one.get(row)?.checked_neg(),
            Int::Abs(one) => one.get(row)?.checked_abs(),
            Int::Size(text) => i64::try_from(text.get(row)?.chars().count()).ok(),
            Int::Min(two) => Some(two.0.get(row)?.min(two.1.get(row)?)),
            Int::Max(two) => Some(two.0.get(row)?.max(two.1.get(row)?)),
            Int::If(choice) => chosen(choice, row)?.get(row),
        }
    }
}

/// Between the bounds of 64 bits, both excluded, as CEL has it.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn whole(number: f64) -> Option<i64> {
    (number > i64::MIN as f64 && number < i64::MAX as f64).then_some(number as i64)
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    /// What an order means; that there is none makes values unequal, and any other comparison an error.
    fn of(self, order: Option<Ordering>) -> Option<bool> {
        match self {
            Compare::Equal => Some(order == Some(Ordering::Equal)),
            Compare::NotEqual => Some(order != Some(Ordering::Equal)),
            Compare::Less => order.map(Ordering::is_lt),
            Compare::LessOrEqual => order.map(Ordering::is_le),
            Compare::Greater => order.map(Ordering::is_gt),
            Compare::GreaterOrEqual => order.map(Ordering::is_ge),
        }
    }
}

#[derive(Debug)]
pub(super) enum Bool {
    Const(bool),
    /// The words that CEL takes for true and false.
    Parse(Box<Text>),
    Doubles(Compare, Two<Double>),
    Ints(Compare, Two<Int>),
    Texts(Compare, Two<Text>),
    Bools(Compare, Two<Bool>),
    Not(Box<Bool>),
    And(Two<Bool>),
    Or(Two<Bool>),
    TextIn(Box<Text>, Vec<String>),
    IntIn(Box<Int>, Vec<i64>),
    StartsWith(Two<Text>),
    EndsWith(Two<Text>),
    Contains(Two<Text>),
    Matches(Box<Text>, Regex),
    If(Choice<Bool>),
}

impl Bool {
    pub(super) fn get<C: Cells>(&self, row: &Row<'_, C>) -> Option<bool> {
        Some(match self {
            Bool::Const(yes) => *yes,
            Bool::Parse(text) => match text.get(row)?.as_ref() {
                "1" | "t" | "true" | "TRUE" | "True" => true,
                "0" | "f" | "false" | "FALSE" | "False" => false,
                _ => return None,
            },
            Bool::Doubles(how, two) => how.of(two.0.get(row)?.partial_cmp(&two.1.get(row)?))?,
            Bool::Ints(how, two) => how.of(Some(two.0.get(row)?.cmp(&two.1.get(row)?)))?,
            Bool::Texts(how, two) => how.of(Some(two.0.get(row)?.cmp(&two.1.get(row)?)))?,
            Bool::Bools(how, two) => how.of(Some(two.0.get(row)?.cmp(&two.1.get(row)?)))?,
            Bool::Not(one) => !one.get(row)?,
            Bool::And(two) => two.0.get(row)? && two.1.get(row)?,
            Bool::Or(two) => two.0.get(row)? || two.1.get(row)?,
            Bool::TextIn(text, list) => {
                let text = text.get(row)?;
                list.iter().any(|known| *known == text)
            }
            Bool::IntIn(int, list) => list.contains(&int.get(row)?),
            Bool::StartsWith(two) => two.0.get(row)?.starts_with(two.1.get(row)?.as_ref()),
            Bool::EndsWith(two) => two.0.get(row)?.ends_with(two.1.get(row)?.as_ref()),
            Bool::Contains(two) => two.0.get(row)?.contains(two.1.get(row)?.as_ref()),
            Bool::Matches(text, pattern) => pattern.is_match(text.get(row)?.as_ref()),
            Bool::If(choice) => chosen(choice, row)?.get(row)?,
        })
    }
}

#[derive(Debug)]
pub(super) enum Text {
    Const(String),
    /// One of the expression's names.
    Column(usize),
    FromInt(Box<Int>),
    FromBool(Box<Bool>),
    Join(Two<Text>),
    If(Choice<Text>),
}

impl Text {
    #[inline]
    pub(super) fn get<'v, C: Cells>(&'v self, row: &Row<'v, C>) -> Option<Cow<'v, str>> {
        Some(match self {
            Text::Const(text) => Cow::Borrowed(text),
            Text::Column(name) => match row.cells.cell(*row.columns.get(*name)?) {
                Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
                Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
            },
            Text::FromInt(int) => Cow::Owned(int.get(row)?.to_string()),
            Text::FromBool(one) => Cow::Borrowed(if one.get(row)? { "true" } else { "false" }),
            Text::Join(two) => {
                let mut text = two.0.get(row)?.into_owned();
                text.push_str(two.1.get(row)?.as_ref());
                Cow::Owned(text)
            }
            Text::If(choice) => chosen(choice, row)?.get(row)?,
        })
    }
}
