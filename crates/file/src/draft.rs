//! A draft: a file that is being written and that nobody sees yet. Finished, it is [`Written`] and can be
//! published.
//!
//! Invariants: bytes are written, hashed and counted in one pass; a draft has the permissions of any new file
//! (0666 less the umask), never those of a secret one; dropping a draft or a `Written` that was not published
//! removes the file. After a crash the file stays under its holder's name until [`crate::lock::sweep`] finds
//! that holder dead.
//!
//! A program may write a draft instead of us, through its standard output ([`Draft::stdio`]) or at its path
//! ([`Draft::path`]), and may do there what programs do: replace it by rename, delete it, link it. What it left
//! is judged by [`Draft::measure`].

use crate::layout::DataDir;
use crate::measure::{Measure, Measured};
use crate::place::{create_dirs, io_error, is_same, open_regular, show};
use crate::temp::{TempNames, TempPath, holder_is_plain};
use crate::writeback;
use handover_core::{Checksum, CountRows, Error, ErrorKind, HolderId, Result};
use read_back::ReadBack;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::OnceLock;

mod read_back;

const BUFFER_BYTES: usize = 128 * 1024;
/// What is read first of a file.
const SMALL_BUFFER_BYTES: usize = 8 * 1024;
/// So much is given to the disk at a time.
const WRITEBACK_BYTES: u64 = 8 * 1024 * 1024;

/// The permissions that a new file gets here (0666 less the umask), learnt from the first one made.
static NEW_FILE_MODE: OnceLock<u32> = OnceLock::new();

/// Creates a file that is not there yet, to read and write, with the usual permissions.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o666).open(path)?;
    if NEW_FILE_MODE.get().is_none() {
        let _ = NEW_FILE_MODE.set(file.metadata()?.mode() & 0o777);
    }
    Ok(file)
}

/// A file that is being written. [`Write`] buffers, hashes and counts.
#[derive(Debug)]
pub struct Draft {
    temp: TempPath,
    names: TempNames,
    ext: String,
    /// None while the file has not been made.
    file: Option<File>,
    buffer: Vec<u8>,
    measure: Measure,
    /// So many bytes were written.
    standing: u64,
    /// So many bytes are on their way to the disk.
    begun: u64,
    broken: bool,
    verify: Verify,
    read_back: Option<ReadBack>,
}

/// Whether what was written is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    No,
    /// It is, and compared.
    Yes,
    /// It is, and was known before it was written: it is not hashed then.
    As(Measured),
}

/// A draft that is finished: what it holds is known. Dropping it removes the file.
#[derive(Debug)]
pub struct Written {
    /// Size in bytes.
    pub file_size: u64,
    /// SHA-256.
    pub checksum: Checksum,
    /// Rows, where somebody counted them.
    pub row_count: Option<u64>,
    pub(crate) temp: TempPath,
    pub(crate) names: TempNames,
    pub(crate) file: File,
    ext: String,
}

impl DataDir {
    /// A new draft in `.handover/tmp`; `ext` is the extension that its file will have.
    ///
    /// # Errors
    /// Where the file cannot be created; [`ErrorKind::NotYet`] where the disk is full.
    pub fn draft(&self, holder: &HolderId, ext: &str) -> Result<Draft> {
        let mut draft = self.draft_path(holder, ext)?;
        draft.create()?;
        Ok(draft)
    }

    /// A draft whose file is not made: a path for a program that wants to create its output itself. If it
    /// creates none, the draft is an empty file.
    ///
    /// # Errors
    /// Where the holder's name cannot stand in a file's name.
    pub fn draft_path(&self, holder: &HolderId, ext: &str) -> Result<Draft> {
        Draft::named(TempNames::apart(self.tmp_dir(), holder), ext)
    }
}

impl Draft {
    /// A new draft in the folder where it will be published, under a dot name: for a folder on another file
    /// system than the data directory. The folder is created where it is missing.
    ///
    /// # Errors
    /// Where the folder or the file cannot be created; [`ErrorKind::NotYet`] where the disk is full.
    pub fn beside(dir: &Path, holder: &HolderId, ext: &str) -> Result<Draft> {
        create_dirs(dir)?;
        let mut draft = Self::named(TempNames::beside(dir, holder), ext)?;
        draft.create()?;
        Ok(draft)
    }

    pub(crate) fn named(names: TempNames, ext: &str) -> Result<Self> {
        if !holder_is_plain(names.holder()) {
            return Err(Error::internal(format!("{:?} cannot be a holder's name", names.holder().0)));
        }
        handover_core::name::check_ext(ext)?;
        Ok(Self {
            temp: names.next(ext),
            names,
            ext: ext.to_owned(),
            file: None,
            buffer: Vec::new(),
            measure: Measure::default(),
            standing: 0,
            begun: 0,
            broken: false,
            verify: Verify::No,
            read_back: None,
        })
    }

    /// Counts rows with this counter. To be called before anything is written.
    #[must_use]
    pub fn counting(mut self, rows: Option<Box<dyn CountRows>>) -> Self {
        self.measure = Measure::counting(rows);
        self
    }

    /// Reads again what was written, and compares it: what does not fit into the draft's buffer while it is written, behind the
    /// writer, and a small file at the end.
    #[must_use]
    pub fn verified(self) -> Self {
        Self { verify: Verify::Yes, ..self }
    }

    /// What will be written is known, byte for byte, as whoever writes it reads it from what is checked against this: a copy of a
    /// checked input. It is not hashed then, but read again and compared as [`Draft::verified`] says, and its size has to be this.
    #[must_use]
    pub fn verified_as(self, file_size: u64, checksum: Checksum) -> Self {
        Self { verify: Verify::As(Measured { file_size, checksum, row_count: None }), ..self }
    }

    fn create(&mut self) -> Result<()> {
        let file = create_file(self.path()).map_err(|e| io_error("create", self.path(), e))?;
        self.file = Some(file);
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// The extension it was made for.
    pub fn ext(&self) -> &str {
        &self.ext
    }

    /// How many bytes were written through it so far.
    pub fn bytes_written(&self) -> u64 {
        self.standing + self.buffer.len() as u64
    }

    /// The file, for a child process to use as its standard output.
    ///
    /// # Errors
    /// Where the file cannot be made or its handle cannot be copied.
    pub fn stdio(&mut self) -> Result<File> {
        if self.file.is_none() {
            self.create()?;
        }
        match &self.file {
            Some(file) => file.try_clone().map_err(|e| io_error("open again", self.path(), e)),
            None => Err(Error::internal("a draft has no file")),
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let put = self.put(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        put
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        self.file()?.write_all(bytes).inspect_err(|_| self.broken = true)?;
        self.standing += bytes.len() as u64;
        if self.is_hashed() {
            self.measure.push(bytes);
        }
        if let Some(read_back) = &mut self.read_back {
            read_back.written(bytes);
        }
        self.begin_writeback();
        Ok(())
    }

    /// The file, which is made where there is none.
    fn file(&mut self) -> io::Result<&mut File> {
        match self.file {
            Some(ref mut file) => Ok(file),
            None => Ok(self.file.insert(create_file(self.temp.path())?)),
        }
    }

    /// What was known before is hashed in a debug build alone, to be found out where it is something else.
    fn is_hashed(&self) -> bool {
        !matches!(self.verify, Verify::As(_)) || cfg!(debug_assertions)
    }

    /// There is more than the buffer holds: has what will stand in the file read as it is written. Where that cannot begin, it is
    /// read at the end.
    fn begin_read_back(&mut self) -> io::Result<()> {
        if self.verify != Verify::No && self.read_back.is_none() && self.standing == 0 {
            self.file()?;
            self.read_back = ReadBack::begin(self.temp.path()).ok();
        }
        Ok(())
    }

    /// Has the disk work while the rest is made, so that the sync at the end has little left to wait for.
    fn begin_writeback(&mut self) {
        let written = self.standing;
        if let (Some(file), true) = (&self.file, written - self.begun >= WRITEBACK_BYTES) {
            writeback::begin(file, self.begun, written - self.begun);
            self.begun = written;
        }
    }

    /// Ends what was written through the draft. What it holds is on the disk only when it is published.
    ///
    /// # Errors
    /// [`ErrorKind::NotYet`] where the disk is full; [`ErrorKind::Internal`] where somebody else wrote the file;
    /// [`ErrorKind::Io`] where it is to be verified and something else comes back than what was written.
    pub fn finish(mut self) -> Result<Written> {
        self.spill().map_err(|e| io_error("write", self.path(), e))?;
        if self.file.is_none() {
            self.create()?;
        }
        let Some(file) = self.file.take() else { return Err(Error::internal("a draft has no file")) };
        let meta = file.metadata().map_err(|e| io_error("look at", self.path(), e))?;
        let measured = self.measured()?;
        if meta.len() != self.standing || !is_same(self.path(), &file) {
            return Err(Error::internal("somebody else has written a draft of ours").on(show(self.path())));
        }
        let (verify, read_back) = (self.verify, self.read_back.take());
        let written = self.into_written(file, measured);
        match read_back.map(ReadBack::finish) {
            Some(Ok(true)) => {}
            Some(Ok(false)) => return Err(written.came_back_different()),
            Some(Err(error)) => return Err(io_error("read", written.path(), error)),
            None if verify != Verify::No => written.read_again()?,
            None => {}
        }
        Ok(written)
    }

    /// What was written.
    fn measured(&mut self) -> Result<Measured> {
        let hashed = self.is_hashed();
        let found = std::mem::take(&mut self.measure).finish();
        let Verify::As(known) = self.verify else { return Ok(found) };
        if known.file_size != self.standing || hashed && known.checksum != found.checksum {
            return Err(Error::internal("a copy of a checked input is something else").on(show(self.path())));
        }
        Ok(known)
    }

    /// Ends a draft that a program wrote: reads it once, to hash and count it. A file that the program put in
    /// its place is taken too, with the usual permissions; one that has other names is copied, so that nobody
    /// can change it by them.
    ///
    /// # Errors
    /// [`ErrorKind::Program`] where the program left something else than a file, or deleted it;
    /// [`ErrorKind::NotYet`] where it is still being written.
    pub fn measure(mut self) -> Result<Written> {
        let ours = self.file.take();
        let (file, meta) = match open_regular(self.path()) {
            Ok(opened) => opened,
            Err(e) if e.kind() == ErrorKind::NotFound && ours.is_none() => {
                self.create()?;
                return self.finish();
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(Error::new(ErrorKind::Program, "the program deleted its output")
                    .on(show(self.path()))
                    .hint("a program may replace its output file, but has to leave one"));
            }
            Err(e) if e.kind() == ErrorKind::BadData => {
                return Err(Error::new(ErrorKind::Program, "the program left no regular file as its output")
                    .because(e.to_string())
                    .hint("write the output to the path that {output} gives, as a plain file"));
            }
            Err(e) => return Err(e),
        };
        let measure = std::mem::take(&mut self.measure);
        if meta.nlink() > 1 {
            return self.copy_of(file, measure);
        }
        let same = ours.is_some_and(|ours| is_same(self.path(), &ours));
        let mode = NEW_FILE_MODE.get().copied().unwrap_or(0o644);
        if !same && meta.mode() & 0o7777 != mode {
            file.set_permissions(Permissions::from_mode(mode))
                .map_err(|e| io_error("set the permissions of", self.path(), e))?;
        }
        let measured = read_steady(&file, &meta, self.path(), measure)?;
        Ok(self.into_written(file, measured))
    }

    /// A draft of its own with the same bytes.
    fn copy_of(self, mut file: File, measure: Measure) -> Result<Written> {
        let mut copy = Draft { measure, ..Draft::named(self.names.clone(), &self.ext)? };
        io::copy(&mut file, &mut copy).map_err(|e| io_error("copy", self.path(), e))?;
        copy.finish()
    }

    fn into_written(self, file: File, measured: Measured) -> Written {
        let Measured { file_size, checksum, row_count } = measured;
        Written { file_size, checksum, row_count, temp: self.temp, names: self.names, file, ext: self.ext }
    }
}

/// Reads a file through a measure and sees to it that it did not change meanwhile.
fn read_steady(file: &File, before: &fs::Metadata, path: &Path, mut measure: Measure) -> Result<Measured> {
    let mut file = file;
    read_chunks(&mut file, |bytes| measure.push(bytes)).map_err(|e| io_error("read", path, e))?;
    let after = file.metadata().map_err(|e| io_error("look at", path, e))?;
    let stamp = |meta: &fs::Metadata| (meta.len(), meta.mtime(), meta.mtime_nsec());
    if stamp(before) != stamp(&after) || measure.file_size() != after.len() {
        return Err(Error::new(ErrorKind::NotYet, "the output changed while it was read")
            .on(show(path))
            .hint(
                "the program or a child of it is still writing; it has to end before its output is taken",
            ));
    }
    Ok(measure.finish())
}

/// Reads to the end in chunks. The large buffer is made only for what does not fit into the small one: clearing it costs
/// more than reading a small file.
pub(crate) fn read_chunks(source: &mut impl Read, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut small = [0u8; SMALL_BUFFER_BYTES];
    let mut large = Vec::new();
    let mut seen = 0;
    loop {
        if seen >= SMALL_BUFFER_BYTES && large.is_empty() {
            large.resize(BUFFER_BYTES, 0);
        }
        let buffer = if large.is_empty() { &mut small[..] } else { &mut large[..] };
        match source.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                each(&buffer[..n]);
                seen += n;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.begin_read_back()?;
            self.spill()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.put(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.spill()
    }
}

impl Written {
    /// Where it is until it is published.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// The extension it was made for.
    pub fn ext(&self) -> &str {
        &self.ext
    }

    /// A copy in another folder, under a dot name: for a folder on another file system, or for one more destination.
    ///
    /// # Errors
    /// Where it cannot be read or written; [`ErrorKind::Io`] where it changed meanwhile.
    pub fn copy_to(&self, dir: &Path) -> Result<Written> {
        let mut copy = Draft::beside(dir, self.names.holder(), &self.ext)?;
        let (mut file, _) = open_regular(self.path())?;
        io::copy(&mut file, &mut copy).map_err(|e| io_error("copy", copy.path(), e))?;
        let copy = copy.finish()?;
        if copy.checksum != self.checksum {
            return Err(
                Error::new(ErrorKind::Io, "a draft changed while it was copied").on(show(self.path()))
            );
        }
        Ok(Written { row_count: self.row_count, ..copy })
    }

    /// Reads the file again and compares it with what was written.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where it is not the same: a retry writes it anew.
    pub fn read_again(&self) -> Result<()> {
        if crate::read::check_hash(self.path())? != (self.file_size, self.checksum) {
            return Err(self.came_back_different());
        }
        Ok(())
    }

    fn came_back_different(&self) -> Error {
        Error::new(ErrorKind::Io, "what was written is not what comes back from the disk")
            .on(show(self.path()))
            .hint("the disk or the network changed it; it is written again")
    }
}

#[cfg(test)]
mod tests;
