//! Patterns as byte automata: one table look-up a byte, whatever the pattern.
//!
//! An automaton only says sooner what the `regex` crate would say; a pattern for which it would be too large has none.
//! There is no I/O.

use super::constraint::anchored;
use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

/// How large the tables of one pattern may be, and what building them may need.
const TABLE_MAX_BYTES: usize = 256 * 1024;
const BUILD_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A pattern that has to match the whole text.
#[derive(Debug)]
pub(super) struct Pattern {
    automaton: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Pattern {
    /// The automaton of this pattern; none where it would be too large, or cannot be one.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .minimize(false)
            .dfa_size_limit(Some(TABLE_MAX_BYTES))
            .determinize_size_limit(Some(BUILD_MAX_BYTES));
        let automaton = dense::Builder::new().configure(config).build(&anchored(pattern)).ok()?;
        // A text begins at its beginning, so there is one start.
        let start = automaton.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Self { automaton, start })
    }

    /// Whether the text surely matches.
    #[inline]
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        // Once it is dead, or does not know, it stays so, and neither is a match.
        let state = text.iter().fold(self.start, |state, byte| self.automaton.next_state(state, *byte));
        self.automaton.is_match_state(self.automaton.next_eoi_state(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    const PATTERNS: &[&str] = &[
        "[0-9A-Z]{2}",
        "(NA|[0-9]{1,4})",
        "a|b",
        "",
        "a*?",
        ".+",
        "[^,]*é?",
        r"\w+-\d{2,}",
        "(?i)abc",
        "a.c",
        "x$",
        "^x",
        r"(?-u:\w)+",
    ];

    #[test]
    fn what_is_too_large_has_no_automaton() {
        assert!(Pattern::new(r"\w{1000}").is_none());
        assert!(Pattern::new("(?=a)").is_none());
    }

    proptest! {
        #[test]
        fn it_says_what_the_regex_says(text in "[0-9A-CNxabcé,\n -]{0,6}") {
            for pattern in PATTERNS {
                let regex = Regex::new(&anchored(pattern)).unwrap();
                let quick = Pattern::new(pattern).unwrap();
                prop_assert_eq!(quick.matches(text.as_bytes()), regex.is_match(&text), "{} {:?}", pattern, text);
            }
        }
    }
}
