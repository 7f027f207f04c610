//! The length of a JSON array, counted as its bytes pass.
//!
//! A scanner, not a validator: it follows strings, brackets and commas. It says a length only where the whole
//! text is one array: something before or after it, brackets that do not match, or a comma with nothing after
//! it give none.

use memchr::memchr2;

/// What has been seen of the array.
#[derive(Debug, Clone, Default)]
pub(crate) struct ArrayLength {
    at: At,
    /// How many brackets are open, the array's own among them.
    depth: u64,
    /// Elements that a comma has ended.
    ended: u64,
    /// Whether the element at hand has anything in it.
    started: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Before,
    Inside,
    InString,
    AfterBackslash,
    After,
    NoArray,
}

impl ArrayLength {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let mut i = 0;
        while i < bytes.len() && self.at != At::NoArray {
            if self.at == At::InString {
                let Some(found) = memchr2(b'"', b'\\', &bytes[i..]) else { return };
                i += found;
                self.at = if bytes[i] == b'"' { At::Inside } else { At::AfterBackslash };
            } else {
                self.step(bytes[i]);
            }
            i += 1;
        }
    }

    fn step(&mut self, byte: u8) {
        let space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.at = match self.at {
            At::Before if space => At::Before,
            At::Before if byte == b'[' => {
                self.depth = 1;
                At::Inside
            }
            At::AfterBackslash => At::InString,
            At::Inside if !space => self.inside(byte),
            At::Inside => At::Inside,
            At::After if space => At::After,
            _ => At::NoArray,
        };
    }

    fn inside(&mut self, byte: u8) -> At {
        match byte {
            b',' if self.depth == 1 => {
                if !self.started {
                    return At::NoArray;
                }
                self.ended += 1;
                self.started = false;
                At::Inside
            }
            b']' if self.depth == 1 => {
                if self.ended > 0 && !self.started {
                    return At::NoArray;
                }
                At::After
            }
            b'}' if self.depth == 1 => At::NoArray,
            b']' | b'}' => {
                self.depth -= 1;
                At::Inside
            }
            b'[' | b'{' => {
                self.depth += 1;
                self.started = true;
                At::Inside
            }
            b'"' => {
                self.started = true;
                At::InString
            }
            _ => {
                self.started = true;
                At::Inside
            }
        }
    }

    /// The length, where it was one whole array.
    pub(crate) fn finish(self) -> Option<u64> {
        (self.at == At::After).then(|| self.ended + u64::from(self.started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn length(text: &[u8], chunk: usize) -> Option<u64> {
        let mut array = ArrayLength::default();
        text.chunks(chunk).for_each(|bytes| array.push(bytes));
        array.finish()
    }

    #[test]
    fn only_a_whole_array_has_a_length() {
        for (text, expected) in [
            ("[]", Some(0)),
            (" [ ] \n", Some(0)),
            (r#"[1, "a,]\"", {"b": [1, 2]}, [3, 4], null]"#, Some(5)),
            (r#"{"a": 1}"#, None),
            ("[1, 2", None),
            ("[1],", None),
            ("[1,]", None),
            ("[,1]", None),
            ("[1}", None),
            ("[\"a", None),
            ("", None),
            ("7", None),
        ] {
            for chunk in 1..4 {
                assert_eq!(length(text.as_bytes(), chunk), expected, "{text:?} by {chunk}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_counts_what_a_parser_counts(
            values in proptest::collection::vec("[a-c,\\[\\]{}\"\\\\\n ]{0,8}", 0..8), nest in any::<bool>(), chunk in 1usize..7,
        ) {
            let array: Vec<serde_json::Value> = values
                .iter()
                .map(|text| if nest { serde_json::json!({ text.as_str(): [text, 1] }) } else { text.as_str().into() })
                .collect();
            let text = serde_json::to_vec_pretty(&array).unwrap();
            prop_assert_eq!(length(&text, chunk), Some(array.len() as u64));
        }
    }
}
