//! Media types (RFC 6838) and the extensions that files of them have. There is no I/O.

/// Extensions with their media types; of several for one, the first counts.
const KNOWN: &[(&str, &str)] = &[
    ("csv", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("json", "application/json"),
    ("ndjson", "application/x-ndjson"),
    ("jsonl", "application/x-ndjson"),
    ("ndjson", "application/ndjson"),
    ("ndjson", "application/jsonl"),
    ("txt", "text/plain"),
    ("html", "text/html"),
    ("md", "text/markdown"),
    ("xml", "application/xml"),
    ("xml", "text/xml"),
    ("yaml", "application/yaml"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("svg", "image/svg+xml"),
    ("parquet", "application/vnd.apache.parquet"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("zst", "application/zstd"),
];

/// What it is where nothing is known of it.
pub const BYTES: &str = "application/octet-stream";

/// A media type without its parameters, in lower case: what two of them are compared by.
pub fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a text has the form of a media type: `type/subtype`, with parameters or without; `type/*` is a range of them.
pub fn is_media_type(text: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b))
    };
    essence(text).split_once('/').is_some_and(|(kind, subtype)| word(kind) && word(subtype))
}

/// The extension of files of this media type.
pub fn extension(media_type: &str) -> Option<&'static str> {
    let essence = essence(media_type);
    KNOWN.iter().find(|(_, known)| *known == essence).map(|(ext, _)| *ext)
}

/// The media type of a file with this extension, which may be compound (`csv.gz`).
pub fn of_extension(ext: &str) -> &'static str {
    let last = ext.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    KNOWN.iter().find(|(known, _)| *known == last).map_or(BYTES, |(_, media_type)| media_type)
}

/// Whether `range`, which may be `text/*` or `*/*`, takes this media type.
pub fn takes(range: &str, media_type: &str) -> bool {
    let (range, given) = (essence(range), essence(media_type));
    match range.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => given.split_once('/').is_some_and(|(of, _)| of == kind),
        None => range == given || extension(&range).is_some_and(|ext| extension(&given) == Some(ext)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_and_extensions_lead_to_one_another() {
        assert_eq!(extension("text/csv; charset=utf-8"), Some("csv"));
        assert_eq!(extension("Application/JSON"), Some("json"));
        assert_eq!(
            (of_extension("csv.gz"), of_extension("jsonl")),
            ("application/gzip", "application/x-ndjson")
        );
        assert_eq!((extension("text/x-odd"), of_extension("odd")), (None, BYTES));
    }

    #[test]
    fn ranges_take_what_lies_in_them() {
        assert!(
            takes("text/*", "text/csv")
                && takes("*/*", "image/png")
                && takes("text/csv", "TEXT/CSV; header=present")
        );
        assert!(takes("application/ndjson", "application/x-ndjson"), "two names of one thing");
        assert!(!takes("text/*", "application/json") && !takes("text/csv", "text/plain"));
        assert!(is_media_type("text/csv; charset=utf-8") && is_media_type("text/*"));
        assert!(!is_media_type("csv") && !is_media_type("text/") && !is_media_type("a b/c"));
    }
}
