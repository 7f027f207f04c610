//! How the fields of a job's configuration become words of a command line.
//!
//! Invariant: a value is one word, or part of one; nothing in it is read as a flag of ours, a placeholder or code.

use super::job::{Argument, How};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::ffi::OsString;

/// The words that a value is: none for null and false, one for each item of a list, else one.
pub(crate) fn words_of(value: &Value) -> Vec<Cow<'_, str>> {
    match value {
        Value::Null | Value::Bool(false) => Vec::new(),
        Value::Array(items) => items.iter().filter(|item| !item.is_null()).map(text_of).collect(),
        one => vec![text_of(one)],
    }
}

/// A value as a text: a text as it is, everything else as JSON.
pub(super) fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// The words of all fields that have a flag, in the order in which they are declared.
pub(super) fn flags(arguments: &[Argument], fields: &Map<String, Value>) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    for Argument { field, how } in arguments {
        let Some(value) = fields.get(field) else { continue };
        match how {
            How::Flag(flag) if *value == Value::Bool(true) => words.push(flag.into()),
            How::Flag(flag) => {
                for word in words_of(value) {
                    words.push(flag.into());
                    words.push(word.into_owned().into());
                }
            }
            How::Joined(flag) => {
                words.extend(words_of(value).into_iter().map(|word| format!("{flag}{word}").into()))
            }
            How::Fill(_) => {}
        }
    }
    words
}

/// What is filled in for a field: nothing where it is missing or null.
pub(super) fn filled(field: &str, fields: &Map<String, Value>) -> OsString {
    match fields.get(field) {
        None | Some(Value::Null) => OsString::new(),
        Some(value) => text_of(value).into_owned().into(),
    }
}
