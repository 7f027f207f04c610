//! A temporary folder that vanishes when the test ends.

use std::path::{Path, PathBuf};

/// A temporary folder; it and all in it are removed when this is dropped.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// A new, empty folder.
    ///
    /// # Panics
    /// Where the system gives none.
    #[allow(clippy::expect_used)]
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("handover-test-").tempdir().expect("a temporary folder"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of something in it, which need not exist.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in it, with the folders above, and gives its path.
    ///
    /// # Panics
    /// Where it cannot be written.
    #[allow(clippy::expect_used, clippy::disallowed_methods)]
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above).expect("a folder for a test's file");
        }
        std::fs::write(&path, content).expect("a test's file");
        path
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_vanishes_with_what_is_in_it() {
        let folder = Folder::new();
        let file = folder.write("a/b.txt", "hello");
        assert_eq!(std::fs::read(&file).unwrap(), b"hello");
        drop(folder);
        assert!(!file.exists());
    }
}
