//! What the YAML parser says, in words for people who do not know YAML's grammar.

use super::error::Problem;
use super::yaml::{Place, problem};
use saphyr_parser::ScanError;

/// The parser's error in words that help; a tab in the indentation is the usual culprit and is named.
pub(super) fn explain(error: &ScanError, text: &str) -> Problem {
    let at = Place::at(error.marker());
    let tab = text.lines().enumerate().take(at.line + 1).skip(at.line.saturating_sub(3)).find_map(
        |(index, line)| {
            let lead = line.len() - line.trim_start_matches([' ', '\t']).len();
            let column = line[..lead].find('\t')?;
            (!line.trim().is_empty()).then_some((index + 1, column + 1, lead - column))
        },
    );
    if let Some((line, column, length)) = tab {
        let at = Place { line, column, length, end_line: line };
        return problem(at, "a tab stands in the indentation")
            .hint("YAML is indented with spaces only: replace the tab");
    }
    let before = text.lines().nth(at.line.saturating_sub(1)).map(|line| line.chars().take(at.column));
    if before.is_some_and(|before| before.collect::<String>().ends_with("${")) {
        let at = Place { column: at.column.saturating_sub(1), length: 2, ..at };
        return problem(at, "`${NAME}` between braces or brackets must be in quotes")
            .hint("write \"${NAME}\"");
    }
    let (message, hint) = in_plain_words(error.info());
    let mut problem = problem(at, message);
    problem.hint = hint.map(str::to_owned);
    problem
}

/// The parser's words and ours, with what helps; the first that fits.
const IN_PLAIN_WORDS: [(&str, &str, &str); 12] = [
    ("recursion limit", "this is too many levels deep", "no configuration needs so many"),
    (
        "mapping values are not allowed",
        "a `:` where none can be",
        "a text that holds `: ` goes in quotes; or the line before lacks its `:`",
    ),
    ("simple key", "a `:` is missing after this key", "write `key: value`, with a space after the colon"),
    (
        "unknown anchor",
        "this alias names no anchor before it",
        "a text that begins with `*` goes in quotes: \"*.csv\"",
    ),
    ("unexpected end of stream", "this quote is not closed", "close it with the same mark"),
    (
        "escape",
        "this backslash begins no escape that there is",
        "write \\\\ for a backslash, or use single quotes",
    ),
    ("flow construct", "a `{` or `[` before this is not closed", "close it, or indent what belongs into it"),
    (
        "',' or '}'",
        "a `,` or a `}` is missing before this",
        "close the braces, or put a comma between the keys",
    ),
    (
        "',' or ']'",
        "a `,` or a `]` is missing before this",
        "close the bracket, or put a comma between the items",
    ),
    ("misplaced bracket", "a bracket too many", "remove it, or open it earlier"),
    (
        "did not find expected key",
        "this line does not line up with those above",
        "keys of one mapping begin in the same column",
    ),
    (
        "did not find expected '-' indicator",
        "this line does not line up with those above",
        "items of one list begin with `-` in the same column",
    ),
];

fn in_plain_words(info: &str) -> (String, Option<&'static str>) {
    match IN_PLAIN_WORDS.iter().find(|(theirs, ..)| info.contains(theirs)) {
        Some((_, ours, hint)) => ((*ours).to_owned(), Some(hint)),
        None => (format!("this is not YAML: {info}"), None),
    }
}
