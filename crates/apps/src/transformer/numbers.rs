//! Numbers as other countries write them: `1.234,50`, `1 234.5`, `1'234`, with or without what stands around them.
//!
//! Groups are checked, so that a decimal comma is never taken for a thousand: where `,` groups, `1,234` is 1234 and
//! `1,23` is no number. Groups have three digits, before the last one also two (India).

use super::config::Numbers;
use handover_core::{Error, Result};

/// The rules of one field.
#[derive(Debug, Clone)]
pub(super) struct NumberRule {
    decimal: char,
    group: Option<char>,
    bare: bool,
}

const SPACES: [char; 4] = [' ', '\u{a0}', '\u{202f}', '\u{2009}'];
const APOSTROPHES: [char; 2] = ['\'', '’'];

impl NumberRule {
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for what is not one character, or stands for two things.
    pub(super) fn new(numbers: &Numbers) -> Result<Self> {
        let one = |key: &str, text: &str| {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(one), None) if !one.is_ascii_digit() && !"+-eE".contains(one) => Ok(one),
                _ => Err(Error::config(format!("{key} is {text:?}"))
                    .hint("it has to be one character, and no digit or sign")),
            }
        };
        let decimal = one("decimal", &numbers.decimal)?;
        let group = if numbers.group.is_empty() { None } else { Some(one("group", &numbers.group)?) };
        if group == Some(decimal) {
            return Err(Error::config(format!("decimal and group are both {decimal:?}")));
        }
        Ok(Self { decimal, group, bare: numbers.bare })
    }

    fn is_group(&self, c: char) -> bool {
        self.group.is_some_and(|group| {
            group == c
                || (SPACES.contains(&group) && SPACES.contains(&c))
                || (APOSTROPHES.contains(&group) && APOSTROPHES.contains(&c))
        })
    }

    /// Appends the number with a point and without groups; false, and nothing appended, where it is none. Whether its
    /// digits make a number is left to the cast.
    pub(super) fn read(&self, text: &str, into: &mut Vec<u8>) -> bool {
        let start = into.len();
        let read = self.push(if self.bare { text } else { without_surroundings(text, self.decimal) }, into);
        if read.is_none() {
            into.truncate(start);
        }
        read.is_some()
    }

    fn push(&self, text: &str, into: &mut Vec<u8>) -> Option<()> {
        let unsigned = match text.strip_prefix(['-', '\u{2212}']) {
            Some(rest) => {
                into.push(b'-');
                rest
            }
            None => text.strip_prefix('+').unwrap_or(text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && !self.is_group(c)).unwrap_or(unsigned.len());
        let (whole, rest) = unsigned.split_at(end);
        self.push_whole(whole, into)?;
        let decimals = match rest.strip_prefix(self.decimal) {
            Some(decimals) => {
                into.push(b'.');
                decimals
            }
            // An exponent, or nothing.
            None => rest,
        };
        if whole.is_empty() && !decimals.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let plain =
            decimals.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'e' | b'E' | b'+' | b'-'));
        into.extend_from_slice(decimals.as_bytes());
        plain.then_some(())
    }

    /// The digits before the decimals, without their groups.
    fn push_whole(&self, whole: &str, into: &mut Vec<u8>) -> Option<()> {
        let count = whole.chars().filter(|c| self.is_group(*c)).count();
        for (index, group) in whole.split(|c| self.is_group(c)).enumerate() {
            let fits = match (index, count) {
                (_, 0) => true,
                (0, _) => (1..=3).contains(&group.len()),
                (index, count) if index == count => group.len() == 3,
                _ => (2..=3).contains(&group.len()),
            };
            if !fits {
                return None;
            }
            into.extend_from_slice(group.as_bytes());
        }
        Some(())
    }
}

/// From the first digit to the last, with a sign before it or behind what stands before it.
fn without_surroundings(text: &str, decimal: char) -> &str {
    let Some(first) = text.find(|c: char| c.is_ascii_digit()) else { return "" };
    let end = text.rfind(|c: char| c.is_ascii_digit()).map_or(first, |at| at + 1);
    let before = &text[..first];
    let start = before.strip_suffix(decimal).map_or(first, str::len);
    let signed = |c: char| c == '-' || c == '\u{2212}';
    let before = &text[..start];
    match before.char_indices().rev().find(|(_, c)| signed(*c)) {
        None => &text[start..end],
        // Right before the digits, or the only thing before them.
        Some((at, c)) if before[at + c.len_utf8()..].is_empty() => &text[at..end],
        // A sign that is apart from its number, as in `-€5`, cannot be taken along with it: it is no number.
        Some(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(decimal: &str, group: &str, bare: bool) -> NumberRule {
        NumberRule::new(&Numbers { decimal: decimal.into(), group: group.into(), bare }).unwrap()
    }

    fn read(rule: &NumberRule, text: &str) -> Option<String> {
        let mut into = Vec::new();
        rule.read(text, &mut into).then(|| String::from_utf8(into).unwrap())
    }

    #[test]
    fn numbers_of_other_countries() {
        let german = rule(",", ".", true);
        for (text, number) in [
            ("1.234,50", Some("1234.50")),
            ("-1.234.567", Some("-1234567")),
            ("1234,5", Some("1234.5")),
            (",5", Some(".5")),
            ("−3", Some("-3")),
            ("1,5e3", Some("1.5e3")),
            ("1.23", None),
            ("1234.567", None),
            (".123", None),
            ("1.234.", None),
            ("1,2,3", None),
            ("12 €", None),
            ("", None),
            ("-", None),
            (",", None),
        ] {
            assert_eq!(read(&german, text).as_deref(), number, "{text}");
        }
        assert_eq!(read(&rule(",", " ", true), "1\u{202f}234\u{a0}567,8").as_deref(), Some("1234567.8"));
        assert_eq!(read(&rule(".", "'", true), "1’234.5").as_deref(), Some("1234.5"));
        assert_eq!(read(&rule(".", ",", true), "12,34,567.8").as_deref(), Some("1234567.8"));
        assert_eq!(read(&rule(".", ",", true), "1,23"), None);
    }

    #[test]
    fn what_stands_around_a_number_is_left_out() {
        let euro = rule(",", ".", false);
        for (text, number) in [
            ("€ 1.234,50", Some("1234.50")),
            ("-3,5 %", Some("-3.5")),
            ("EUR -3", Some("-3")),
            ("ca. ,5", Some(".5")),
            ("- 3", None),
            ("-€3", None),
            ("none", None),
        ] {
            assert_eq!(read(&euro, text).as_deref(), number, "{text}");
        }
    }

    #[test]
    fn rules_that_contradict_themselves_are_refused() {
        for (decimal, group) in [(",", ","), ("", "."), ("::", ""), ("1", ""), (".", "ab")] {
            assert!(
                NumberRule::new(&Numbers { decimal: decimal.into(), group: group.into(), bare: true })
                    .is_err()
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,20}", bare in any::<bool>()) {
            let _ = read(&rule(",", " ", bare), &text);
        }
    }
}
