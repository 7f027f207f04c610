//! The trace that something belongs to (W3C Trace Context): which one, whose child, and whether it is recorded.

use crate::id::{hex, random_hex};
use std::fmt;

/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;

/// A trace context, as `traceparent` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace: 32 hexadecimal digits, not all zero.
    pub trace: String,
    /// The span that what comes next is a child of: 16 hexadecimal digits, not all zero.
    pub span: String,
    /// Whether it is recorded.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads one; none where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut next = || parts.next().unwrap_or_default();
        let (version, trace, span, flags) = (next(), next(), next(), next());
        let is = fine(version, 2)
            && version != "ff"
            && fine(trace, 32)
            && some(trace)
            && fine(span, 16)
            && some(span)
            && fine(flags, 2)
            // A later version may say more.
            && (version != "00" || text.len() == LENGTH);
        is.then(|| Self {
            trace: trace.to_owned(),
            span: span.to_owned(),
            sampled: u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1),
        })
    }

    /// The one for children of a new span of this trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span: new_span(), ..self.clone() }
    }

    /// The one that begins with a thing of a ledger that has none: always the same for the same, so that whoever works on it next,
    /// on whatever machine, is in the same trace. Whether it is recorded is drawn by the trace's id, for a share of all.
    pub fn of(ledger: &str, id: i64, share: f64) -> Self {
        let half = |text: Option<&str>| text.and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(1);
        let (high, low) = (half(ledger.get(..16)), half(ledger.get(16..32)));
        let mixed = mix(low.wrapping_add(id.cast_unsigned()));
        let bytes = |number: u64| hex(&number.to_be_bytes());
        // All zero is none.
        let span = mix(mixed).max(1);
        Self {
            trace: format!("{}{}", bytes(high.max(1)), bytes(mixed)),
            span: bytes(span),
            sampled: drawn(mixed, share),
        }
    }

    /// Whether a trace that begins with this id is recorded, for a share of all.
    pub fn is_drawn(trace: &str, share: f64) -> bool {
        trace
            .get(16..32)
            .and_then(|low| u64::from_str_radix(low, 16).ok())
            .is_some_and(|low| drawn(low, share))
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// The id of a new span.
pub fn new_span() -> String {
    let mut digits = random_hex();
    digits.truncate(15);
    // All zero is none.
    digits.insert(0, '1');
    digits
}

fn fine(part: &str, length: usize) -> bool {
    part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn some(part: &str) -> bool {
    part.bytes().any(|b| b != b'0')
}

/// Spreads numbers that follow each other over all that there are (SplitMix64).
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn drawn(low: u64, share: f64) -> bool {
    // The last 56 bits are those that the standard wants to be random.
    const ALL: u64 = 1 << 56;
    ((low % ALL) as f64) < share * ALL as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_taken_as_the_standard_says() {
        let fine = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = TraceContext::parse(fine).unwrap();
        assert!(read.sampled && read.to_string() == fine);
        assert!(!TraceContext::parse(&fine.replace("-01", "-02")).unwrap().sampled);
        assert!(TraceContext::parse(&format!("01{}-more", &fine[2..])).is_some());
        for wrong in [
            &fine.to_uppercase(),
            &format!("{fine}-more"),
            &fine[1..],
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            &format!("ff{}", &fine[2..]),
            "",
            "ä",
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_child_is_of_the_same_trace() {
        let parent = TraceContext::of("0123456789abcdef0123456789abcdef", 17, 1.0);
        let child = TraceContext::parse(&parent.child().to_string()).unwrap();
        assert!(child.trace == parent.trace && child.span != parent.span && child.sampled);
    }

    #[test]
    fn the_same_delivery_begins_the_same_trace_and_a_share_of_them_is_recorded() {
        let ledger = crate::id::random_hex();
        let of = |id, share| TraceContext::of(&ledger, id, share);
        assert_eq!(of(17, 0.5), of(17, 0.5));
        assert_ne!(of(17, 0.5).trace, of(18, 0.5).trace);
        let sampled = (0..10_000).filter(|id| of(*id, 0.25).sampled).count();
        assert!((2_000..3_000).contains(&sampled), "{sampled}");
        assert!(of(1, 1.0).sampled && !of(1, 0.0).sampled);
        let again = TraceContext::parse(&of(1, 1.0).to_string()).unwrap();
        assert!(TraceContext::is_drawn(&again.trace, 1.0) && !TraceContext::is_drawn(&again.trace, 0.0));
    }
}
