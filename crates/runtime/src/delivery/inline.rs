//! Results of jobs that are kept in the row: what an app made for whoever submitted the job, where no flow leads on and it is
//! small. Nothing is published then and no name is reserved, so nothing has to reach the disk but the row.
//!
//! On a crash before the row is completed the job runs again, as any other.

use super::Attempt;
use crate::config::Hop;
use handover_core::limits::RESULT_INLINE_MAX_BYTES;
use handover_core::{Checksum, Error, Result, media};
use handover_file::draft::Written;
use handover_file::measure::Measure;
use serde::Serialize;

/// An output as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Inline {
    media_type: String,
    size: u64,
    checksum: Checksum,
    #[serde(flatten)]
    content: Content,
}

/// The bytes: as a text where they are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Text(String),
    Base64(String),
}

impl Inline {
    fn new(media_type: String, checksum: Checksum, bytes: Vec<u8>) -> Self {
        let size = bytes.len() as u64;
        let content = match String::from_utf8(bytes) {
            // PostgreSQL's JSON holds no NUL.
            Ok(text) if !text.contains('\0') => Content::Text(text),
            Ok(text) => Content::Base64(base64(text.as_bytes())),
            Err(e) => Content::Base64(base64(e.as_bytes())),
        };
        Self { media_type, size, checksum, content }
    }

    /// A text that was made here.
    pub(crate) fn of_text(media_type: &str, text: String) -> Self {
        let mut measure = Measure::default();
        measure.push(text.as_bytes());
        Self::new(media_type.to_owned(), measure.finish().checksum, text.into_bytes())
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Whether so much is kept in the row.
pub(crate) fn is_small(bytes: u64) -> bool {
    bytes <= RESULT_INLINE_MAX_BYTES
}

impl Attempt {
    /// Whether what it makes is kept in the row, if it is small: somebody waits for it, and no flow leads on.
    pub(super) fn keeps_small(&self, hops: &[Hop]) -> bool {
        self.is_submitted() && hops.is_empty()
    }

    /// A small output as it is kept in the row. `media_type` is what it is, where that is known better than by its extension.
    ///
    /// # Errors
    /// Where it cannot be read, or has changed meanwhile.
    pub(super) fn inline(written: &Written, media_type: Option<&str>) -> Result<Inline> {
        // The draft was made just now, and is at most so large: it is read from memory.
        let bytes =
            std::fs::read(written.path()).map_err(|e| Error::io("read", written.path().display(), e))?;
        if bytes.len() as u64 != written.file_size {
            return Err(Error::internal("a draft changed while it was read").on(written.path().display()));
        }
        let media_type = media_type.unwrap_or_else(|| media::of_extension(written.ext()));
        Ok(Inline::new(media_type.to_owned(), written.checksum, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_kept_as_it_is_and_bytes_as_base64() {
        let text = serde_json::to_value(Inline::of_text("text/csv", "a,b\n1,é\n".into())).unwrap();
        assert_eq!((&text["text"], &text["size"]), (&json!("a,b\n1,é\n"), &json!(9)));
        assert!(text["checksum"].as_str().unwrap().starts_with("sha256:"), "{text}");
        for (bytes, base64) in [(&b"\xff\xfe\x00"[..], "//4A"), (b"a\0b", "YQBi"), (b"\xff", "/w==")] {
            let kept = Inline::new("image/png".into(), Checksum([0; 32]), bytes.to_vec());
            let kept = serde_json::to_value(kept).unwrap();
            assert_eq!((&kept["base64"], &kept["text"]), (&json!(base64), &json!(null)));
        }
    }
}
