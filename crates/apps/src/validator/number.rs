//! Integers and numbers of any length, compared exactly: no cell is judged by a rounded value.
//!
//! Rules: Table Schema `integer` and `number` with `bareNumber`, `groupChar` and `decimalChar`
//! (<https://specs.frictionlessdata.io/table-schema/>), which point to XML Schema's lexical forms: an optional sign,
//! digits, a decimal part, an exponent; `NaN`, `INF` and `-INF` in any case. White space around a number is no part of
//! it (XML Schema's `collapse`).

use std::borrow::Cow;
use std::cmp::Ordering;

/// How numbers of one field are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NumberFormat {
    /// Whether the cell is the number alone; otherwise what stands around it (`€`, `%`) is left out.
    pub(crate) bare: bool,
    /// What groups digits, such as `,` in `1,000`.
    pub(crate) group: Option<String>,
    /// What stands before the decimals; none for integers.
    pub(crate) decimal: Option<String>,
}

/// A finite decimal number: `0.digits * 10^exponent`, without zeros at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

/// A number of a cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Number {
    Finite(Decimal),
    Infinite { negative: bool },
    Nan,
}

impl Decimal {
    fn signed(&self, ordering: Ordering) -> Ordering {
        if self.negative { ordering.reverse() } else { ordering }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return if other.negative { Ordering::Greater } else { Ordering::Less },
            (false, true) => return if self.negative { Ordering::Less } else { Ordering::Greater },
            (false, false) => {}
        }
        if self.negative != other.negative {
            return if self.negative { Ordering::Less } else { Ordering::Greater };
        }
        self.signed(self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits)))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        use Number::{Finite, Infinite};
        let side = |number: &Number| match number {
            Infinite { negative: true } => -1,
            Infinite { negative: false } => 1,
            _ => 0,
        };
        match (self, other) {
            (Number::Nan, _) | (_, Number::Nan) => None,
            (Finite(a), Finite(b)) => Some(a.cmp(b)),
            (a, b) => Some(side(a).cmp(&side(b))),
        }
    }
}

impl Decimal {
    /// The number in units of `10^-places`; none where that is no whole number of 128 bits.
    pub(crate) fn scaled(&self, places: i64) -> Option<i128> {
        let length = i64::try_from(self.digits.len()).ok()?;
        // The digits are a whole number of units of 10^(exponent - length).
        let zeros = self.exponent.checked_sub(length)?.checked_add(places)?;
        if self.digits.is_empty() {
            return Some(0);
        }
        if !(0..=38).contains(&zeros) || length > 38 {
            return None;
        }
        let digits = self
            .digits
            .iter()
            .try_fold(0i128, |sum, digit| sum.checked_mul(10)?.checked_add(i128::from(digit - b'0')))?;
        let units = digits.checked_mul(10i128.checked_pow(u32::try_from(zeros).ok()?)?)?;
        Some(if self.negative { -units } else { units })
    }

    /// The nearest floating-point number.
    pub(crate) fn to_f64(&self) -> f64 {
        let digits = std::str::from_utf8(&self.digits).unwrap_or("0");
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}0.{digits}0e{}", self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// Whether it has no decimals.
    pub(crate) fn is_whole(&self) -> bool {
        i64::try_from(self.digits.len()).is_ok_and(|length| self.digits.is_empty() || self.exponent >= length)
    }
}

impl Number {
    /// Equal numbers have equal keys, however they are written.
    pub(crate) fn key(&self, into: &mut Vec<u8>) {
        match self {
            Number::Finite(decimal) => {
                if let Some(whole) = decimal.scaled(0).and_then(|whole| i64::try_from(whole).ok()) {
                    return whole_key(whole, into);
                }
                into.extend_from_slice(if decimal.negative { b"-" } else { b"+" });
                into.extend_from_slice(&decimal.digits);
                into.extend_from_slice(format!("e{}", decimal.exponent).as_bytes());
            }
            Number::Infinite { negative } => into.extend_from_slice(if *negative { b"-INF" } else { b"INF" }),
            Number::Nan => into.extend_from_slice(b"NaN"),
        }
    }
}

/// The key of a whole number.
pub(crate) fn whole_key(number: i64, into: &mut Vec<u8>) {
    into.push(b'#');
    into.extend_from_slice(&number.to_be_bytes());
}

impl NumberFormat {
    /// The number of a cell, or none where it is none.
    pub(crate) fn read(&self, text: &str) -> Option<Number> {
        let text = text.trim_ascii();
        if self.decimal.is_some() && text.len() <= 4 {
            if text.eq_ignore_ascii_case("NaN") {
                return Some(Number::Nan);
            }
            let (negative, unsigned) = match text.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, text),
            };
            if unsigned.eq_ignore_ascii_case("INF") {
                return Some(Number::Infinite { negative });
            }
        }
        let plain = self.plain(text);
        decimal(&plain, self.decimal.is_some()).map(Number::Finite)
    }

    /// Whether the cell is a number, without keeping it.
    pub(crate) fn accepts(&self, text: &str) -> bool {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let usual = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        usual || self.read(text).is_some()
    }

    /// The cell with its surroundings and groups left out and a point before its decimals.
    fn plain<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(if self.bare { text } else { self.without_surroundings(text) });
        if let Some(group) = self.group.as_deref().filter(|group| text.contains(group)) {
            // A group stands between digits: `,5` and `5,` are not numbers.
            if text.starts_with(group) || text.ends_with(group) {
                return Cow::Borrowed("");
            }
            text = Cow::Owned(text.replace(group, ""));
        }
        match self.decimal.as_deref() {
            Some(point) if point != "." => {
                if text.contains('.') {
                    return Cow::Borrowed("");
                }
                Cow::Owned(text.replacen(point, ".", 1))
            }
            _ => text,
        }
    }

    fn without_surroundings<'a>(&self, text: &'a str) -> &'a str {
        let Some(first) = text.find(|c: char| c.is_ascii_digit()) else { return "" };
        let end = text.rfind(|c: char| c.is_ascii_digit()).map_or(first, |at| at + 1);
        let mut start = first;
        if let Some(before) = self.decimal.as_deref().and_then(|point| text[..start].strip_suffix(point)) {
            start = before.len();
        }
        let before = text[..start].trim_end();
        // A sign before the number counts, with what is put between them: `-€5`, `€-5`, `- 5`.
        if before.starts_with('-') || before.ends_with('-') {
            return match before.strip_suffix('-') {
                Some(rest) if before.len() == start => &text[rest.len()..end],
                _ if start == 0 => &text[..end],
                // The sign is apart from the digits: only a number without a sign can be taken as it stands.
                _ => "",
            };
        }
        &text[start..end]
    }
}

/// Reads sign, digits and, where `fraction`, decimals and exponent.
fn decimal(text: &str, fraction: bool) -> Option<Decimal> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, power) = match unsigned.find(['e', 'E']).filter(|_| fraction) {
        Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, decimals) = match mantissa.split_once('.') {
        Some(_) if !fraction => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + decimals.len() == 0 || !is_digits(whole) || !is_digits(decimals) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let mut exponent = i64::try_from(whole.len()).ok()? + i64::from(power);
    let mut digits: Vec<u8> = whole.bytes().chain(decimals.bytes()).collect();
    if whole.is_empty() {
        let zeros = digits.iter().take_while(|b| **b == b'0').count();
        digits.drain(..zeros);
        exponent -= i64::try_from(zeros).ok()?;
    }
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    if digits.is_empty() {
        return Some(Decimal { negative: false, digits, exponent: 0 });
    }
    Some(Decimal { negative, digits, exponent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> NumberFormat {
        NumberFormat { bare: true, group: None, decimal: Some(".".to_owned()) }
    }

    fn integer() -> NumberFormat {
        NumberFormat { bare: true, group: None, decimal: None }
    }

    #[test]
    fn what_is_a_number_and_what_is_not() {
        for text in [
            "0", "-1", "+5", "1.5", ".5", "5.", "1e5", "1E-5", "NaN", "INF", "-INF", "-0.0", " 1", "1 ",
            "nan", "-inf",
        ] {
            assert!(number().accepts(text), "{text}");
        }
        for text in [
            "", " ", "1 1", "1,5", "1.2.3", "e5", "1e", "1e5.5", ".", "-", "--1", "nan1", "Infinity", "+INF",
            "0x1", "1_0", "١",
        ] {
            assert!(!number().accepts(text), "{text}");
        }
        for text in ["0", "-1", "+5", "007", " 5\t", "123456789012345678901234567890"] {
            assert!(integer().accepts(text), "{text}");
        }
        for text in ["", "1.0", "1e5", "NaN", "NA", "12a", "-", "1 000"] {
            assert!(!integer().accepts(text), "{text}");
        }
    }

    #[test]
    fn groups_decimals_and_surroundings() {
        let german = NumberFormat { bare: true, group: Some(".".into()), decimal: Some(",".into()) };
        assert_eq!(german.read("1.234.567,5"), number().read("1234567.5"));
        assert_eq!(german.read("1,5"), number().read("1.5"));
        for text in ["1,5,5", ".5", "5."] {
            assert_eq!(german.read(text), None, "{text}");
        }
        let money = NumberFormat { bare: false, group: Some(",".into()), decimal: Some(".".into()) };
        for (text, same) in
            [("€1,000.50", "1000.50"), ("95%", "95"), ("$ .5", ".5"), ("EUR -5 net", "-5"), ("-5", "-5")]
        {
            assert_eq!(money.read(text), number().read(same), "{text}");
        }
        for text in ["", "€", "-€5", "- 5"] {
            assert_eq!(money.read(text), None, "{text}");
        }
        assert_eq!(integer().read("1,000"), None);
        let grouped = NumberFormat { group: Some(",".into()), ..integer() };
        assert_eq!(grouped.read("1,000"), integer().read("1000"));
    }

    #[test]
    fn order_is_exact() {
        let ordered = [
            "-INF",
            "-1e30",
            "-2",
            "-1.5",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000000000000001",
            "9",
            "10",
            "1e400",
            "INF",
        ];
        for pair in ordered.windows(2) {
            let (less, more) = (number().read(pair[0]).unwrap(), number().read(pair[1]).unwrap());
            assert_eq!(less.partial_cmp(&more), Some(Ordering::Less), "{pair:?}");
            assert_eq!(more.partial_cmp(&less), Some(Ordering::Greater), "{pair:?}");
        }
        assert_eq!(number().read("NaN").unwrap().partial_cmp(&number().read("1").unwrap()), None);
    }

    #[test]
    fn whole_units() {
        let finite = |text| match number().read(text) {
            Some(Number::Finite(decimal)) => decimal,
            _ => panic!("{text}"),
        };
        for (text, units) in
            [("1.25", Some(125)), ("-3", Some(-300)), ("0", Some(0)), ("1.255", None), ("1e40", None)]
        {
            assert_eq!(finite(text).scaled(2), units, "{text}");
        }
        assert!((finite("-12.5e2").to_f64() + 1250.0).abs() < 1e-9);
        assert!(finite("5.00").is_whole() && finite("0").is_whole() && finite("1e3").is_whole());
        assert!(!finite("5.5").is_whole() && !finite("1e-3").is_whole());
    }

    proptest! {
        #[test]
        fn it_orders_as_integers_do(a in any::<i64>(), b in any::<i64>()) {
            let read = |n: i64| integer().read(&n.to_string()).unwrap();
            prop_assert_eq!(read(a).partial_cmp(&read(b)), a.partial_cmp(&b));
        }

        #[test]
        fn the_same_number_has_the_same_key(a in any::<i32>(), zeros in 0usize..5) {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            number().read(&format!("{a}.{}", "0".repeat(zeros + 1))).unwrap().key(&mut one);
            number().read(&format!("{a}e0")).unwrap().key(&mut other);
            prop_assert_eq!(one, other);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,20}", bare in any::<bool>()) {
            let format = NumberFormat { bare, group: Some(",".into()), decimal: Some(".".into()) };
            let _ = format.read(&text);
        }
    }
}
