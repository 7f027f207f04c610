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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(fields: Value) -> Vec<String> {
        let argument = |field: &str, how| Argument { field: field.to_owned(), how };
        let arguments = [
            argument("a", How::Flag("--a".into())),
            argument("b", How::Joined("--b=".into())),
            argument("c", How::Fill("c".into())),
        ];
        let Value::Object(fields) = fields else { panic!() };
        flags(&arguments, &fields).into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn each_sort_of_value_has_its_words() {
        assert_eq!(words(json!({})), [""; 0]);
        assert_eq!(words(json!({ "a": null, "b": null, "c": "x" })), [""; 0]);
        assert_eq!(words(json!({ "a": true, "b": true })), ["--a", "--b=true"]);
        assert_eq!(words(json!({ "a": false, "b": false })), [""; 0]);
        assert_eq!(words(json!({ "b": 1.5, "a": "--x y" })), ["--a", "--x y", "--b=1.5"]);
        assert_eq!(words(json!({ "a": ["p", 2, null], "b": [] })), ["--a", "p", "--a", "2"]);
        assert_eq!(
            words(json!({ "b": ["p", "q"], "a": { "k": 1 } })),
            ["--a", "{\"k\":1}", "--b=p", "--b=q"]
        );
    }

    #[test]
    fn what_is_filled_in_is_empty_where_there_is_nothing() {
        let Value::Object(fields) = json!({ "a": null, "b": false, "c": "x", "d": [1] }) else { panic!() };
        let filled = |field| filled(field, &fields).into_string().unwrap();
        assert_eq!(
            [filled("a"), filled("z"), filled("b"), filled("c"), filled("d")],
            ["", "", "false", "x", "[1]"]
        );
    }
}
