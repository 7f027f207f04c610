//! What is wrong with a configuration, and how it is shown to a person: the place, the line, a caret, and help.
//!
//! Invariants: all problems are kept, in the order of the file; nothing that came from the environment is in a
//! message, and a password inside an address is hidden in the lines that are shown.

use handover_core::Error;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing has to be done.
    Notice,
    /// Probably not what was meant.
    Warning,
    /// The configuration cannot be used.
    Error,
}

/// A second place that belongs to a problem, such as the first of two equal keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Also {
    /// Its line, counted from 1.
    pub line: usize,
    /// Its column in characters, counted from 1.
    pub column: usize,
    /// What is there.
    pub message: String,
}

/// One thing that is wrong, or worth saying, and its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where in the document: `apps.validator.with.schema`; empty for the whole file.
    pub path: String,
    /// The line, counted from 1; 0 where no line is meant.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// How many characters the caret marks; at least 1 is drawn.
    pub length: usize,
    /// What is wrong, in a clause that starts in lower case.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// A second place.
    pub also: Option<Also>,
}

impl Problem {
    /// An error without a place in the file.
    pub fn whole(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: String::new(),
            line: 0,
            column: 0,
            length: 0,
            message: message.into(),
            hint: None,
            also: None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with another severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The problem as a person reads it; `text` is the source that it was found in.
    pub fn render(&self, name: &str, text: &str) -> String {
        let label = match self.severity {
            Severity::Notice => "notice: ",
            Severity::Warning => "warning: ",
            Severity::Error => "",
        };
        let mut out = match self.line {
            0 => format!("{name}: {label}{}\n", self.message),
            line => format!("{name}:{line}:{}: {label}{}\n", self.column, self.message),
        };
        draw(&mut out, text, self.line, self.column, self.length, "");
        if let Some(also) = &self.also {
            draw(&mut out, text, also.line, also.column, 1, &also.message);
        }
        if let Some(hint) = &self.hint {
            for (index, line) in hint.lines().enumerate() {
                let lead = if index == 0 { "  help: " } else { "        " };
                let _ = writeln!(out, "{lead}{line}");
            }
        }
        out
    }
}

/// Everything that is wrong with a configuration, with the text it was found in.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// All that was found, in the order of the file.
    pub problems: Vec<Problem>,
    name: String,
    text: Arc<str>,
}

impl ConfigError {
    /// These problems, found in `text`, which was read from `name`.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|p| (p.line, p.column));
        problems.dedup();
        Self { problems, name: name.into(), text: text.into() }
    }

    /// A single problem with the whole file.
    pub(crate) fn whole(name: impl Into<String>, problem: Problem) -> Self {
        Self::new(name, "", vec![problem])
    }

    /// All problems as a person reads them: the place, the line, a caret, and help.
    pub fn render(&self) -> String {
        render(&self.problems, &self.name, &self.text)
    }

    /// The name of the file as it is shown.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Problems and notices as a person reads them.
pub fn render(problems: &[Problem], name: &str, text: &str) -> String {
    let mut shown: Vec<String> =
        problems.iter().take(SHOWN_MAX).map(|problem| problem.render(name, text)).collect();
    if let Some(more) = problems.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        shown.push(format!("{name}: and {more} more\n"));
    }
    shown.join("\n")
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render().trim_end())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Error::config(error.to_string())
    }
}

/// So many problems are shown; the rest is counted.
const SHOWN_MAX: usize = 20;
/// So many characters of a line are shown, around the caret.
const LINE_SHOWN_MAX: usize = 120;

/// One line of the source with a caret under it.
fn draw(out: &mut String, text: &str, line: usize, column: usize, length: usize, note: &str) {
    let Some(index) = line.checked_sub(1) else { return };
    let Some(source) = text.lines().nth(index) else {
        // At the end of the file: behind the last line that has something.
        let last = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).last();
        if let Some((index, last)) = last {
            draw(out, text, index + 1, last.trim_end().chars().count() + 1, 1, note);
        }
        return;
    };
    let before: String = source.chars().take(column.saturating_sub(1)).collect();
    // The caret's column is counted in what is shown, where a password may have become shorter.
    let mut column = hide_password(&before).chars().count();
    let shown: Vec<char> = hide_password(source).chars().map(visible).collect();
    column = column.min(shown.len());
    let start = if column + 20 > LINE_SHOWN_MAX { column - LINE_SHOWN_MAX / 2 } else { 0 };
    let end = (start + LINE_SHOWN_MAX).min(shown.len());
    let lead = if start > 0 { "…" } else { "" };
    let tail = if end < shown.len() { "…" } else { "" };
    let part: String = shown[start..end].iter().collect();
    let gutter = " ".repeat(line.to_string().len().max(4));
    let _ = writeln!(out, "{line:>4} | {lead}{}{tail}", part.trim_end());
    let carets = "^".repeat(length.clamp(1, end.saturating_sub(column).max(1)));
    let blank = " ".repeat(lead.chars().count() + column - start);
    let note = if note.is_empty() { String::new() } else { format!(" {note}") };
    let _ = writeln!(out, "{gutter} | {blank}{carets}{note}");
}

/// A tab is shown as an arrow, any other control character as a mark: one column each.
fn visible(c: char) -> char {
    match c {
        '\t' => '→',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// `scheme://user:password@host` with `***` for the password. Of a web address it ends where the host ends, of others where a blank,
/// a quote or a comma ends the address. Of a ledger's nobody knows which characters a password has that is not written as it should
/// be, so it ends at the last `@` before the next address, or at the last of all.
pub(crate) fn hide_password(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let is_of = |schemes: [&str; 2]| schemes.iter().any(|scheme| head.ends_with(scheme));
        let ends_at = |marks: &'static str| tail.find(move |c: char| c.is_whitespace() || marks.contains(c));
        let ledger = is_of(["postgres://", "postgresql://"]);
        let address = match ledger {
            true => tail.find("://"),
            false if is_of(["http://", "https://"]) => ends_at("/\"',"),
            false => ends_at("\"',"),
        };
        let end = tail[..address.unwrap_or(tail.len())].rfind('@');
        let end = if ledger { end.or_else(|| tail.rfind('@')) } else { end };
        let login = end.and_then(|end| tail[..end].find(':').map(|from| (from, end)));
        rest = match login {
            Some((from, end)) => {
                out.push_str(&tail[..from]);
                out.push_str(":***");
                &tail[end..]
            }
            None => tail,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_not_shown_and_the_rest_is() {
        for (line, shown) in [
            ("ledger: postgres://u:s3cr@t@db/x", "ledger: postgres://u:***@db/x"),
            ("url: http://127.0.0.1:9000/a@b", "url: http://127.0.0.1:9000/a@b"),
            ("a://x:1@y b://z:2@w", "a://x:***@y b://z:***@w"),
            ("plain", "plain"),
            ("ledger: postgres://u:12/s3cr@t@db/x", "ledger: postgres://u:***@db/x"),
            ("ledger: 'postgres://u:a b\"c,d@db/x' # mine", "ledger: 'postgres://u:***@db/x' # mine"),
            ("ledger: postgres://u:a://s3cret@db/x", "ledger: postgres://u:***@db/x"),
            ("ledger: postgres://db:5432/x", "ledger: postgres://db:5432/x"),
            ("to: https://h:1/a, mail: a@b", "to: https://h:1/a, mail: a@b"),
            ("to: https://u:s3cr@t@h:1/a", "to: https://u:***@h:1/a"),
            ("{ smtp: 'smtp://m', from: a@b, to: c@d }", "{ smtp: 'smtp://m', from: a@b, to: c@d }"),
            ("{ smtp: 'smtps://u:s3/cr@m', to: c@d }", "{ smtp: 'smtps://u:***@m', to: c@d }"),
        ] {
            assert_eq!(hide_password(line), shown);
        }
    }

    #[test]
    fn an_error_at_the_end_of_the_file_shows_its_last_line() {
        let mut problem = Problem::whole("a `}` is missing");
        (problem.line, problem.column, problem.length) = (3, 1, 1);
        let shown = problem.render("f", "{ \"a\": {\n  \"b\": 1 }\n");
        assert!(shown.contains("   2 |   \"b\": 1 }\n     |           ^"), "{shown}");
        assert_eq!(problem.render("f", "").lines().count(), 1);
    }

    #[test]
    fn the_caret_stands_under_its_word_even_in_a_very_long_line() {
        let text = format!("{}oops{}", "x".repeat(3000), "y".repeat(3000));
        let mut problem = Problem::whole("bad");
        (problem.line, problem.column, problem.length) = (1, 3001, 4);
        let shown = problem.render("f", &text);
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        let word: String = lines[1].chars().skip(caret).take(4).collect();
        assert_eq!((word.as_str(), lines[1].chars().count() < 140), ("oops", true), "{shown}");
    }
}
