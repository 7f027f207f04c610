//! Compiling an expression, and refusing what is known to be wrong with it.
//!
//! Invariant: what passes here is bounded in length, depth and loops, calls only functions that exist, and matches only
//! patterns that compile. There is no I/O.

use super::compile::{Compiler, comparison};
use super::interpret::{self, Held, Scope, kind, why};
use super::loops::{self, parts};
use super::rewrite::COLUMN;
use super::rewrite::{NAMESPACES, Rewriting, variables};
use super::typed::Typed;
use super::{Code, Name, Over, ROW};
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::CelString;
use cel::{Context, Env, ExecutionError, Value};
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use regex::Regex;
use std::borrow::Cow;
use std::collections::HashMap;

/// The longest expression, in bytes.
const SOURCE_MAX_BYTES: usize = 8 * 1024;
/// How deep brackets and choices may lie in one another.
const NESTING_MAX: usize = 48;
/// How deep the parts of an expression may lie in one another; `a + b + c` is two deep.
const DEPTH_MAX: usize = 256;
/// What parsing may need: each bracket is a dozen calls deep.
const PARSE_STACK_BYTES: usize = 64 * 1024 * 1024;
/// What columns hold in the dry runs of a new expression.
const SAMPLES: &[&str] = &["1", "", "2013-01-01T10:00:00Z", "true"];
/// The functions that this program adds, to suggest them.
const OWN_FUNCTIONS: &[&str] = &[
    "round",
    "floor",
    "ceil",
    "abs",
    "min",
    "max",
    "double",
    "int",
    "string",
    "bool",
    "size",
    "timestamp",
    "duration",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "lowerAscii",
    "upperAscii",
    "replace",
    "split",
    "substring",
    "trim",
    "indexOf",
];

/// Compiles and checks.
pub(super) fn compile(source: &str, over: Over) -> Result<Code> {
    let wrong = |why: String| Error::config(why).on(format!("`{source}`"));
    bounded(source).map_err(wrong)?;
    let env = interpret::environment()?;
    let mut tree = parse(&env, source)?.map_err(wrong)?;
    let loops = loops::check(&tree.expr).map_err(wrong)?;
    let mut patterns = Vec::new();
    let mut rewriting = Rewriting { over, patterns: &mut patterns };
    rewriting.tree(&mut tree).map_err(wrong)?;
    let mut names = Vec::new();
    variables(&tree.expr, &mut Vec::new(), &mut names);
    let uses_row = names.iter().any(|name| name == ROW);
    names.retain(|name| name != ROW);
    let names: Vec<Name> = names
        .into_iter()
        .map(|ident| Name { column: ident.strip_prefix(COLUMN).unwrap_or(&ident).to_owned(), ident })
        .collect();
    let typed = match over {
        Over::Rows => Compiler { names: &names, patterns: &patterns }.typed(&tree.expr),
        Over::Records => None,
    };
    let context = interpret::context(env, &patterns)?;
    let code = Code { source: source.to_owned(), over, tree, names, uses_row, loops, typed, context };
    Checking { code: &code, patterns: &patterns }.all(&code.tree)?;
    Ok(code)
}

/// Length and nesting, before it is parsed.
fn bounded(source: &str) -> Result<(), String> {
    if source.len() > SOURCE_MAX_BYTES {
        return Err(format!("it is longer than {SOURCE_MAX_BYTES} bytes"));
    }
    let (mut open, mut deepest, mut choices) = (0usize, 0usize, 0usize);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b'?' => choices += 1,
            _ => {}
        }
        deepest = deepest.max(open);
    }
    if deepest > NESTING_MAX || choices > NESTING_MAX {
        return Err(format!("it is nested more than {NESTING_MAX} levels deep"));
    }
    Ok(())
}

/// Parses on a thread with room for it: the parser calls itself for each bracket.
fn parse(env: &Env, source: &str) -> Result<Result<IdedExpr, String>> {
    let first = |errors: cel::ParseErrors| {
        let first = errors.errors.first().map_or_else(
            || errors.to_string(),
            |error| format!("{} (at character {})", error.msg, error.pos.1.max(1)),
        );
        format!("the expression cannot be read: {first}")
    };
    // A tree that is too deep is dropped here too: that goes as deep.
    let parse = || {
        let tree = env.parser().parse(source).map_err(first)?;
        match depth(&tree.expr) {
            depth if depth > DEPTH_MAX => {
                Err(format!("it is {depth} levels deep, and {DEPTH_MAX} is the most"))
            }
            _ => Ok(tree),
        }
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(PARSE_STACK_BYTES).spawn_scoped(scope, parse);
        let thread = thread.map_err(|error| Error::io("start", "a thread to read an expression", error))?;
        // What the parser panics at, it cannot read.
        Ok(thread.join().unwrap_or_else(|_| Err("the expression cannot be read".to_owned())))
    })
}

fn depth(expr: &Expr) -> usize {
    1 + parts(expr).into_iter().map(depth).max().unwrap_or(0)
}

/// Looks at every part of an expression.
struct Checking<'a> {
    code: &'a Code,
    patterns: &'a [Regex],
}

impl Checking<'_> {
    fn wrong(&self, why: impl Into<String>) -> Error {
        Error::config(why).on(format!("`{}`", self.code.source))
    }

    /// Checks a part and all its parts; the parts first, so that the innermost wrong one is named.
    fn all(&self, tree: &IdedExpr) -> Result<()> {
        match &tree.expr {
            Expr::Comprehension(one) => {
                self.all(&one.iter_range)?;
                for part in [&one.accu_init, &one.loop_cond, &one.loop_step, &one.result] {
                    self.functions(&part.expr)?;
                }
            }
            Expr::Call(call) => {
                call.args.iter().try_for_each(|argument| self.all(argument))?;
                self.function(call)?;
                if call.target.as_ref().is_some_and(|target| !is_namespace(&target.expr)) {
                    call.target.iter().try_for_each(|target| self.all(target))?;
                }
                self.types(call)?;
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.all(element))?,
            other => parts(other).into_iter().try_for_each(|part| self.functions(part))?,
        }
        match &tree.expr {
            Expr::Call(_) | Expr::Comprehension(_) | Expr::Select(_) => self.dry_run(tree),
            _ => Ok(()),
        }
    }

    /// Whether all functions that it calls exist.
    fn functions(&self, expr: &Expr) -> Result<()> {
        if let Expr::Call(call) = expr {
            self.function(call)?;
        }
        parts(expr).into_iter().try_for_each(|part| self.functions(part))
    }

    /// Calls a function without arguments: one that exists complains of something else.
    fn function(&self, call: &CallExpr) -> Result<()> {
        let name = &call.func_name;
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return self.by_zero(call);
        }
        let target = call.target.as_ref().map(|target| match is_namespace(&target.expr) {
            true => target.clone(),
            false => {
                Box::new(IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::String(CelString::from(""))) })
            }
        });
        let bare = Expr::Call(CallExpr { func_name: name.clone(), target, args: Vec::new() });
        let scope = Scope { names: &[], held: Vec::new(), whole: None };
        match interpret::answer(&IdedExpr { id: 0, expr: bare }, &self.code.context, &scope) {
            Err(ExecutionError::UndeclaredReference(_)) => {
                let error = self.wrong(format!("{name} is not known"));
                Err(match nearest(name, OWN_FUNCTIONS.iter().copied()) {
                    Some(near) => error.hint(format!("did you mean {near}()?")),
                    None => {
                        error.hint("it is no function of CEL, nor one of round, floor, ceil, abs, min, max")
                    }
                })
            }
            _ => Ok(()),
        }
    }

    /// A zero that is written as a divisor.
    fn by_zero(&self, call: &CallExpr) -> Result<()> {
        let divides = [operators::DIVIDE, operators::MODULO].contains(&call.func_name.as_str());
        let zero = match call.args.get(1).map(|divisor| &divisor.expr) {
            Some(Expr::Literal(LiteralValue::Int(number))) => *number.inner() == 0,
            Some(Expr::Literal(LiteralValue::UInt(number))) => *number.inner() == 0,
            Some(Expr::Literal(LiteralValue::Double(number))) => *number.inner() == 0.0,
            _ => false,
        };
        if divides && zero { Err(self.wrong("it divides by zero")) } else { Ok(()) }
    }

    /// Values of different types are never equal, and asking whether they are is a mistake.
    fn types(&self, call: &CallExpr) -> Result<()> {
        let (Over::Rows, true, [left, right]) =
            (self.code.over, comparison(&call.func_name).is_some(), call.args.as_slice())
        else {
            return Ok(());
        };
        let compiler = Compiler { names: &self.code.names, patterns: self.patterns };
        let (Some(left), Some(right)) = (compiler.typed(&left.expr), compiler.typed(&right.expr)) else {
            return Ok(());
        };
        let number = |typed: &Typed| matches!(typed, Typed::Int(_) | Typed::Double(_));
        if left.kind() == right.kind() || (number(&left) && number(&right)) {
            return Ok(());
        }
        Err(self
            .wrong(format!("{} cannot be compared with {}", left.kind(), right.kind()))
            .hint("columns are text: write double(x) or int(x) where a number is meant"))
    }

    /// Tries a part on sample rows: text where a number is wanted is found here, and what is always wrong.
    fn dry_run(&self, tree: &IdedExpr) -> Result<()> {
        let mut used = Vec::new();
        variables(&tree.expr, &mut Vec::new(), &mut used);
        if self.code.over == Over::Records && !used.is_empty() {
            return Ok(());
        }
        for sample in SAMPLES {
            match interpret::answer(tree, &self.code.context, &sample_scope(&self.code.names, sample)) {
                Err(
                    error @ (ExecutionError::NoSuchOverload(_)
                    | ExecutionError::UnsupportedBinaryOperator(..)
                    | ExecutionError::ValuesNotComparable(..)),
                ) => {
                    return Err(self
                        .wrong(why(&error))
                        .hint("columns are text: write double(x) or int(x) where a number is meant"));
                }
                Err(error) if used.is_empty() => return Err(self.wrong(why(&error))),
                _ => {}
            }
            if used.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

fn is_namespace(expr: &Expr) -> bool {
    matches!(expr, Expr::Ident(name) if NAMESPACES.contains(&name.as_str()))
}

fn sample_scope<'a>(names: &'a [Name], sample: &'a str) -> Scope<'a> {
    let held = names.iter().map(|_| Some(Held::Text(Cow::Borrowed(sample)))).collect();
    Scope { names, held, whole: Some(Value::from(HashMap::<String, String>::new())) }
}

/// What an expression gives, where that is known and is neither true nor false.
pub(super) fn not_boolean(code: &Code) -> Option<&'static str> {
    match &code.typed {
        Some(Typed::Bool(_)) => return None,
        Some(other) => return Some(other.kind()),
        None if code.over == Over::Records && !code.names.is_empty() => return None,
        None => {}
    }
    SAMPLES.iter().find_map(|sample| {
        match interpret::answer(&code.tree, &code.context, &sample_scope(&code.names, sample)) {
            Ok(Value::Bool(_)) | Err(_) => None,
            Ok(other) => Some(kind(&other)),
        }
    })
}

// The context is kept with the expression: both go from thread to thread.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Context<'static, 'static>>();
    shared::<IdedExpr>();
};
