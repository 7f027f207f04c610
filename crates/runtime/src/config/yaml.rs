//! From text to a tree of nodes that know their places. YAML 1.2 (core schema), and so JSON too.
//!
//! Invariants: one walk over the parser's events makes both the values and the places, so they cannot disagree.
//! A key stands once in a mapping; depth and the number of nodes, anchors expanded, have limits, so that no small
//! file becomes a large tree. `<<` merges mappings.

use super::error::{Also, Problem};
use super::yaml_words::explain;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// So deep may lists and mappings lie in one another.
const DEPTH_MAX: usize = 40;
/// So many values a file may have, those repeated by aliases counted each time.
const NODES_MAX: usize = 100_000;

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) line: usize,
    /// In characters, counted from 1.
    pub(crate) column: usize,
    /// Characters on this line.
    pub(crate) length: usize,
    /// The last line.
    pub(crate) end_line: usize,
}

impl Place {
    fn of(span: Span) -> Self {
        let length = if span.start.line() == span.end.line() { span.len() } else { 1 };
        Self {
            line: span.start.line(),
            column: span.start.col() + 1,
            length: length.max(1),
            end_line: span.end.line(),
        }
    }

    pub(super) fn at(mark: &Marker) -> Self {
        Self { line: mark.line(), column: mark.col() + 1, length: 1, end_line: mark.line() }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Place,
    /// The key that it stands under, in a mapping.
    pub(crate) key_at: Option<Place>,
    pub(crate) body: Body,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// A single value; `environment` is one that the environment has completed.
    Scalar {
        value: Value,
        environment: bool,
    },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value without its places.
    pub(crate) fn to_value(&self) -> Value {
        match &self.body {
            Body::Scalar { value, .. } => value.clone(),
            Body::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Body::Map(entries) => Value::Object(
                entries.iter().map(|(key, node)| (key.clone(), node.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The node under this key or index.
    pub(crate) fn child(&self, segment: &str) -> Option<&Node> {
        match &self.body {
            Body::Scalar { .. } => None,
            Body::List(items) => segment.parse::<usize>().ok().and_then(|index| items.get(index)),
            Body::Map(entries) => entries.iter().find(|(key, _)| key == segment).map(|(_, node)| node),
        }
    }

    fn size(&self) -> usize {
        1 + match &self.body {
            Body::Scalar { .. } => 0,
            Body::List(items) => items.iter().map(Node::size).sum(),
            Body::Map(entries) => entries.iter().map(|(_, node)| node.size()).sum(),
        }
    }
}

/// Reads one document.
///
/// # Errors
/// The first thing that makes it no YAML, no JSON, or more than the limits allow.
pub(crate) fn parse(text: &str) -> Result<Node, Box<Problem>> {
    let text = &*joined_surrogates(text);
    let mut reader = Reader { parser: Parser::new_from_str(text), text, anchors: HashMap::new(), nodes: 0 };
    let root = loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => return refuse(empty()),
            event => break reader.node(event, span, 0)?,
        }
    };
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(root),
            (Event::DocumentStart(_), span) => {
                return refuse(
                    problem(Place::of(span), "a second document begins here")
                        .hint("a configuration is one document: remove the `---` and what follows it"),
                );
            }
            _ => {}
        }
    }
}

/// JSON's `\ud83d\ude00` for one character, which YAML writes `\U0001f600`. Columns after it shift by two.
fn joined_surrogates(text: &str) -> Cow<'_, str> {
    let half = |at: usize, from: u32| {
        let code = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(code, 16).ok()?.checked_sub(from).filter(|rest| *rest < 0x400)
    };
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices("\\u") {
        if let (Some(high), Some(low)) = (half(at, 0xd800), half(at + 6, 0xdc00)) {
            out.push_str(&text[copied..at]);
            out.push_str(&format!("\\U{:08x}", 0x10000 + (high << 10) + low));
            copied = at + 12;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The problem of a file without any content.
pub(crate) fn empty() -> Problem {
    Problem::whole("the file is empty")
        .hint("declare `apps:` and `flows:`; `handover init` writes an example to begin with")
}

fn refuse<T>(problem: Problem) -> Result<T, Box<Problem>> {
    Err(Box::new(problem))
}

pub(super) fn problem(at: Place, message: impl Into<String>) -> Problem {
    Problem { line: at.line, column: at.column, length: at.length, ..Problem::whole(message) }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Box<Problem>> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => refuse(explain(&error, self.text)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Box<Problem>> {
        let at = Place::of(span);
        self.count(1, at)?;
        if depth > DEPTH_MAX {
            return refuse(problem(at, format!("this is more than {DEPTH_MAX} levels deep")));
        }
        let (body, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref(), at)?, anchor),
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq", at)?;
                (self.list(depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map", at)?;
                (self.map(depth)?, anchor)
            }
            Event::Alias(id) => {
                let found = self.anchors.get(&id).cloned();
                let node = found.ok_or_else(|| {
                    problem(at, "this alias is inside the value that it stands for, or its anchor is missing")
                })?;
                self.count(node.size(), at)?;
                return Ok(Node { at, ..node });
            }
            _ => return refuse(problem(at, "a value was expected here")),
        };
        let node = Node { at, key_at: None, body };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, at: Place) -> Result<(), Box<Problem>> {
        self.nodes += more;
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        refuse(
            problem(at, format!("the file has more than {NODES_MAX} values from here on"))
                .hint("aliases (`*name`) repeat all that their anchor holds: use fewer of them"),
        )
    }

    fn list(&mut self, depth: usize) -> Result<Body, Box<Problem>> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Body::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Body, Box<Problem>> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut merged = Vec::new();
        let mut seen: HashMap<String, Place> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let (key, plain) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => (text.into_owned(), style == ScalarStyle::Plain),
                _ => {
                    return refuse(problem(
                        Place::of(span),
                        "a key is a word, not a list, a mapping or an alias",
                    ));
                }
            };
            let key_at = Place::of(span);
            if let Some(first) = seen.insert(key.clone(), key_at) {
                return refuse(duplicate(&key, first, key_at));
            }
            let (event, span) = self.next()?;
            let mut node = self.node(event, span, depth + 1)?;
            node.key_at = Some(key_at);
            if plain && key == "<<" { merged.push(node) } else { entries.push((key, node)) }
        }
        for node in merged {
            merge(&mut entries, node)?;
        }
        Ok(Body::Map(entries))
    }
}

/// Adds what a `<<` brings and is not said already.
fn merge(entries: &mut Vec<(String, Node)>, from: Node) -> Result<(), Box<Problem>> {
    match from.body {
        Body::Map(more) => {
            for (key, node) in more {
                if !entries.iter().any(|(known, _)| *known == key) {
                    entries.push((key, node));
                }
            }
            Ok(())
        }
        Body::List(items) => items.into_iter().try_for_each(|item| merge(entries, item)),
        Body::Scalar { .. } => refuse(problem(from.at, "`<<` takes a mapping or a list of mappings")),
    }
}

fn duplicate(key: &str, first: Place, second: Place) -> Problem {
    let mut problem = problem(second, format!("the key `{key}` stands here a second time"))
        .hint("keep one of the two; keys of one mapping must differ");
    problem.also = Some(Also { line: first.line, column: first.column, message: "first here".to_owned() });
    problem
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Place) -> Result<Body, Box<Problem>> {
    let plain = style == ScalarStyle::Plain;
    let value = match tag {
        None if plain => resolve(text),
        None => Value::String(text.to_owned()),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Value::String(text.to_owned()),
        Some(tag)
            if tag.is_yaml_core_schema()
                && ["int", "float", "bool", "null"].contains(&tag.suffix.as_str()) =>
        {
            resolve(text)
        }
        Some(tag) => return refuse(unknown_tag(tag, at)),
    };
    Ok(Body::Scalar { value, environment: false })
}

fn check_tag(tag: Option<&Tag>, fine: &str, at: Place) -> Result<(), Box<Problem>> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == fine) => refuse(unknown_tag(tag, at)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, at: Place) -> Problem {
    problem(at, format!("the tag `{tag}` means nothing here"))
        .hint("remove it; a text that begins with `!` goes in quotes")
}

/// What a word without quotes is: null, true or false, a number, or text (YAML 1.2, core schema, 10.3.2).
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let radix =
        [("0x", 16), ("0o", 8)].iter().find_map(|(lead, radix)| Some((text.strip_prefix(lead)?, *radix)));
    if let Some((digits, radix)) = radix {
        return (!digits.starts_with('+'))
            .then(|| u64::from_str_radix(digits, radix).ok())?
            .map(Number::from);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let first = unsigned.bytes().next()?;
    let numeric = unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    if !numeric || !(first.is_ascii_digit() || first == b'.') || unsigned == "." {
        return None;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let signed = text.strip_prefix('+').unwrap_or(text);
        let whole =
            signed.parse::<u64>().map(Number::from).or_else(|_| signed.parse::<i64>().map(Number::from));
        if let Ok(whole) = whole {
            return Some(whole);
        }
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}
