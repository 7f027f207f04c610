//! A set of words, asked for each row.
//!
//! There is no I/O.

use std::collections::HashSet;

/// Up to so many words of at most seven bytes are compared one by one.
const FEW: usize = 16;

/// A set of words.
#[derive(Debug)]
pub(super) enum Words {
    /// Few and short: each in one number, its length in the last byte.
    Few(Vec<u64>),
    /// All others.
    Many(HashSet<Vec<u8>>),
}

impl Words {
    /// The set of these words.
    pub(super) fn new<'w>(words: impl Iterator<Item = &'w [u8]>) -> Self {
        let words: HashSet<Vec<u8>> = words.map(<[u8]>::to_vec).collect();
        if words.len() <= FEW && words.iter().all(|word| word.len() < 8) {
            return Words::Few(words.iter().map(|word| packed(word)).collect());
        }
        Words::Many(words)
    }

    /// Whether it is one of them.
    #[inline]
    pub(super) fn contains(&self, word: &[u8]) -> bool {
        match self {
            Words::Few(few) => word.len() < 8 && few.contains(&packed(word)),
            Words::Many(many) => many.contains(word),
        }
    }
}

/// A word of at most seven bytes as a number.
#[inline]
fn packed(word: &[u8]) -> u64 {
    word.iter().rev().fold(word.len() as u64, |packed, byte| packed << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_however_many_they_are() {
        let few = ["", "a", "ab", "ba", "seven77"];
        let many: Vec<String> = (0..40).map(|number| format!("word {number}")).collect();
        let sets = [
            (Words::new(few.iter().map(|word| word.as_bytes())), few.map(str::to_owned).to_vec()),
            (Words::new(many.iter().map(|word| word.as_bytes())), many.clone()),
        ];
        for (set, words) in &sets {
            assert!(words.iter().all(|word| set.contains(word.as_bytes())));
            assert!(
                ["b", "aa", "a\0", "eight888", "word 40"].iter().all(|word| !set.contains(word.as_bytes()))
            );
        }
        assert!(matches!(sets[0].0, Words::Few(_)) && matches!(sets[1].0, Words::Many(_)));
    }
}
