//! Where problems are collected: each is given its place in the file, and values of the environment are masked.
//!
//! Invariant: no message, hint or path that leaves here holds a value that came from the environment.

use super::error::{Problem, Severity};
use super::yaml::{Body, Node, Place};

/// What was read, and where everything in it stands.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) root: Node,
    pub(crate) text: String,
    /// Values that came from the environment, each with the variable's name.
    pub(crate) secrets: Vec<(String, String)>,
}

/// Values of this length and more are masked wherever they turn up; shorter ones where they were used.
const MASKED_ANYWHERE_MIN: usize = 6;

impl Document {
    /// The node at this path, or the nearest one above it, and whether it is the node itself.
    fn find(&self, path: &[&str]) -> (&Node, bool) {
        let mut node = &self.root;
        for segment in path {
            match node.child(segment) {
                Some(child) => node = child,
                None => return (node, false),
            }
        }
        (node, true)
    }

    /// The node at exactly this path.
    pub(crate) fn node(&self, path: &[&str]) -> Option<&Node> {
        Some(self.find(path)).filter(|(_, found)| *found).map(|(node, _)| node)
    }

    /// The place of the value at this path, or of the key above it.
    fn value_place(&self, path: &[&str]) -> Place {
        let (node, found) = self.find(path);
        match node.body {
            Body::Scalar { .. } | Body::List(_) if found => node.at,
            _ => node.key_at.unwrap_or(node.at),
        }
    }

    /// The place of the key at this path.
    fn key_place(&self, path: &[&str]) -> Place {
        let (node, _) = self.find(path);
        node.key_at.unwrap_or(node.at)
    }

    /// The place of a word inside the value at this path: its `nth` occurrence (from 0) as a word of
    /// its own, or the last one; the value itself where there is none.
    fn word_place(&self, path: &[&str], word: &str, nth: usize) -> Place {
        let at = self.find(path).0.at;
        let wanted: Vec<char> = word.chars().collect();
        let lines = self.text.lines().enumerate().skip(at.line.saturating_sub(1));
        let mut left = nth;
        let mut last = at;
        for (index, line) in lines.take((at.end_line + 1).saturating_sub(at.line)) {
            let chars: Vec<char> = line.chars().collect();
            let from = if index + 1 == at.line { at.column - 1 } else { 0 };
            for start in from..(chars.len() + 1).saturating_sub(wanted.len()) {
                let inside =
                    |i: usize| chars.get(i).is_some_and(|c| c.is_alphanumeric() || *c == '-' || *c == '_');
                let alone = !inside(start + wanted.len()) && (start == 0 || !inside(start - 1));
                if alone && !wanted.is_empty() && chars[start..start + wanted.len()] == wanted[..] {
                    last = Place {
                        line: index + 1,
                        column: start + 1,
                        length: wanted.len(),
                        end_line: index + 1,
                    };
                    if left == 0 {
                        return last;
                    }
                    left -= 1;
                }
            }
        }
        last
    }
}

/// Collects what is wrong.
pub(crate) struct Report<'a> {
    pub(crate) document: &'a Document,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(document: &'a Document) -> Self {
        Self { document, problems: Vec::new() }
    }

    fn push(&mut self, place: Place, path: &[&str], message: String) -> Entry<'_> {
        let used_here = self.document.node(path).is_some_and(uses_environment);
        let mut problem = Problem::whole(mask(&self.document.secrets, message, used_here));
        problem.path = dotted(path);
        (problem.line, problem.column, problem.length) = (place.line, place.column, place.length);
        self.problems.push(problem);
        let last = self.problems.len() - 1;
        Entry { secrets: &self.document.secrets, problem: &mut self.problems[last], used_here }
    }

    /// An error at the value of this path.
    pub(crate) fn value(&mut self, path: &[&str], message: impl Into<String>) -> Entry<'_> {
        self.push(self.document.value_place(path), path, message.into())
    }

    /// An error at the key of this path.
    pub(crate) fn key(&mut self, path: &[&str], message: impl Into<String>) -> Entry<'_> {
        self.push(self.document.key_place(path), path, message.into())
    }

    /// An error at a word inside the value of this path.
    pub(crate) fn word(
        &mut self,
        path: &[&str],
        word: &str,
        nth: usize,
        message: impl Into<String>,
    ) -> Entry<'_> {
        self.push(self.document.word_place(path, word, nth), path, message.into())
    }

    /// Whether anything so far forbids using the configuration.
    pub(crate) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// A problem just added, to be completed.
pub(crate) struct Entry<'r> {
    secrets: &'r [(String, String)],
    problem: &'r mut Problem,
    used_here: bool,
}

impl Entry<'_> {
    /// Says what to do.
    pub(crate) fn help(self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(mask(self.secrets, hint.into(), self.used_here));
        self
    }

    /// Says what to do, if there is something.
    pub(crate) fn maybe_help(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.help(hint),
            None => self,
        }
    }

    /// Makes it a warning.
    pub(crate) fn warning(self) -> Self {
        self.problem.severity = Severity::Warning;
        self
    }

    /// Makes it a notice.
    pub(crate) fn notice(self) -> Self {
        self.problem.severity = Severity::Notice;
        self
    }
}

/// "did you mean `x`?", or else all the words there are.
pub(crate) fn did_you_mean<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(word) = handover_core::suggest::nearest(given, known.iter().copied()) {
        return Some(format!("did you mean `{word}`?"));
    }
    let words = words_joined(&known);
    (!known.is_empty()).then(|| format!("known here: {words}"))
}

/// `a`, `b` and `c`, with backquotes; not too many of them.
pub(crate) fn words_joined(words: &[&str]) -> String {
    let mut quoted: Vec<String> = words.iter().take(24).map(|word| format!("`{word}`")).collect();
    if words.len() > quoted.len() {
        quoted.push(format!("{} more", words.len() - quoted.len()));
    }
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

fn uses_environment(node: &Node) -> bool {
    match &node.body {
        Body::Scalar { environment, .. } => *environment,
        Body::List(items) => items.iter().any(uses_environment),
        Body::Map(entries) => entries.iter().any(|(_, node)| uses_environment(node)),
    }
}

fn mask(secrets: &[(String, String)], mut text: String, used_here: bool) -> String {
    for (value, name) in secrets {
        let escaped = format!("{value:?}");
        let escaped = escaped.trim_matches('"');
        for form in [value.as_str(), escaped] {
            if !form.is_empty() && (used_here || form.len() >= MASKED_ANYWHERE_MIN) && text.contains(form) {
                text = text.replace(form, &format!("${{{name}}}"));
            }
        }
    }
    text
}

/// `apps.validator.with.lookups[0]`.
pub(crate) fn dotted(path: &[&str]) -> String {
    let mut out = String::new();
    for segment in path {
        if segment.bytes().all(|b| b.is_ascii_digit()) && !segment.is_empty() && !out.is_empty() {
            out.push_str(&format!("[{segment}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(segment);
        }
    }
    out
}
