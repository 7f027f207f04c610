//! The formats of Table Schema's `string`. There is no I/O.

/// Whether it looks like an address: one `@`, no spaces, a domain of labels with a dot between them.
pub(crate) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let local_fine = !local.is_empty()
        && local.len() <= 64
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"()<>[]:;@\\,\"".contains(c));
    let label_fine = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    local_fine && domain.len() <= 255 && domain.contains('.') && domain.split('.').all(label_fine)
}

/// Whether it is a URI with a scheme, of the characters of RFC 3986.
pub(crate) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_fine = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let rest = rest.as_bytes();
    let allowed = |(at, byte): (usize, &u8)| match byte {
        b'%' => {
            rest.get(at + 1).is_some_and(u8::is_ascii_hexdigit)
                && rest.get(at + 2).is_some_and(u8::is_ascii_hexdigit)
        }
        byte => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(byte),
    };
    scheme_fine && !rest.is_empty() && rest != b"//" && rest.iter().enumerate().all(allowed)
}

/// Whether it is a UUID in its usual form, in either case.
pub(crate) fn is_uuid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == lengths.len()
        && parts
            .iter()
            .zip(lengths)
            .all(|(part, length)| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether it is base64 with its padding (RFC 4648, section 4).
pub(crate) fn is_base64(text: &str) -> bool {
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    text.len().is_multiple_of(4)
        && padding <= 2
        && text[..text.len() - padding].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(check: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        good.iter().for_each(|text| assert!(check(text), "{text}"));
        bad.iter().for_each(|text| assert!(!check(text), "{text}"));
    }

    #[test]
    fn formats_of_strings() {
        table(
            is_email,
            &["a@b.de", "first.last+tag@mail.example.org", "o'neil@x.ie"],
            &["", "a", "a@b", "a b@c.de", "@c.de", "a@@b.de", "a@b..de", "a@-b.de", ".a@b.de"],
        );
        table(
            is_uri,
            &["http://x.de/a?b=c#d", "urn:isbn:0451450523", "mailto:a@b.de", "file:///a%20b"],
            &["", "x.de", "http:", "http://", "1a:b", "http://x y", "http://x/%2", "http://ü.de"],
        );
        table(
            is_uuid,
            &["123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"],
            &["", "123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"],
        );
        table(
            is_base64,
            &["", "YQ==", "YWI=", "YWJj", "+/+/"],
            &["YQ", "YQ=", "Y===", "YQ=a", "Y Q=", "é==="],
        );
    }
}
