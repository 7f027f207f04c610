//! The text of a cell out of its bytes: without its quotes, with what was escaped as it was meant.
//!
//! Invariant: a cell without quotes, escapes and skipped spaces is lent as it stands; only a cell that holds a doubled
//! quote or an escape is copied. There is no I/O.

use crate::dialect::Dialect;
use std::borrow::Cow;

/// What a dialect says of the inside of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CellRules {
    quote: Option<u8>,
    double: bool,
    escape: Option<u8>,
    skip_space: bool,
}

impl CellRules {
    pub(crate) fn new(dialect: &Dialect) -> Self {
        Self {
            quote: dialect.quote,
            double: dialect.double_quote,
            escape: dialect.escape,
            skip_space: dialect.skip_initial_space,
        }
    }

    /// The text of a cell.
    #[inline]
    pub(crate) fn text<'a>(&self, raw: &'a [u8]) -> Cow<'a, [u8]> {
        let raw = if self.skip_space { without_spaces(raw) } else { raw };
        match (raw.first(), self.quote) {
            (Some(first), Some(quote)) if *first == quote => self.unquoted(&raw[1..], quote),
            _ => match self.escape {
                Some(escape) if memchr::memchr(escape, raw).is_some() => {
                    let mut text = Vec::with_capacity(raw.len());
                    unescape(raw, escape, &mut text);
                    Cow::Owned(text)
                }
                _ => Cow::Borrowed(raw),
            },
        }
    }

    /// Whether the cell opens with a quote.
    #[inline]
    pub(crate) fn is_quoted(&self, raw: &[u8]) -> bool {
        let raw = if self.skip_space { without_spaces(raw) } else { raw };
        self.quote.is_some() && raw.first().copied() == self.quote
    }

    /// The text of a cell after its opening quote.
    fn unquoted<'a>(&self, inside: &'a [u8], quote: u8) -> Cow<'a, [u8]> {
        let escape = self.escape.unwrap_or(quote);
        match memchr::memchr2(quote, escape, inside) {
            None => return Cow::Borrowed(inside),
            Some(at) if at + 1 == inside.len() && inside[at] == quote => return Cow::Borrowed(&inside[..at]),
            Some(_) => {}
        }
        let mut text = Vec::with_capacity(inside.len());
        let mut rest = inside;
        while let Some(at) = memchr::memchr2(quote, escape, rest) {
            text.extend_from_slice(&rest[..at]);
            let next = rest.get(at + 1).copied();
            if Some(rest[at]) == self.escape {
                text.extend(next);
                rest = rest.get(at + 2..).unwrap_or_default();
            } else if self.double && next == Some(quote) {
                text.push(quote);
                rest = &rest[at + 2..];
            } else {
                self.after_quotes(&rest[at + 1..], &mut text);
                return Cow::Owned(text);
            }
        }
        text.extend_from_slice(rest);
        Cow::Owned(text)
    }

    /// What follows the closing quote belongs to the cell; an escape character right behind it is itself, where a
    /// second quote could have stood.
    fn after_quotes(&self, rest: &[u8], text: &mut Vec<u8>) {
        let Some(escape) = self.escape else { return text.extend_from_slice(rest) };
        let literal = usize::from(self.double && rest.first() == Some(&escape));
        text.extend_from_slice(&rest[..literal]);
        unescape(&rest[literal..], escape, text);
    }
}

fn without_spaces(raw: &[u8]) -> &[u8] {
    let spaces = raw.iter().take_while(|byte| **byte == b' ').count();
    &raw[spaces..]
}

/// A last escape character that has nothing behind it is dropped.
fn unescape(mut raw: &[u8], escape: u8, into: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(escape, raw) {
        into.extend_from_slice(&raw[..at]);
        into.extend(raw.get(at + 1));
        raw = raw.get(at + 2..).unwrap_or_default();
    }
    into.extend_from_slice(raw);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_cell() {
        let doubled = CellRules::new(&Dialect::default());
        let escaped = CellRules::new(&Dialect {
            escape: Some(b'\\'),
            double_quote: false,
            skip_initial_space: true,
            ..Dialect::default()
        });
        for (rules, raw, text) in [
            (doubled, "plain", "plain"),
            (doubled, "", ""),
            (doubled, "\"\"", ""),
            (doubled, "\"", ""),
            (doubled, "\"a,b\"", "a,b"),
            (doubled, "\"a\"\"b\"", "a\"b"),
            (doubled, "\"a\"\"", "a\""),
            (doubled, "\"a\"b\"\"c", "ab\"\"c"),
            (doubled, "a\"b", "a\"b"),
            (doubled, "\"open", "open"),
            (doubled, " \"a\"", " \"a\""),
            (escaped, "  \"a\\\"b\"", "a\"b"),
            (escaped, "a\\,b", "a,b"),
            (escaped, "\"a\\\\\"", "a\\"),
            (escaped, "\"a\"\"b\\\"", "a\"b\""),
            (escaped, "tail\\", "tail"),
        ] {
            assert_eq!(rules.text(raw.as_bytes()), text.as_bytes(), "{raw}");
        }
    }
}
