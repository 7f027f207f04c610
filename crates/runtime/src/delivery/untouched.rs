//! Whether a program left its input alone: it is a published file, which others may still read and which a replay
//! runs on. Two looks at its size and times, before and after; on a crash nothing is left.

use handover_core::{Error, ErrorKind, Result, path_text};
use handover_file::arrive::Candidate;
use handover_file::layout::DataDir;
use std::path::Path;

/// The input as it was before the program ran.
pub(super) struct Untouched(Option<Candidate>);

impl Untouched {
    /// Looks at the input; a copy of this process's own is not looked at.
    pub(super) fn before(data: &DataDir, input: Option<&Path>) -> Self {
        let published = input.filter(|path| !path.starts_with(data.tmp_dir()));
        Self(published.and_then(|path| Candidate::look(path).ok()))
    }

    /// Looks again. A note where the input is gone: what the program made of it counts.
    ///
    /// # Errors
    /// [`ErrorKind::BadData`] where it was changed: it is not the file any more that its manifest speaks of.
    pub(super) fn after(&self, data: &DataDir) -> Result<Option<String>> {
        let Some(before) = &self.0 else { return Ok(None) };
        let shown = data.relative(&before.path).unwrap_or_else(|| path_text::to_text(&before.path));
        let changed = || {
            Error::bad_data("the program changed its input, so what it made of it is not believed").on(&shown).hint(
                "let it write to {output} and leave {input} alone; a replay of the delivery before makes the input anew",
            )
        };
        match Candidate::look(&before.path) {
            Ok(now) => {
                let same = (now.device, now.inode, now.size, now.mtime)
                    == (before.device, before.inode, before.size, before.mtime);
                if same { Ok(None) } else { Err(changed()) }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Ok(Some(format!("the program removed its input, {shown}: nothing else can read it any more")))
            }
            Err(e) if e.kind() == ErrorKind::BadData => Err(changed()),
            Err(e) => Err(e),
        }
    }
}
