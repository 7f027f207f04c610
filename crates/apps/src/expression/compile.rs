//! From CEL's tree to trees of known types, where every part of it has one.
//!
//! Invariant: what is compiled here has the interpreter's meaning; a part that is not known here makes the whole
//! expression the interpreter's. There is no I/O.

use super::Name;
use super::typed::{Bool, Compare, Double, Int, Text, Two, Typed};
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use regex::Regex;

/// What a tree is compiled with.
pub(super) struct Compiler<'a> {
    pub(super) names: &'a [Name],
    /// The regular expressions, by the number in their function's name.
    pub(super) patterns: &'a [Regex],
}

fn two<T>(left: T, right: T) -> Two<T> {
    Box::new((left, right))
}

impl Compiler<'_> {
    /// The tree of known types; none where a part of it has no type that is known here.
    pub(super) fn typed(&self, expr: &Expr) -> Option<Typed> {
        Some(match expr {
            Expr::Literal(LiteralValue::Double(number)) => Typed::Double(Double::Const(*number.inner())),
            Expr::Literal(LiteralValue::Int(number)) => Typed::Int(Int::Const(*number.inner())),
            Expr::Literal(LiteralValue::Boolean(yes)) => Typed::Bool(Bool::Const(*yes.inner())),
            Expr::Literal(LiteralValue::String(text)) => Typed::Text(Text::Const(text.inner().to_owned())),
            Expr::Ident(ident) => {
                Typed::Text(Text::Column(self.names.iter().position(|name| name.ident == *ident)?))
            }
            Expr::Call(call) => self.call(call)?,
            _ => return None,
        })
    }

    fn call(&self, call: &CallExpr) -> Option<Typed> {
        match (&call.target, call.args.as_slice()) {
            (Some(target), args) => self.member(&call.func_name, target, args),
            (None, [one]) => self.one(&call.func_name, self.typed(&one.expr)?),
            (None, [left, right]) if call.func_name == operators::IN => self.contained(left, right),
            (None, [left, right]) => {
                self.two(&call.func_name, self.typed(&left.expr)?, self.typed(&right.expr)?)
            }
            (None, [condition, yes, no]) if call.func_name == operators::CONDITIONAL => {
                let Typed::Bool(condition) = self.typed(&condition.expr)? else { return None };
                Some(match (self.typed(&yes.expr)?, self.typed(&no.expr)?) {
                    (Typed::Double(a), Typed::Double(b)) => {
                        Typed::Double(Double::If(Box::new((condition, a, b))))
                    }
                    (Typed::Int(a), Typed::Int(b)) => Typed::Int(Int::If(Box::new((condition, a, b)))),
                    (Typed::Bool(a), Typed::Bool(b)) => Typed::Bool(Bool::If(Box::new((condition, a, b)))),
                    (Typed::Text(a), Typed::Text(b)) => Typed::Text(Text::If(Box::new((condition, a, b)))),
                    _ => return None,
                })
            }
            _ => None,
        }
    }

    /// A function or operator of one argument.
    fn one(&self, name: &str, argument: Typed) -> Option<Typed> {
        use Typed as T;
        if let Some(number) = name.strip_prefix(super::rewrite::PATTERN) {
            let T::Text(text) = argument else { return None };
            let pattern = self.patterns.get(number.parse::<usize>().ok()?)?;
            return Some(T::Bool(Bool::Matches(Box::new(text), pattern.clone())));
        }
        Some(match (name, argument) {
            ("double", T::Text(text)) => T::Double(Double::Parse(text)),
            ("double", T::Int(int)) => T::Double(Double::FromInt(Box::new(int))),
            ("double", same @ T::Double(_)) => same,
            ("int", T::Text(text)) => T::Int(Int::Parse(text)),
            ("int", T::Double(number)) => T::Int(Int::FromDouble(Box::new(number))),
            ("int", same @ T::Int(_)) => same,
            ("bool", T::Text(text)) => T::Bool(Bool::Parse(Box::new(text))),
            ("bool", same @ T::Bool(_)) => same,
            ("string", T::Int(int)) => T::Text(Text::FromInt(Box::new(int))),
            ("string", T::Bool(yes)) => T::Text(Text::FromBool(Box::new(yes))),
            ("string", same @ T::Text(_)) => same,
            ("size", T::Text(text)) => T::Int(Int::Size(Box::new(text))),
            ("round", T::Double(number)) => T::Double(Double::Round(Box::new(number), 0)),
            ("floor", T::Double(number)) => T::Double(Double::Floor(Box::new(number))),
            ("ceil", T::Double(number)) => T::Double(Double::Ceil(Box::new(number))),
            ("abs", T::Double(number)) => T::Double(Double::Abs(Box::new(number))),
            ("floor" | "ceil", same @ T::Int(_)) => same,
            ("abs", T::Int(int)) => T::Int(Int::Abs(Box::new(int))),
            (operators::NEGATE, T::Double(number)) => T::Double(Double::Negate(Box::new(number))),
            (operators::NEGATE, T::Int(int)) => T::Int(Int::Negate(Box::new(int))),
            (operators::LOGICAL_NOT, T::Bool(yes)) => T::Bool(Bool::Not(Box::new(yes))),
            _ => return None,
        })
    }

    /// A function or operator of two arguments.
    fn two(&self, name: &str, left: Typed, right: Typed) -> Option<Typed> {
        use Typed as T;
        if let Some(how) = comparison(name) {
            return compared(how, left, right).map(T::Bool);
        }
        Some(match (name, left, right) {
            (operators::ADD, T::Double(a), T::Double(b)) => T::Double(Double::Add(two(a, b))),
            (operators::SUBSTRACT, T::Double(a), T::Double(b)) => T::Double(Double::Subtract(two(a, b))),
            (operators::MULTIPLY, T::Double(a), T::Double(b)) => T::Double(Double::Multiply(two(a, b))),
            (operators::DIVIDE, T::Double(a), T::Double(b)) => T::Double(Double::Divide(two(a, b))),
            (operators::ADD, T::Int(a), T::Int(b)) => T::Int(Int::Add(two(a, b))),
            (operators::SUBSTRACT, T::Int(a), T::Int(b)) => T::Int(Int::Subtract(two(a, b))),
            (operators::MULTIPLY, T::Int(a), T::Int(b)) => T::Int(Int::Multiply(two(a, b))),
            (operators::DIVIDE, T::Int(a), T::Int(b)) => T::Int(Int::Divide(two(a, b))),
            (operators::MODULO, T::Int(a), T::Int(b)) => T::Int(Int::Remainder(two(a, b))),
            (operators::ADD, T::Text(a), T::Text(b)) => T::Text(Text::Join(two(a, b))),
            (operators::LOGICAL_AND, T::Bool(a), T::Bool(b)) => T::Bool(Bool::And(two(a, b))),
            (operators::LOGICAL_OR, T::Bool(a), T::Bool(b)) => T::Bool(Bool::Or(two(a, b))),
            ("round", T::Double(a), T::Int(Int::Const(digits))) => {
                T::Double(Double::Round(Box::new(a), digits))
            }
            ("min", T::Double(a), T::Double(b)) => T::Double(Double::Min(two(a, b))),
            ("max", T::Double(a), T::Double(b)) => T::Double(Double::Max(two(a, b))),
            ("min", T::Int(a), T::Int(b)) => T::Int(Int::Min(two(a, b))),
            ("max", T::Int(a), T::Int(b)) => T::Int(Int::Max(two(a, b))),
            _ => return None,
        })
    }

    /// A function that is called on a text.
    fn member(&self, name: &str, target: &IdedExpr, args: &[IdedExpr]) -> Option<Typed> {
        let Typed::Text(text) = self.typed(&target.expr)? else { return None };
        let argument = match args {
            [] if name == "size" => return Some(Typed::Int(Int::Size(Box::new(text)))),
            [argument] => argument,
            _ => return None,
        };
        let Typed::Text(argument) = self.typed(&argument.expr)? else { return None };
        let both = two(text, argument);
        Some(Typed::Bool(match name {
            "startsWith" => Bool::StartsWith(both),
            "endsWith" => Bool::EndsWith(both),
            "contains" => Bool::Contains(both),
            _ => return None,
        }))
    }

    /// `x in [ … ]` with a list that is written out.
    fn contained(&self, one: &IdedExpr, list: &IdedExpr) -> Option<Typed> {
        let Expr::List(list) = &list.expr else { return None };
        if !list.optional_indices.is_empty() {
            return None;
        }
        let literals = list.elements.iter().map(|element| match &element.expr {
            Expr::Literal(literal) => Some(literal),
            _ => None,
        });
        let literals: Vec<&LiteralValue> = literals.collect::<Option<_>>()?;
        Some(Typed::Bool(match self.typed(&one.expr)? {
            Typed::Text(text) => {
                let texts = literals.iter().map(|literal| match literal {
                    LiteralValue::String(text) => Some(text.inner().to_owned()),
                    _ => None,
                });
                Bool::TextIn(Box::new(text), texts.collect::<Option<_>>()?)
            }
            Typed::Int(int) => {
                let ints = literals.iter().map(|literal| match literal {
                    LiteralValue::Int(number) => Some(*number.inner()),
                    _ => None,
                });
                Bool::IntIn(Box::new(int), ints.collect::<Option<_>>()?)
            }
            _ => return None,
        }))
    }
}

/// The comparison that an operator stands for.
pub(super) fn comparison(name: &str) -> Option<Compare> {
    Some(match name {
        operators::EQUALS => Compare::Equal,
        operators::NOT_EQUALS => Compare::NotEqual,
        operators::LESS => Compare::Less,
        operators::LESS_EQUALS => Compare::LessOrEqual,
        operators::GREATER => Compare::Greater,
        operators::GREATER_EQUALS => Compare::GreaterOrEqual,
        _ => return None,
    })
}

/// Integers and doubles are compared as doubles.
fn compared(how: Compare, left: Typed, right: Typed) -> Option<Bool> {
    use Typed as T;
    Some(match (left, right) {
        (T::Double(a), T::Double(b)) => Bool::Doubles(how, two(a, b)),
        (T::Double(a), T::Int(b)) => Bool::Doubles(how, two(a, Double::FromInt(Box::new(b)))),
        (T::Int(a), T::Double(b)) => Bool::Doubles(how, two(Double::FromInt(Box::new(a)), b)),
        (T::Int(a), T::Int(b)) => Bool::Ints(how, two(a, b)),
        (T::Text(a), T::Text(b)) => Bool::Texts(how, two(a, b)),
        (T::Bool(a), T::Bool(b)) => Bool::Bools(how, two(a, b)),
        _ => return None,
    })
}
