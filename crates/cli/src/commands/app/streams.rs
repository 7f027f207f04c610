//! Where a stand-alone app reads from and writes to.

use super::args::Streams;
use handover_core::{Checksum, Error, Result};
use handover_file::AtomicFile;
use handover_records::FileKind;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) fn reads_stdin(streams: &Streams) -> bool {
    streams.input.as_deref().is_none_or(|path| path == Path::new("-"))
}

/// The extension of a file's name: its longest ending that names a format, else what follows its first dot.
pub(super) fn extension_of(path: &Path) -> String {
    let Some(name) = path.file_name().and_then(std::ffi::OsStr::to_str) else { return String::new() };
    let name = name.trim_start_matches('.');
    let endings = || name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
    let known = endings().find(|ext| FileKind::of_ext(ext).is_some());
    known.or_else(|| endings().next()).unwrap_or_default().to_owned()
}

/// An input, and its size where that is known.
pub(super) struct Input {
    pub(super) bytes: Box<dyn Read + Send>,
    pub(super) size: Option<u64>,
}

/// Opens the input.
///
/// # Errors
/// Where it cannot be read, or is a folder.
pub(super) fn open_input(streams: &Streams) -> Result<Input> {
    match streams.input.as_deref() {
        Some(path) if !reads_stdin(streams) => {
            let file = File::open(path).map_err(|error| Error::io("read", path.display(), error))?;
            let metadata = file.metadata().ok();
            if metadata.as_ref().is_some_and(std::fs::Metadata::is_dir) {
                return Err(Error::config("the input is a folder, and a file is wanted").on(path.display()));
            }
            let size = metadata.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
            Ok(Input { bytes: Box::new(file), size })
        }
        _ => {
            let stdin = io::stdin();
            if stdin.is_terminal() && !streams.quiet {
                let _ = writeln!(io::stderr(), "reading standard input; end it with Ctrl-D");
            }
            Ok(Input { bytes: Box::new(stdin), size: None })
        }
    }
}

/// Standard output that remembers whether its reader has gone.
pub(super) struct Stdout<'a, W: Write> {
    pub(super) out: W,
    pub(super) reader_gone: &'a AtomicBool,
}

impl<W: Write> Stdout<'_, W> {
    fn noting<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            self.reader_gone.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl<W: Write> Write for Stdout<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.noting(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.noting(result)
    }
}

/// A file that is written and hashed.
pub(super) struct Hashed {
    file: AtomicFile,
    hasher: Sha256,
    bytes: u64,
}

impl Hashed {
    /// Begins to write `path`.
    ///
    /// # Errors
    /// As [`AtomicFile::create`].
    pub(super) fn create(path: &Path) -> Result<Self> {
        Ok(Self { file: AtomicFile::create(path)?, hasher: Sha256::new(), bytes: 0 })
    }

    /// Gives the file its name; with `verify` it is read again and compared with what was written.
    ///
    /// # Errors
    /// Where it cannot be written out, or is not what was written.
    pub(super) fn commit(self, path: &Path, verify: bool) -> Result<()> {
        self.file.commit()?;
        if !verify || !path.is_file() {
            return Ok(());
        }
        let wrote = (self.bytes, Checksum(self.hasher.finalize().into()));
        if handover_file::read::check_hash(&std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))?
            == wrote
        {
            return Ok(());
        }
        Err(Error::new(handover_core::ErrorKind::Io, "the export is not what was written")
            .on(path.display())
            .hint("the disk or the network changed it; export it again"))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_what_names_a_format() {
        for (name, ext) in [
            ("in.csv", "csv"),
            ("a/b.2024.csv.gz", "csv.gz"),
            (".hidden.json", "json"),
            ("x.tar.gz", "tar.gz"),
            ("ä.b", "b"),
            ("none", ""),
            (".csv", ""),
        ] {
            assert_eq!(extension_of(Path::new(name)), ext, "{name}");
        }
    }
}
