//! Identifiers: deliveries are numbered, leases and holders are random.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A delivery's number, from the ledger's one sequence. Manifests carry it as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub i64);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeliveryId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        match digits.parse::<i64>() {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(Error::config(format!("{text:?} is not a delivery's number"))
                .hint("`handover list` shows the numbers")),
        }
    }
}

/// Proof of a claim: 128 random bits in hex. Every later word about the delivery must carry it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseToken(pub String);

impl LeaseToken {
    /// A new token, unlike any other.
    pub fn random() -> Self {
        Self(random_hex())
    }
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A process that claims: the name of the lock file it holds while it lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HolderId(pub String);

impl HolderId {
    /// A new holder of this process: `{pid}-{random}`; the pid is for people, the lock file is the proof.
    pub fn new(pid: u32) -> Self {
        Self(format!("{pid}-{}", &random_hex()[..12]))
    }

    /// A holder that is no process, such as a script that pulls and answers with two commands: nothing but the end of its
    /// lease takes its work from it. `who` is for people.
    pub fn without_process(who: &str) -> Self {
        let plain: String =
            who.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
        Self(format!("pull:{plain}-{}", &random_hex()[..12]))
    }

    /// Whether it is a process, whose lock tells whether it lives: its name begins with a number. All others hold what
    /// they have until their lease ends.
    pub fn is_process(&self) -> bool {
        self.0.starts_with(|c: char| c.is_ascii_digit())
    }
}

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 128 random bits as 32 hex digits.
///
/// # Panics
/// Where the operating system has no random numbers, which no supported one lacks.
pub fn random_hex() -> String {
    let mut bytes = [0u8; 16];
    #[allow(clippy::expect_used)]
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    hex(&bytes)
}

/// Bytes as hexadecimal digits, in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| hex_digits(*byte)).map(char::from).collect()
}

/// The two hexadecimal digits of a byte, in lower case, where there is room for them already.
pub fn hex_digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)])
}

/// The bytes that a text has as hexadecimal digits; none where it has more or fewer, or others.
pub fn unhex<const COUNT: usize>(text: &str) -> Option<[u8; COUNT]> {
    if text.len() != 2 * COUNT || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; COUNT];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(hex(&[0, 1, 0x0f, 0x10, 0xab, 0xff]), "00010f10abff");
    }

    #[test]
    fn a_holder_that_is_no_process_is_not_taken_for_one() {
        assert!(HolderId::new(17).is_process());
        for who in ["ann", "17", "", "../../etc", "cli:ann"] {
            let holder = HolderId::without_process(who);
            assert!(!holder.is_process() && !holder.0.contains('/'), "{holder}");
        }
        assert!(!HolderId("sql".into()).is_process());
    }
}
