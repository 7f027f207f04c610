//! Numbers that would not come out of the ledger as they went in: more digits than a double has, or a size that it has not.
//!
//! Invariant: a number that passes here is, as a value, what is written in the record.

/// So many digits any double keeps.
const DIGITS_SAFE: usize = 15;

/// The first number of a JSON text that cannot be kept exactly; the text is JSON otherwise.
pub fn first_inexact(json: &str) -> Option<&str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..]
                    .iter()
                    .position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                    .map_or(bytes.len(), |length| at + length);
                let number = &json[at..end];
                if !is_exact(number) {
                    return Some(number);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

/// The place behind the string that begins here.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match memchr_quote(&bytes[at.min(bytes.len())..]) {
            None => return bytes.len(),
            Some(found) if bytes[at + found] == b'"' => return at + found + 1,
            Some(found) => at += found + 2,
        }
    }
}

fn memchr_quote(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'))
}

/// Whether a number, as JSON writes it, is kept as it is.
pub fn is_exact(number: &str) -> bool {
    let plain = number.bytes().filter(u8::is_ascii_digit).count();
    if plain <= DIGITS_SAFE && !number.contains(['e', 'E']) {
        return true;
    }
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() => normal(number) == normal(&format!("{value:e}")),
        _ => false,
    }
}

/// Digits without zeros around them, and the power of ten of the last: equal for numbers that are equal.
fn normal(number: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let mut power: i64 = exponent.parse().unwrap_or(i64::MAX / 2);
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    power = power.saturating_sub(part.len() as i64);
    let digits = format!("{}{part}", whole.trim_start_matches(['-', '+']));
    let short = digits.trim_end_matches('0');
    power = power.saturating_add((digits.len() - short.len()) as i64);
    let short = short.trim_start_matches('0');
    if short.is_empty() {
        return (false, String::new(), 0);
    }
    (number.starts_with('-'), short.to_owned(), power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_double_holds_passes_and_what_it_does_not_is_found() {
        for exact in [
            "1",
            "-0.5",
            "9007199254740993",
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "1e22",
            "1.0e2",
            "1.50",
            "0.30000000000000004",
            "123456789.12345678",
            "0e5",
            "-0.0",
            "1e308",
            "5e-324",
        ] {
            assert_eq!(first_inexact(exact), None, "{exact}");
        }
        for inexact in [
            "18446744073709551616000001",
            "3.14159265358979323846",
            "1e400",
            "1e-400",
            "0.1000000000000000055511151231257827",
            "123456789012345678901",
        ] {
            assert_eq!(first_inexact(inexact), Some(inexact));
            let inside = format!("{{\"a\\\"1e999\": [\"1e999\", {inexact}], \"b\": 2}}");
            assert_eq!(first_inexact(&inside), Some(inexact), "{inside}");
        }
    }
}
