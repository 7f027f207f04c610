//! From a node to a typed value, with serde as the only judge of what is known and what has which type.
//!
//! All unknown keys of a part are found, not only the first: each is reported, taken out, and the rest is tried
//! again. serde's messages are turned into words for people.

use super::report::{Report, did_you_mean};
use super::yaml::{Body, Node, resolve};
use handover_core::suggest::nearest;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// So many problems of one part are collected.
const ROUNDS_MAX: usize = 50;

/// Decodes the value at `path`; what is wrong goes to the report. Unknown keys alone do not prevent a value.
pub(crate) fn decode<T: DeserializeOwned>(report: &mut Report<'_>, path: &[&str]) -> Option<T> {
    attempt(report, path).filter(|(_, whole)| *whole).map(|(decoded, _)| decoded)
}

/// The same, but values of a wrong type do not prevent a value either where they may be missing.
pub(crate) fn decode_what_is_right<T: DeserializeOwned>(report: &mut Report<'_>, path: &[&str]) -> Option<T> {
    attempt(report, path).map(|(decoded, _)| decoded)
}

/// The value, and whether only unknown keys had to be taken out of it.
fn attempt<T: DeserializeOwned>(report: &mut Report<'_>, path: &[&str]) -> Option<(T, bool)> {
    // A part that is missing or empty is one without keys: what it needs is said.
    let given = report.document.node(path).map(Node::to_value).filter(|value| !value.is_null());
    let mut value = given.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    if !value.is_object() {
        // serde would take a list for a struct, by position.
        report.value(path, format!("`{}` must be a mapping of keys to values", super::report::dotted(path)));
        return None;
    }
    let mut whole = true;
    let mut meant: Vec<String> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(decoded) => return Some((decoded, whole)),
            Err(error) => error,
        };
        let inner: Vec<String> = error.path().iter().filter_map(segment).collect();
        let full: Vec<&str> = path.iter().copied().chain(inner.iter().map(String::as_str)).collect();
        let message = error.inner().to_string();
        if let Some((word, known)) = unknown(&message, "unknown field ") {
            unknown_key(report, &full, &word, &known);
            meant.extend(nearest(&word, known.iter().map(String::as_str)).map(str::to_owned));
            let parents = if inner.last() == Some(&word) { &inner[..inner.len() - 1] } else { &inner[..] };
            if !take_out(&mut value, parents, &word) {
                return None;
            }
            continue;
        }
        if resolved_again(report, &full, &mut value, &inner) {
            continue;
        }
        let missing = message.starts_with("missing field");
        if missing && (!whole || meant.iter().any(|word| message.contains(&format!("`{word}`")))) {
            // It is missing because it was wrong, or misspelt, and has been taken out.
            return None;
        }
        explain(report, &full, &message);
        whole = false;
        match inner.split_last() {
            Some((last, parents)) if !missing && take_out(&mut value, parents, last) => {}
            _ => return None,
        }
    }
    None
}

fn take_out(value: &mut Value, parents: &[String], key: &str) -> bool {
    match at_mut(value, parents) {
        Some(Value::Object(map)) => map.shift_remove(key).is_some(),
        _ => false,
    }
}

fn segment(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn at_mut<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, segment| match value {
        Value::Object(map) => map.get_mut(segment),
        Value::Array(items) => segment.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
        _ => None,
    })
}

/// `workers: ${N}`: the text of a variable may be meant as a number or as true or false.
fn resolved_again(report: &Report<'_>, full: &[&str], value: &mut Value, inner: &[String]) -> bool {
    let filled_in = report
        .document
        .node(full)
        .is_some_and(|node| matches!(node.body, Body::Scalar { environment: true, .. }));
    let Some(place) = at_mut(value, inner).filter(|_| filled_in) else { return false };
    let Value::String(text) = &*place else { return false };
    let resolved = resolve(text);
    let differs = !resolved.is_string();
    *place = resolved;
    differs
}

fn unknown_key(report: &mut Report<'_>, full: &[&str], word: &str, known: &[String]) {
    let mut full = full.to_vec();
    if full.last() != Some(&word) {
        full.push(word);
    }
    let owner = super::report::dotted(&full[..full.len() - 1]);
    let place = if owner.is_empty() { String::new() } else { format!(" in `{owner}`") };
    let hint = did_you_mean(word, known.iter().map(String::as_str));
    report.key(&full, format!("unknown key `{word}`{place}")).maybe_help(hint);
}

/// The word and the known ones of "unknown field `x`, expected one of `a`, `b`".
fn unknown(message: &str, lead: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix(lead)?.strip_prefix('`')?;
    let (word, rest) = rest.split_once("`, ").or_else(|| rest.rsplit_once('`'))?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((word.to_owned(), known))
}

fn explain(report: &mut Report<'_>, full: &[&str], message: &str) {
    let name = super::report::dotted(full);
    let subject = if name.is_empty() { "the file".to_owned() } else { format!("`{name}`") };
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        report.key(full, format!("{subject} needs the key `{field}`"));
        return;
    }
    if let Some((word, known)) = unknown(message, "unknown variant ") {
        let hint = did_you_mean(&word, known.iter().map(String::as_str));
        report.value(full, format!("{subject} cannot be `{word}`")).maybe_help(hint);
        return;
    }
    if message.contains("untagged enum OneOrMany") {
        report.value(full, format!("{subject} must be a text, or a list of texts"));
        return;
    }
    let mismatch = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "));
    let Some((found, expected)) = mismatch else {
        let hint = if message.contains("not a duration") {
            Some("write a number and a unit, such as 250ms, 30s, 5m, 1h 30m or 7d")
        } else if message.contains("not a size") {
            Some("write a number and a unit, such as 500 MB, 1GiB or 64 KiB")
        } else {
            None
        };
        report.value(full, format!("{subject}: {message}")).maybe_help(hint);
        return;
    };
    let hint = match (full.last(), found) {
        (Some(&"run"), "sequence") => {
            Some("write the words in one text: `run: python3 script.py`".to_owned())
        }
        _ => mismatch_hint(found, expected),
    };
    report
        .value(full, format!("{subject} must be {}, not {}", expected_words(expected), found_words(found)))
        .maybe_help(hint);
}

fn expected_words(expected: &str) -> String {
    let words = match expected {
        "a string" | "string" | "a borrowed string" => "text",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "a mapping of keys to values",
        other if other.starts_with("struct ") => "a mapping of keys to values",
        other => other,
    };
    words.to_owned()
}

fn found_words(found: &str) -> String {
    let word = |lead: &str| found.strip_prefix(lead).map(|rest| rest.trim_matches('`').to_owned());
    if let Some(text) = word("string ") {
        format!("the text {text}")
    } else if let Some(number) = word("integer ").or_else(|| word("floating point ")) {
        format!("the number {number}")
    } else if let Some(value) = word("boolean ") {
        value
    } else {
        match found {
            "null" | "unit value" | "Option value" => "empty".to_owned(),
            "map" => "a mapping".to_owned(),
            "sequence" => "a list".to_owned(),
            other => other.to_owned(),
        }
    }
}

fn mismatch_hint(found: &str, expected: &str) -> Option<String> {
    let text = found.strip_prefix("string ").map(|text| text.trim_matches('"'));
    let wants_text = ["a string", "string", "a borrowed string"].contains(&expected);
    match (expected, text) {
        ("a boolean", Some(text)) => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" => Some("write `true`".to_owned()),
            "no" | "off" | "n" => Some("write `false`".to_owned()),
            _ => None,
        },
        _ if wants_text => {
            let value = found.split('`').nth(1)?;
            Some(format!("put it in quotes to make it text: \"{value}\""))
        }
        ("u8" | "u16" | "u32" | "u64" | "usize" | "f64", Some(text)) if text.parse::<f64>().is_ok() => {
            Some(format!("write it without quotes: {text}"))
        }
        ("f32" | "f64", Some(text)) => {
            let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
            Some(format!("write it as a fraction: {}", percent / 100.0))
        }
        _ => None,
    }
}
