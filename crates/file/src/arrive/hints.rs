//! What a foreign file's name gives away: the date of its data and its extension.
//!
//! Nothing here fails: a name that says nothing gives the modification time's date and the extension `dat`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The extension of a file whose name has none that can be used.
pub const EXT_UNKNOWN: &str = "dat";
const EXT_MAX_BYTES: usize = 16;

/// Endings that wrap another format, so that the extension has two parts.
const WRAPPERS: [&str; 9] = ["gz", "zst", "bz2", "xz", "br", "lz4", "zip", "gpg", "age"];
/// What they are known to wrap.
const WRAPPED: [&str; 16] = [
    "csv", "tsv", "psv", "txt", "json", "ndjson", "jsonl", "xml", "log", "tar", "sql", "parquet", "avro",
    "orc", "yaml", "dump",
];

/// The date of a file: the first real date in its name, as YYYY-MM-DD or as YYYYMMDD standing alone, otherwise the
/// date of its modification time in `zone`.
pub fn date_of(path: &Path, mtime: Timestamp, zone: &TimeZone) -> Date {
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    if let Some(date) = date_in(name) {
        return date;
    }
    let date = mtime.to_zoned(zone.clone()).date();
    // Years that do not have four digits would not fit into a file's name.
    if date.year() < 1 { Date::constant(1, 1, 1) } else { date }
}

fn date_in(name: &[u8]) -> Option<Date> {
    (0..name.len()).find_map(|at| dashed(name, at).or_else(|| compact(name, at)))
}

fn dashed(name: &[u8], at: usize) -> Option<Date> {
    let text = name.get(at..at + 10)?;
    let shaped =
        text.iter().enumerate().all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() });
    let alone = !digit_before(name, at) && !name.get(at + 10).is_some_and(u8::is_ascii_digit);
    if !shaped || !alone {
        return None;
    }
    date(&text[..4], &text[5..7], &text[8..])
}

/// Eight digits with neither letters nor digits beside them; a `T` and the time may follow, as ISO 8601 has it.
fn compact(name: &[u8], at: usize) -> Option<Date> {
    let text = name.get(at..at + 8)?;
    let before = at.checked_sub(1).and_then(|i| name.get(i));
    let after = name.get(at + 8);
    let time_follows = after == Some(&b'T') && name.get(at + 9).is_some_and(u8::is_ascii_digit);
    let alone = !before.is_some_and(u8::is_ascii_alphanumeric)
        && (time_follows || !after.is_some_and(u8::is_ascii_alphanumeric));
    if !alone || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    date(&text[..4], &text[4..6], &text[6..]).filter(|date| (1900..2200).contains(&date.year()))
}

fn digit_before(name: &[u8], at: usize) -> bool {
    at > 0 && name[at - 1].is_ascii_digit()
}

fn date(year: &[u8], month: &[u8], day: &[u8]) -> Option<Date> {
    let number = |digits: &[u8]| digits.iter().fold(0i16, |sum, d| sum * 10 + i16::from(d - b'0'));
    let date = Date::new(number(year), number(month) as i8, number(day) as i8).ok()?;
    (date.year() > 0).then_some(date)
}

/// The extension of a file by the naming convention, in lower case: `csv`, or `csv.gz` where a known format is
/// wrapped in a known compression; `dat` where the name has none that can be used.
pub fn ext_of(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    split_ext(&name).map_or(EXT_UNKNOWN, |(_, ext)| ext).to_owned()
}

/// The name before its extension, where it has one that can be used; the same bytes as in the name.
pub(crate) fn stem_of(name: &[u8]) -> &[u8] {
    let text = String::from_utf8_lossy(name).to_ascii_lowercase();
    // The extension is ASCII, so it is as long in the name as in its text.
    split_ext(&text).map_or(name, |(_, ext)| &name[..name.len() - ext.len() - 1])
}

fn split_ext(name: &str) -> Option<(&str, &str)> {
    let (stem, last) = name.rsplit_once('.')?;
    if stem.is_empty() || !usable(last) {
        return None;
    }
    if WRAPPERS.contains(&last)
        && let Some((inner_stem, inner)) = stem.rsplit_once('.')
        && !inner_stem.is_empty()
        && WRAPPED.contains(&inner)
    {
        return Some((inner_stem, &name[inner_stem.len() + 1..]));
    }
    Some((stem, last))
}

fn usable(ext: &str) -> bool {
    !ext.is_empty() && ext.len() <= EXT_MAX_BYTES && ext.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_date_in_the_name_is_the_date_and_otherwise_the_time_in_the_zone() {
        let mtime: Timestamp = "2025-11-24T23:30:00Z".parse().unwrap();
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        for (name, date) in [
            ("sales_2024-02-29.csv", "2024-02-29"),
            ("sales-20240229.csv", "2024-02-29"),
            ("20240229T101500.csv", "2024-02-29"),
            ("x2024-02-29y.csv", "2024-02-29"),
            ("sales_2023-02-29.csv", "2025-11-25"),
            ("sales_2023-02-29_2024-02-29.csv", "2024-02-29"),
            ("12024-02-29.csv", "2025-11-25"),
            ("order-1202402290.csv", "2025-11-25"),
            ("deadbeef20240229.csv", "2025-11-25"),
            ("99999999.csv", "2025-11-25"),
            ("2013", "2025-11-25"),
            ("sales.csv", "2025-11-25"),
        ] {
            assert_eq!(date_of(Path::new(name), mtime, &berlin).to_string(), date, "{name}");
        }
        assert_eq!(date_of(Path::new("sales.csv"), mtime, &TimeZone::UTC).to_string(), "2025-11-24");
        assert_eq!(date_of(Path::new("x"), Timestamp::MIN, &TimeZone::UTC).to_string(), "0001-01-01");
    }

    #[test]
    fn an_extension_may_be_compound_and_an_unusable_one_is_dat() {
        for (name, ext) in [
            ("a.csv", "csv"),
            ("a.CSV", "csv"),
            ("a.csv.gz", "csv.gz"),
            ("a.NDJSON.Zst", "ndjson.zst"),
            ("backup.tar.gz", "tar.gz"),
            ("v1.2.gz", "gz"),
            ("a.b.csv", "csv"),
            ("README", "dat"),
            (".csv", "dat"),
            ("a.", "dat"),
            ("a.2025-11-24", "dat"),
            ("a.c\nv", "dat"),
            ("a.thisextensionisfartoolong", "dat"),
        ] {
            assert_eq!(ext_of(Path::new(name)), ext, "{name:?}");
        }
        assert_eq!(stem_of(b"A\xff.CSV.gz"), b"A\xff");
    }

    proptest! {
        #[test]
        fn any_name_gives_a_usable_date_and_extension(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let path = std::path::PathBuf::from(OsString::from_vec(bytes));
            prop_assert!(handover_core::name::check_ext(&ext_of(&path)).is_ok());
            let date = date_of(&path, Timestamp::UNIX_EPOCH, &TimeZone::UTC);
            prop_assert_eq!(date.to_string().len(), 10);
            let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
            prop_assert!(name.starts_with(stem_of(name)));
        }
    }
}
