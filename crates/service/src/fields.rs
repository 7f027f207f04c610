//! The fields of a head of HTTP/1 as bytes: where they lie in what was read, and how they are written. Both sides go by it, what asks
//! services and what answers plain requests; what a head means is theirs to say.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Where a field lies in a head: its name's first byte and length, its value's first byte and length.
pub type Place = [usize; 4];

/// Notes where these fields lie in the head that they were read from, in the room of what was noted before.
pub fn note(places: &mut Vec<Place>, read: &[httparse::Header<'_>], head: &[u8]) {
    let start = head.as_ptr() as usize;
    let at = |text: &[u8]| (text.as_ptr() as usize).wrapping_sub(start);
    places.clear();
    places.extend(read.iter().map(|field| {
        let name = field.name.as_bytes();
        [at(name), name.len(), at(field.value), field.value.len()]
    }));
}

/// The fields at these places of a head, with room for so many more; their values are the head's own bytes. None where one of them
/// is none.
pub fn taken(head: &Bytes, places: &[Place], more: usize) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(places.len() + more);
    for [name, name_length, value, value_length] in places {
        let name = HeaderName::from_bytes(head.get(*name..name + name_length)?).ok()?;
        let value = HeaderValue::from_maybe_shared(head.slice(*value..value + value_length)).ok()?;
        fields.append(name, value);
    }
    Some(fields)
}

/// Writes a field.
#[inline]
pub fn put(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    to.reserve(name.len() + value.len() + 4);
    to.extend_from_slice(name);
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_taken_and_written_as_it_was() {
        let head = Bytes::from_static(b"Host: a\r\nX-Empty:\r\nx-two: 1\r\nX-Two: 2 \r\n\r\n");
        let mut read = [httparse::EMPTY_HEADER; 8];
        let Ok(httparse::Status::Complete((_, read))) = httparse::parse_headers(&head, &mut read) else {
            panic!("these are fields")
        };
        let mut places = vec![[9; 4]];
        note(&mut places, read, &head);
        let fields = taken(&head, &places, 0).unwrap();
        let mut written = Vec::new();
        for (name, value) in &fields {
            put(&mut written, name.as_str().as_bytes(), value.as_bytes());
        }
        assert_eq!(written, b"host: a\r\nx-empty: \r\nx-two: 1\r\nx-two: 2\r\n");
        assert!(taken(&Bytes::from_static(b"a b: 1"), &[[0, 3, 5, 1]], 0).is_none(), "a name has no blank");
    }
}
