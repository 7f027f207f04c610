//! The trace that a request belongs to (W3C Trace Context).

use handover_core::id::hex_digits;
use handover_core::trace::TraceContext;
use http::{HeaderMap, HeaderName};

/// The name of the header.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What only has a meaning beside it.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The trace context that a request brings, where it is one.
pub(crate) fn given(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let text = values.next()?.to_str().ok()?;
    (values.next().is_none() && is_context(text)).then_some(text)
}

fn is_context(text: &str) -> bool {
    TraceContext::parse(text).is_some()
}

/// A new one: whether it is recorded is for others to say.
pub(crate) fn new(random: [u8; 24]) -> [u8; 55] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let (trace, span) = random.split_at(16);
    for (at, bytes) in [(3, trace), (36, span)] {
        for (nth, byte) in bytes.iter().enumerate() {
            text[at + 2 * nth..][..2].copy_from_slice(&hex_digits(*byte));
        }
        // All zero is none.
        text[at] = b'1';
    }
    text
}

/// The id of the trace in a context.
pub(crate) fn id(context: &str) -> &str {
    context.get(3..35).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_gives_a_context_and_two_give_none() {
        let fine = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let given = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACEPARENT, value.parse().unwrap());
            }
            super::given(&headers).map(str::to_owned)
        };
        assert_eq!(given(&[fine]).as_deref(), Some(fine));
        assert_eq!(id(fine), "4bf92f3577b34da6a3ce929d0e0e4736");
        let later = format!("01{}-more", &fine[2..]);
        assert_eq!(given(&[&later]).as_deref(), Some(&later[..]));
        // What a context is, `core::trace` knows.
        assert_eq!(given(&[&fine[1..]]), None);
        assert_eq!(given(&[fine, fine]), None);
        let is_new = |random| is_context(std::str::from_utf8(&new(random)).unwrap());
        assert!(is_new([0; 24]) && is_new([0xff; 24]));
    }
}
