//! "Did you mean …?": the nearest of the known words.

/// Words that begin with so many of the same letters may differ more: `retry` is `retries`.
const PREFIX_MIN: usize = 4;

fn common_prefix(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count()
}

/// So many letters that only one known word begins with are taken for the beginning of that word.
const BEGINNING_MIN: usize = 3;

/// The known word nearest to `given`, if one is near enough to have been meant; else the only one that begins so.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .copied()
        .map(|word| (strsim::damerau_levenshtein(given, word), word))
        .filter(|(distance, word)| {
            *distance <= (given.len().max(word.len()) / 3).max(1)
                || (*distance <= 3 && common_prefix(given, word) >= PREFIX_MIN)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word);
    near.or_else(|| beginning(given, &known))
}

fn beginning<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let mut begin = known.iter().filter(|word| given.len() >= BEGINNING_MIN && word.starts_with(given));
    match (begin.next(), begin.next()) {
        (Some(word), None) => Some(word),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_a_stranger_is_not() {
        assert_eq!(nearest("retires", ["retries", "timeout"]), Some("retries"));
        assert_eq!(nearest("retry", ["retries", "timeout"]), Some("retries"));
        assert_eq!(nearest("colour", ["retries", "timeout"]), None);
        assert_eq!(nearest("max", ["max_error_rate", "schema"]), Some("max_error_rate"));
        assert_eq!(nearest("max", ["max_error_rate", "max_size"]), None);
    }
}
