//! `${NAME}` in a value is replaced by the environment variable; `$${` stands for `${` itself.
//!
//! Invariants: `run:` is left alone (its `${…}` belongs to the program); an unset variable is an error, never an
//! empty text; what came from the environment is remembered, so that no message shows it.

use super::report::{Document, Report, did_you_mean};
use super::yaml::{Body, Node};
use serde_json::Value;
use std::ffi::OsString;

/// Where variables come from: [`std::env::var_os`], or a test's own.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What is wrong with one `${…}`.
struct Fault {
    message: String,
    hint: String,
}

/// Fills in all values of the document.
///
/// Returns the problems' places and texts through `report_problems`, after all variables were looked up.
pub(crate) fn fill(document: &mut Document, lookup: Lookup<'_>) -> Vec<super::error::Problem> {
    let mut faults = Vec::new();
    let mut secrets = Vec::new();
    let mut root = document.root.clone();
    walk(&mut root, &mut Vec::new(), &mut |node, path| {
        fill_one(node, path, lookup, &mut secrets, &mut faults)
    });
    document.root = root;
    document.secrets = secrets;
    let mut report = Report::new(document);
    for (path, fault) in faults {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        report.value(&path, fault.message).help(fault.hint);
    }
    report.problems
}

fn walk(node: &mut Node, path: &mut Vec<String>, visit: &mut impl FnMut(&mut Node, &[String])) {
    match &mut node.body {
        Body::Scalar { .. } => visit(node, path),
        Body::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                walk(item, path, visit);
                path.pop();
            }
        }
        Body::Map(entries) => {
            for (key, node) in entries {
                path.push(key.clone());
                walk(node, path, visit);
                path.pop();
            }
        }
    }
}

fn fill_one(
    node: &mut Node,
    path: &[String],
    lookup: Lookup<'_>,
    secrets: &mut Vec<(String, String)>,
    faults: &mut Vec<(Vec<String>, Fault)>,
) {
    let a_program = matches!(path, [apps, _, run] if apps == "apps" && run == "run");
    let Body::Scalar { value: Value::String(text), environment, .. } = &mut node.body else { return };
    if a_program || !text.contains("${") {
        return;
    }
    let before = secrets.len();
    match replaced(text, lookup, secrets) {
        Ok(filled) => {
            *text = filled;
            *environment = secrets.len() > before;
        }
        Err(fault) => faults.push((path.to_vec(), fault)),
    }
}

fn replaced(text: &str, lookup: Lookup<'_>, secrets: &mut Vec<(String, String)>) -> Result<String, Fault> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at]);
            out.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = inner.find('}').ok_or_else(|| fault("`${` has no `}` after it"))?;
        let name = &inner[..end];
        if !is_name(name) {
            return Err(fault(&format!("`${{{name}}}` is no environment variable's name")));
        }
        let value = variable(name, lookup)?;
        out.push_str(&value);
        secrets.push((value, name.to_owned()));
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn variable(name: &str, lookup: Lookup<'_>) -> Result<String, Fault> {
    let Some(value) = lookup(name) else {
        let near = std::env::vars_os().filter_map(|(key, _)| key.into_string().ok()).collect::<Vec<_>>();
        let near = did_you_mean(name, near.iter().map(String::as_str)).filter(|text| text.starts_with("did"));
        let hint = near.unwrap_or_else(|| format!("set it before handover starts: export {name}=…"));
        return Err(Fault { message: format!("the environment variable `{name}` is not set"), hint });
    };
    value.into_string().map_err(|_| Fault {
        message: format!("the environment variable `{name}` is not UTF-8 text"),
        hint: "set it to plain text".to_owned(),
    })
}

fn fault(message: &str) -> Fault {
    Fault {
        message: message.to_owned(),
        hint: "write `${NAME}` for a variable, or `$${` for the two characters `${`".to_owned(),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, String> {
        let lookup = |name: &str| (name == "A").then(|| OsString::from("x${A}"));
        replaced(text, &lookup, &mut Vec::new()).map_err(|fault| fault.message)
    }

    #[test]
    fn a_variable_is_filled_in_once_and_an_escape_is_left() {
        assert_eq!(run("a ${A} b").as_deref(), Ok("a x${A} b"));
        assert_eq!(run("$${A} $A {A} $").as_deref(), Ok("${A} $A {A} $"));
        assert!(run("${B}").unwrap_err().contains("`B` is not set"));
        assert!(run("${A").unwrap_err().contains("no `}`"));
        assert!(run("${A:-x}").unwrap_err().contains("no environment variable's name"));
    }
}
