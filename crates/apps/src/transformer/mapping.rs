//! Reading a mapping file: YAML (core schema), and so JSON too.
//!
//! Invariants: a key stands once in a map; depth and the number of values, aliases among them, have limits. Only reading
//! is done, so a crash leaves nothing.

use handover_core::limits::CONFIG_MAX_BYTES;
use handover_core::{Error, Result, path_text};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Number, Value};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

const DEPTH_MAX: usize = 20;

/// The mapping of a file: a map.
///
/// # Errors
/// Where it cannot be read; [`handover_core::ErrorKind::Config`] with the line for what is no mapping.
pub(super) fn read(path: &Path) -> Result<Map<String, Value>> {
    let on = path_text::to_text(path);
    let failed = |error| Error::io("read the mapping", &on, error);
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(CONFIG_MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > CONFIG_MAX_BYTES {
        return Err(Error::config(format!("the mapping has more than {CONFIG_MAX_BYTES} bytes")).on(on));
    }
    match parse(text.strip_prefix('\u{feff}').unwrap_or(&text)) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Error::config("a mapping is keys with values").on(on)),
        Err(why) => Err(Error::config(format!("the mapping cannot be read: {why}")).on(on)),
    }
}

fn parse(text: &str) -> Result<Value, String> {
    if text.starts_with('{') {
        return handover_records::json::parse(text.as_bytes()).map_err(|problem| problem.to_string());
    }
    let mut parser = Parser::new_from_str(text);
    let mut found = None;
    loop {
        match next(&mut parser)? {
            (Event::StreamEnd, _) => return Ok(found.unwrap_or_default()),
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            (_, line) if found.is_some() => {
                return Err(format!("line {line}: a second document begins here"));
            }
            (event, line) => found = Some(value(&mut parser, event, line, 0)?),
        }
    }
}

type Yaml<'a> = Parser<'a, StrInput<'a>>;

fn next<'a>(parser: &mut Yaml<'a>) -> Result<(Event<'a>, usize), String> {
    match parser.next() {
        Some(Ok((event, span))) => Ok((event, span.start.line())),
        Some(Err(error)) => Err(format!("line {}: {}", error.marker().line(), error.info())),
        None => Ok((Event::StreamEnd, 0)),
    }
}

fn value<'a>(parser: &mut Yaml<'a>, event: Event<'a>, line: usize, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err(format!("line {line}: more than {DEPTH_MAX} levels deep"));
    }
    match event {
        Event::Scalar(text, style, _, tag) => Ok(match tag {
            None if style == ScalarStyle::Plain => plain(&text),
            _ => Value::String(text.into_owned()),
        }),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match next(parser)? {
                    (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                    (event, line) => items.push(value(parser, event, line, depth + 1)?),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            loop {
                let (key, line) = match next(parser)? {
                    (Event::MappingEnd, _) => return Ok(Value::Object(map)),
                    (Event::Scalar(key, ..), line) => (key.into_owned(), line),
                    (_, line) => return Err(format!("line {line}: a key has to be a text")),
                };
                let (event, at) = next(parser)?;
                let value = value(parser, event, at, depth + 1)?;
                if map.contains_key(&key) {
                    return Err(format!("line {line}: {key:?} is given twice"));
                }
                map.insert(key, value);
            }
        }
        Event::Alias(_) => Err(format!("line {line}: an alias (*name) cannot be used in a mapping")),
        _ => Err(format!("line {line}: a value is missing")),
    }
}

/// A plain scalar by the core schema of YAML 1.2 (10.3.2); numbers that JSON does not write so stay texts.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => serde_json::from_str::<Number>(text)
            .map_or_else(|_| Value::String(text.to_owned()), Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = "rename:\n  a: b # why\ncast: { n: integer, no: \"string\" }\nselect: [b, 'n']\ndefaults:\n  x: 1.5\n  y: 007\n  z: true\n";
        let expected = json!({
            "rename": { "a": "b" }, "cast": { "n": "integer", "no": "string" }, "select": ["b", "n"],
            "defaults": { "x": 1.5, "y": "007", "z": true }
        });
        assert_eq!(parse(yaml).unwrap(), expected);
        assert_eq!(parse(&expected.to_string()).unwrap(), expected);
        assert_eq!(parse("# nothing\n").unwrap(), Value::Null);
    }

    #[test]
    fn what_is_no_mapping_says_the_line() {
        let deep = "[".repeat(50) + &"]".repeat(50);
        for (text, why) in [
            ("a: 1\na: 2\n", "line 2: \"a\" is given twice"),
            ("{\"a\":1,\"a\":2}", "comes twice"),
            ("a: [1\n", "line"),
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a: &x 1\nb: *x\n", "alias"),
            ("? [a]\n: 1\n", "has to be a text"),
            (&deep, "levels deep"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nowhere/mapping.yaml")).unwrap_err().to_string();
        assert!(error.contains("mapping.yaml"), "{error}");
    }
}
