//! Calculated columns: CEL over the row, compiled once.
//!
//! Every column is text, by its name; a name that is no CEL identifier is reached by `row["unit price"]`. The standard
//! functions and macros are there, CEL's extensions `strings` and `math`, and `round(x[, digits])`, `floor(x)`,
//! `ceil(x)`, `abs(x)`, `min(…)`, `max(…)`. `round` rounds the exact value of the double, and a tie to the even digit, as
//! Python does.
//!
//! The result is written as text: integers and booleans as they are; doubles as the shortest text that reads back as
//! the same double, without a trailing `.0` (`3`, `0.1`, `1e21`); timestamps as RFC 3339; null as nothing. NaN, an
//! infinity, a list or a map is an error of the row.

use cel::common::ast::{EntryExpr, Expr};
use cel::common::types::CelString;
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::extractors::Arguments;
use cel::{Context, Env, ExecutionError, Program, Value, extensions};
use handover_core::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// The name by which the whole row is reached.
pub(crate) const ROW: &str = "row";
/// Names that lead to functions, not to columns.
const NAMESPACES: &[&str] = &["math", "strings", "optional"];
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
/// What columns hold in the dry runs of a new expression.
const SAMPLES: &[&str] = &["1", "", "2013-01-01T10:00:00Z", "true"];

/// One calculated column.
#[derive(Debug)]
pub(crate) struct Computed {
    /// The column's name.
    pub(crate) name: String,
    /// The expression as it was written.
    pub(crate) source: String,
    program: Program,
    /// The columns that it uses.
    pub(crate) uses: Vec<String>,
    /// Whether it uses the row as a whole.
    pub(crate) uses_row: bool,
}

/// Compiles and evaluates expressions.
pub(crate) struct Calculator {
    context: Context<'static, 'static>,
    env: Arc<Env>,
}

impl Calculator {
    /// The environment of all expressions.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Internal`] where it contradicts itself.
    pub(crate) fn new() -> Result<Self> {
        let fault = |error: cel::DeclarationError| {
            Error::internal("the functions of CEL clash").because(error.to_string())
        };
        let mut env = Env::stdlib();
        env.add_extension(extensions::strings).map_err(fault)?;
        env.add_extension(extensions::math).map_err(fault)?;
        let env = Arc::new(env);
        let mut context = Context::with_env(Arc::clone(&env));
        context.add_function("round", round).map_err(fault)?;
        context.add_function("floor", |value: Value| whole("floor", &value, f64::floor)).map_err(fault)?;
        context.add_function("ceil", |value: Value| whole("ceil", &value, f64::ceil)).map_err(fault)?;
        context.add_function("abs", abs).map_err(fault)?;
        context.add_function("min", cel::functions::min).map_err(fault)?;
        context.add_function("max", cel::functions::max).map_err(fault)?;
        Ok(Self { context, env })
    }

    /// Compiles the expression of a column, and tries it on sample rows: an unknown function, or text where a number
    /// is wanted, is found here.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] with the place in the expression.
    pub(crate) fn compile(&self, name: &str, source: &str) -> Result<Computed> {
        let wrong = |why: String| Error::config(format!("compute: {name}: {why}")).on(format!("`{source}`"));
        let program = self.env.compile(source).map_err(|errors| {
            let first = errors.errors.first().map_or_else(
                || errors.to_string(),
                |error| format!("{} (at character {})", error.msg, error.pos.1.max(1)),
            );
            wrong(format!("the expression cannot be read: {first}"))
        })?;
        let mut uses = Vec::new();
        variables(&program.expression().expr, &mut Vec::new(), &mut uses);
        let uses_row = uses.iter().any(|name| name == ROW);
        uses.retain(|name| name != ROW);
        let computed = Computed { name: name.to_owned(), source: source.to_owned(), program, uses, uses_row };
        for sample in SAMPLES {
            match self.execute(&computed, &Same(sample)) {
                Err(ExecutionError::UndeclaredReference(what)) => {
                    return Err(wrong(format!("{what} is not known")));
                }
                Err(
                    error @ (ExecutionError::NoSuchOverload(_)
                    | ExecutionError::UnsupportedBinaryOperator(..)
                    | ExecutionError::ValuesNotComparable(..)),
                ) => {
                    return Err(wrong(reason(&error))
                        .hint("columns are text: write double(x) or int(x) where a number is meant"));
                }
                _ => {}
            }
        }
        Ok(computed)
    }

    /// The text of a calculated column in one row.
    ///
    /// # Errors
    /// The reason, for people.
    pub(crate) fn evaluate(&self, computed: &Computed, row: &Cells<'_>) -> Result<String, String> {
        match self.execute(computed, row) {
            Ok(value) => text(&value),
            Err(error) => Err(reason(&error)),
        }
    }

    fn execute(&self, computed: &Computed, row: &dyn Row) -> Result<Value, ExecutionError> {
        let resolver = Resolver { row, whole: computed.uses_row.then(|| row.whole()).flatten() };
        let parent: &Context<'_, '_> = &self.context;
        let mut context = parent.new_inner_scope();
        context.set_variable_resolver(&resolver);
        computed.program.execute(&context)
    }
}

/// What an expression sees.
trait Row: Send + Sync {
    fn cell(&self, name: &str) -> Option<&str>;
    fn whole(&self) -> Option<Value>;
}

/// The cells of one row by their columns' names.
pub(crate) struct Cells<'a> {
    /// Where each column stands.
    pub(crate) columns: &'a HashMap<String, usize>,
    /// The cells; fewer than columns while the row is being calculated.
    pub(crate) cells: &'a [String],
}

impl Row for Cells<'_> {
    fn cell(&self, name: &str) -> Option<&str> {
        self.cells.get(*self.columns.get(name)?).map(String::as_str)
    }

    fn whole(&self) -> Option<Value> {
        let map: HashMap<String, String> = self
            .columns
            .iter()
            .filter_map(|(name, at)| Some((name.clone(), self.cells.get(*at)?.clone())))
            .collect();
        Some(Value::from(map))
    }
}

/// A row in which every column holds the same.
struct Same<'a>(&'a str);

impl Row for Same<'_> {
    fn cell(&self, name: &str) -> Option<&str> {
        (name != ROW).then_some(self.0)
    }

    fn whole(&self) -> Option<Value> {
        Some(Value::from(HashMap::<String, String>::new()))
    }
}

struct Resolver<'a> {
    row: &'a dyn Row,
    whole: Option<Value>,
}

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if variable == ROW && self.row.cell(ROW).is_none() {
            return self.whole.clone()?.try_into().ok().map(CowVal::Owned);
        }
        self.row.cell(variable).map(|cell| CowVal::owned(CelString::from(cell)))
    }
}

/// The names that an expression takes from outside, each once.
fn variables(expr: &Expr, bound: &mut Vec<String>, found: &mut Vec<String>) {
    match expr {
        Expr::Ident(name) => {
            let known = NAMESPACES.contains(&name.as_str()) || TYPE_NAMES.contains(&name.as_str());
            if !known && !name.starts_with('@') && !bound.contains(name) && !found.contains(name) {
                found.push(name.clone());
            }
        }
        Expr::Call(call) => {
            let target = call.target.as_deref();
            target.into_iter().chain(&call.args).for_each(|e| variables(&e.expr, bound, found));
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
        Expr::List(list) => list.elements.iter().for_each(|e| variables(&e.expr, bound, found)),
        Expr::Select(select) => variables(&select.operand.expr, bound, found),
        Expr::Map(map) => map.entries.iter().for_each(|entry| entry_variables(&entry.expr, bound, found)),
        Expr::Struct(made) => {
            made.entries.iter().for_each(|entry| entry_variables(&entry.expr, bound, found))
        }
        Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry_variables(entry: &EntryExpr, bound: &mut Vec<String>, found: &mut Vec<String>) {
    match entry {
        EntryExpr::StructField(field) => variables(&field.value.expr, bound, found),
        EntryExpr::MapEntry(entry) => {
            variables(&entry.key.expr, bound, found);
            variables(&entry.value.expr, bound, found);
        }
    }
}

fn number(function: &str, value: &Value) -> Result<f64, ExecutionError> {
    #[allow(clippy::cast_precision_loss)]
    match value {
        Value::Float(number) => Ok(*number),
        Value::Int(number) => Ok(*number as f64),
        Value::UInt(number) => Ok(*number as f64),
        Value::String(text) => Err(ExecutionError::function_error(
            function,
            format!("{text:?} is text: write double(…) around it"),
        )),
        _ => Err(ExecutionError::function_error(function, "it takes a number")),
    }
}

fn whole(function: &str, value: &Value, round: fn(f64) -> f64) -> Result<Value, ExecutionError> {
    match value {
        Value::Int(_) | Value::UInt(_) => Ok(value.clone()),
        value => number(function, value).map(|number| Value::Float(round(number))),
    }
}

fn abs(value: Value) -> Result<Value, ExecutionError> {
    match value {
        Value::Int(number) => number
            .checked_abs()
            .map(Value::Int)
            .ok_or_else(|| ExecutionError::function_error("abs", "the number is too large")),
        value => number("abs", &value).map(|number| Value::Float(number.abs())),
    }
}

/// `round(x)` and `round(x, digits)`: the exact value of the double, rounded; ties go to the even digit.
fn round(Arguments(arguments): Arguments) -> Result<Value, ExecutionError> {
    const DIGITS_MAX: i64 = 300;
    let digits = match arguments.get(1) {
        None => 0,
        Some(Value::Int(digits)) => *digits,
        Some(_) => return Err(ExecutionError::function_error("round", "the digits are an integer")),
    };
    let (Some(value), true) = (arguments.first(), arguments.len() <= 2) else {
        return Err(ExecutionError::invalid_argument_count(2, arguments.len()));
    };
    let number = number("round", value)?;
    if !number.is_finite() || digits > DIGITS_MAX {
        return Ok(Value::Float(number));
    }
    let rounded = if digits >= 0 {
        format!("{number:.*}", usize::try_from(digits).unwrap_or(0)).parse().unwrap_or(number)
    } else {
        let power = 10f64.powi(i32::try_from(-digits.max(-DIGITS_MAX)).unwrap_or(0));
        (number / power).round_ties_even() * power
    };
    Ok(Value::Float(rounded))
}

/// The text of a result.
fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Int(number) => Ok(number.to_string()),
        Value::UInt(number) => Ok(number.to_string()),
        Value::Float(number) => double_text(*number),
        Value::String(text) => Ok(text.to_string()),
        Value::Bool(yes) => Ok(yes.to_string()),
        Value::Null => Ok(String::new()),
        Value::Timestamp(time) => {
            let nanoseconds = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0);
            let time = jiff::Timestamp::new(time.timestamp(), nanoseconds);
            time.map(|time| time.to_string()).map_err(|_| "the result is a time out of range".to_owned())
        }
        Value::Duration(duration) => {
            let seconds = duration.num_milliseconds();
            #[allow(clippy::cast_precision_loss)]
            double_text(seconds as f64 / 1000.0).map(|text| format!("{text}s"))
        }
        other => Err(format!("the result is {}, and a cell holds text or a number", kind(other))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Bytes(_) => "bytes",
        Value::String(_) => "text",
        Value::Int(_) | Value::UInt(_) => "an integer",
        Value::Float(_) => "a double",
        Value::Bool(_) => "a boolean",
        Value::Timestamp(_) => "a timestamp",
        Value::Duration(_) => "a duration",
        _ => "no plain value",
    }
}

/// The shortest text that reads back as the same double.
fn double_text(number: f64) -> Result<String, String> {
    if !number.is_finite() {
        return Err("the result is not a finite number".to_owned());
    }
    if number == 0.0 {
        return Ok("0".to_owned());
    }
    let size = number.abs();
    Ok(if (1e-7..1e21).contains(&size) { format!("{number}") } else { format!("{number:e}") })
}

/// An evaluation error in the words of this program.
fn reason(error: &ExecutionError) -> String {
    match error {
        ExecutionError::FunctionError { function, message } => format!("{function}(): {message}"),
        ExecutionError::UndeclaredReference(name) => format!("{name} is not known"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!("{} and {} do not go together ({operator})", kind(left), kind(right))
        }
        ExecutionError::NoSuchOverload(error) => {
            // CEL calls an operator `_>_`; its types are its own words.
            let name = error.function().trim_matches('_');
            format!("{name} does not take ({})", error.argument_types().join(", "))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} cannot be compared with {}", kind(left), kind(right))
        }
        ExecutionError::NoSuchKey(name) => format!("the row has no column {name:?}"),
        ExecutionError::Overflow(..) => "the number is too large".to_owned(),
        other => other.to_string(),
    }
}
