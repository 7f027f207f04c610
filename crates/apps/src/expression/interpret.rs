//! The interpreter: the `cel` crate with the functions that columns need, and its answers in the words of this program.
//!
//! Invariants: whatever a row holds, an answer or a fault comes back. A row's cells are copied for it: this is the way
//! of what cannot be compiled, and of the reasons of bad rows.

use super::value::{Fault, Value as Answer};
use super::{Cells, Code, Name, ROW, number};
use cel::common::ast::IdedExpr;
use cel::common::types::CelString;
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::extractors::Arguments;
use cel::objects::Key;
use cel::{Context, Env, ExecutionError, Value, extensions};
use handover_core::{Error, Result as CoreResult};
use regex::Regex;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The longest cell that an expression which loops over one is given, in bytes.
const LOOP_CELL_MAX_BYTES: usize = 16 * 1024;

/// The standard library with its extensions; one for the process.
pub(super) fn environment() -> CoreResult<Arc<Env>> {
    static SHARED: LazyLock<Result<Arc<Env>, String>> = LazyLock::new(|| {
        let mut env = Env::stdlib();
        let added = env.add_extension(extensions::strings).and_then(|()| env.add_extension(extensions::math));
        added.map(|()| Arc::new(env)).map_err(|error| error.to_string())
    });
    SHARED.clone().map_err(|why| Error::internal("the functions of CEL clash").because(why))
}

/// The functions that an expression with these patterns can call.
pub(super) fn context(env: Arc<Env>, patterns: &[Regex]) -> CoreResult<Context<'static, 'static>> {
    let fault = |error: cel::DeclarationError| {
        Error::internal("the functions of CEL clash").because(error.to_string())
    };
    let mut context = Context::with_env(env);
    context.add_function("round", round).map_err(fault)?;
    context.add_function("floor", |value: Value| whole("floor", &value, f64::floor)).map_err(fault)?;
    context.add_function("ceil", |value: Value| whole("ceil", &value, f64::ceil)).map_err(fault)?;
    context.add_function("abs", abs).map_err(fault)?;
    context.add_function("min", cel::functions::min).map_err(fault)?;
    context.add_function("max", cel::functions::max).map_err(fault)?;
    for (number, pattern) in patterns.iter().enumerate() {
        let pattern = pattern.clone();
        let matches = move |value: Value| match &value {
            Value::String(text) => Ok(Value::Bool(pattern.is_match(text))),
            other => {
                Err(ExecutionError::function_error("matches", format!("it takes text, not {}", kind(other))))
            }
        };
        context.add_function(&format!("{}{number}", super::rewrite::PATTERN), matches).map_err(fault)?;
    }
    Ok(context)
}

/// What an expression sees of one name.
pub(super) enum Held<'a> {
    Text(Cow<'a, str>),
    Value(Value),
}

/// What an expression sees.
pub(super) struct Scope<'a> {
    pub(super) names: &'a [Name],
    /// What the names stand for; none for a field that a record lacks.
    pub(super) held: Vec<Option<Held<'a>>>,
    pub(super) whole: Option<Value>,
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match self.names.iter().position(|name| name.ident == variable) {
            Some(at) => match self.held.get(at)?.as_ref()? {
                Held::Text(text) => Some(CowVal::owned(CelString::from(text.as_ref()))),
                Held::Value(value) => value.clone().try_into().ok().map(CowVal::Owned),
            },
            None if variable == ROW => self.whole.clone()?.try_into().ok().map(CowVal::Owned),
            None => None,
        }
    }
}

/// The raw answer of a tree.
pub(super) fn answer(
    tree: &IdedExpr,
    context: &Context<'static, 'static>,
    scope: &Scope<'_>,
) -> Result<Value, ExecutionError> {
    let parent: &Context<'_, '_> = context;
    let mut inner = parent.new_inner_scope();
    inner.set_variable_resolver(scope);
    Value::resolve(tree, &inner)
}

fn evaluate(code: &Code, scope: &Scope<'_>) -> Result<Answer<'static>, Fault> {
    match answer(&code.tree, &code.context, scope) {
        Ok(value) => convert(&value),
        Err(error) => Err(Fault::new(reason(&error, code))),
    }
}

/// The value in a row.
#[cold]
pub(super) fn row<C: Cells>(
    code: &Code,
    columns: &[usize],
    all: &[String],
    cells: &C,
) -> Result<Answer<'static>, Fault> {
    let text = |column: usize, name: &str| match String::from_utf8(cells.cell(column).into_owned()) {
        Ok(text) if code.loops && text.len() > LOOP_CELL_MAX_BYTES => Err(too_long(name)),
        Ok(text) => Ok(text),
        Err(_) => Err(Fault::new(format!("{name} is not UTF-8"))),
    };
    let mut held = Vec::with_capacity(columns.len());
    for (column, name) in columns.iter().zip(&code.names) {
        held.push(Some(Held::Text(Cow::Owned(text(*column, &name.column)?))));
    }
    let mut whole = None;
    if code.uses_row {
        let map = all.iter().enumerate().map(|(column, name)| Ok((name.clone(), text(column, name)?)));
        whole = Some(Value::from(map.collect::<Result<HashMap<String, String>, Fault>>()?));
    }
    evaluate(code, &Scope { names: &code.names, held, whole })
}

fn too_long(name: &str) -> Fault {
    Fault::new(format!(
        "{name} is longer than {LOOP_CELL_MAX_BYTES} bytes, and the expression loops over what a row holds"
    ))
}

/// The value in a record.
pub(super) fn record(code: &Code, record: &Json) -> Result<Answer<'static>, Fault> {
    let mut held = Vec::with_capacity(code.names.len());
    for name in &code.names {
        let field = record.get(&name.column);
        if let Some(field) = field
            && code.loops
            && weight(field) > LOOP_CELL_MAX_BYTES
        {
            return Err(too_long(&name.column));
        }
        held.push(field.map(|field| Held::Value(from_json(field))));
    }
    if code.uses_row && code.loops && weight(record) > LOOP_CELL_MAX_BYTES {
        return Err(too_long(ROW));
    }
    let whole = code.uses_row.then(|| from_json(record));
    evaluate(code, &Scope { names: &code.names, held, whole })
}

/// About how many bytes a value has.
fn weight(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len() + 2,
        Json::Array(list) => list.iter().map(weight).sum::<usize>() + 2,
        Json::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + weight(value) + 3).sum::<usize>() + 2
        }
        _ => 4,
    }
}

/// Whole numbers are `int` (or `uint`, where they are too large), others `double`.
fn from_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(yes) => Value::Bool(*yes),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(uint)) => Value::UInt(uint),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(list) => Value::List(Arc::new(list.iter().map(from_json).collect())),
        Json::Object(fields) => {
            let map: HashMap<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), from_json(value))).collect();
            Value::from(map)
        }
    }
}

/// What an answer is in this program's words.
pub(super) fn convert(value: &Value) -> Result<Answer<'static>, Fault> {
    Ok(match value {
        Value::Null => Answer::Null,
        Value::Bool(yes) => Answer::Bool(*yes),
        Value::Int(number) => Answer::Int(*number),
        Value::UInt(number) => Answer::UInt(*number),
        Value::Float(number) => Answer::Double(*number),
        Value::String(text) => Answer::Text(Cow::Owned(text.to_string())),
        Value::Timestamp(time) => {
            let nanoseconds = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0);
            let time = jiff::Timestamp::new(time.timestamp(), nanoseconds)
                .map_err(|_| Fault::new("the result is a time out of range"))?;
            Answer::Text(Cow::Owned(time.to_string()))
        }
        Value::Duration(duration) => {
            #[allow(clippy::cast_precision_loss)]
            let seconds = duration.num_milliseconds() as f64 / 1000.0;
            let mut text = Vec::new();
            number::push_double(&mut text, seconds);
            text.push(b's');
            Answer::Text(Cow::Owned(String::from_utf8_lossy(&text).into_owned()))
        }
        Value::List(_) | Value::Map(_) => Answer::Json(to_json(value)?),
        other => return Err(Fault::new(format!("the result is {}", kind(other)))),
    })
}

fn to_json(value: &Value) -> Result<Json, Fault> {
    match value {
        Value::List(list) => list.iter().map(to_json).collect::<Result<Vec<_>, _>>().map(Json::Array),
        Value::Map(map) => {
            // CEL's maps have no order; names in theirs make the same output every time.
            let mut fields: Vec<(String, &Value)> = map
                .map
                .iter()
                .map(|(key, value)| match key {
                    Key::String(text) => Ok((text.to_string(), value)),
                    _ => Err(Fault::new("the result is a map with keys that are not text")),
                })
                .collect::<Result<_, _>>()?;
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            let fields = fields.into_iter().map(|(name, value)| Ok((name, to_json(value)?)));
            fields.collect::<Result<serde_json::Map<_, _>, _>>().map(Json::Object)
        }
        other => convert(other)?.into_json(),
    }
}

/// What a value is, for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Bytes(_) => "bytes",
        Value::String(_) => "text",
        Value::Int(_) | Value::UInt(_) => "an integer",
        Value::Float(_) => "a double",
        Value::Bool(_) => "a boolean",
        Value::Null => "null",
        Value::Timestamp(_) => "a timestamp",
        Value::Duration(_) => "a duration",
        _ => "no plain value",
    }
}

fn reason(error: &ExecutionError, code: &Code) -> String {
    match error {
        ExecutionError::UndeclaredReference(name) if code.names.iter().any(|known| known.ident == **name) => {
            format!("the record has no field {:?}", name.trim_start_matches(super::rewrite::COLUMN))
        }
        other => why(other),
    }
}

/// An evaluation error in the words of this program.
pub(super) fn why(error: &ExecutionError) -> String {
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
        ExecutionError::NoSuchKey(name) => format!("there is no {name:?}"),
        ExecutionError::Overflow(..) => "the number is too large".to_owned(),
        other => other.to_string(),
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
            format!("{} is text: write double(…) around it", super::value::shown(text)),
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

/// `round(x)` and `round(x, digits)`.
fn round(Arguments(arguments): Arguments) -> Result<Value, ExecutionError> {
    let digits = match arguments.get(1) {
        None => 0,
        Some(Value::Int(digits)) => *digits,
        Some(_) => return Err(ExecutionError::function_error("round", "the digits are an integer")),
    };
    let (Some(value), true) = (arguments.first(), arguments.len() <= 2) else {
        return Err(ExecutionError::invalid_argument_count(2, arguments.len()));
    };
    number("round", value).map(|number| Value::Float(number::exact_round(number, digits)))
}
