//! The report as a person reads it. There is no I/O.

use serde_json::{Map, Value};
use std::fmt::Write as _;

/// The report of a validation as text: what came of it, the counts, and the first examples. It takes the report's JSON,
/// so that a report that was published can be shown too.
pub fn report_text(report: &Value) -> String {
    let mut text = String::new();
    summary(&mut text, report);
    if let Some(kinds) = members(report, "by_kind") {
        text.push_str("\nerrors by kind\n");
        rows(&mut text, kinds.iter().map(|(kind, count)| (kind.clone(), count.to_string())));
    }
    if let Some(fields) = members(report, "by_field") {
        text.push_str("\nerrors by field\n");
        rows(&mut text, fields.iter().map(|(field, kinds)| (field.clone(), of_field(kinds))));
    }
    if let Some(rules) = members(report, "by_rule") {
        text.push_str("\nrules\n");
        rows(&mut text, rules.iter().map(|(rule, counts)| (rule.clone(), of_rule(counts))));
    }
    if let Some(whole) = members(report, "table") {
        text.push_str("\ntable\n");
        rows(&mut text, whole.iter().map(|(check, value)| (check.clone(), plain(value))));
    }
    for (key, title) in [("examples", "first errors"), ("warning_examples", "first warnings")] {
        let Some(list) = report.get(key).and_then(Value::as_array).filter(|list| !list.is_empty()) else {
            continue;
        };
        let _ = writeln!(text, "\n{title}");
        rows(&mut text, list.iter().map(example));
    }
    text
}

fn summary(text: &mut String, report: &Value) {
    let number = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (total, valid, invalid) = (number("total"), number("valid"), number("invalid"));
    let rate = report.get("error_rate").and_then(Value::as_f64).unwrap_or(0.0);
    let _ = writeln!(text, "{total} rows, {valid} valid, {invalid} invalid ({})", super::percent(rate));
    if number("warnings") > 0 {
        let _ = writeln!(text, "{} warnings", number("warnings"));
    }
    if let Some(schema) = report.get("schema").and_then(Value::as_str) {
        let _ = writeln!(text, "schema {schema}");
    }
    match report.get("refused") {
        Some(Value::String(why)) => {
            let _ = writeln!(text, "REFUSED: {why}");
        }
        _ if invalid == 0 => text.push_str("everything is valid\n"),
        _ => {}
    }
}

fn members<'a>(report: &'a Value, key: &str) -> Option<&'a Map<String, Value>> {
    report.get(key).and_then(Value::as_object).filter(|map| !map.is_empty())
}

fn of_field(kinds: &Value) -> String {
    let kinds = kinds.as_object().into_iter().flatten();
    kinds.map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

fn of_rule(counts: &Value) -> String {
    let part = |key: &str| counts.get(key).map(plain).unwrap_or_default();
    format!("{} {}", part("severity"), part("count"))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn example(example: &Value) -> (String, String) {
    let part = |key: &str| example.get(key).filter(|value| !value.is_null()).map(plain);
    let said = [part("field"), part("rule"), part("code"), part("message")];
    let said: Vec<String> = said.into_iter().flatten().collect();
    (format!("row {}", part("row").unwrap_or_default()), said.join(": "))
}

/// Lines of two columns.
fn rows(text: &mut String, lines: impl Iterator<Item = (String, String)>) {
    let lines: Vec<(String, String)> = lines.collect();
    let width = lines.iter().map(|(first, _)| first.chars().count()).max().unwrap_or(0).min(40);
    for (first, second) in lines {
        let _ = writeln!(text, "  {first:width$}  {second}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_read_from_top_to_bottom() {
        let text = report_text(&json!({
            "schema": "s.json", "total": 4, "valid": 2, "invalid": 2, "error_rate": 0.5, "refused": false, "warnings": 1,
            "by_field": { "id": { "type-error": 1, "constraint-error": 1 } }, "by_kind": { "type-error": 1, "constraint-error": 1 },
            "by_rule": { "late": { "severity": "warning", "count": 1 } },
            "examples": [{ "row": 3, "field": "id", "code": "type-error", "value": "x", "message": "no" },
                { "row": 4, "field": null, "code": "blank-row", "value": "", "message": "the row is blank" }],
            "warning_examples": [{ "row": 2, "rule": "late", "message": "m" }]
        }));
        assert_eq!(
            text,
            "4 rows, 2 valid, 2 invalid (50%)\n1 warnings\nschema s.json\n\nerrors by kind\n  type-error        1\n  \
             constraint-error  1\n\nerrors by field\n  id  type-error 1, constraint-error 1\n\nrules\n  late  warning 1\n\n\
             first errors\n  row 3  id: type-error: no\n  row 4  blank-row: the row is blank\n\nfirst warnings\n  row 2  late: m\n"
        );
        assert!(
            report_text(&json!({ "refused": "the file is empty" })).contains("REFUSED: the file is empty")
        );
        assert!(report_text(&json!(null)).contains("everything is valid"));
    }
}
