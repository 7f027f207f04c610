//! The steps of the protocol, each for all files of a group before the next.
//!
//! Invariant: a job that has failed takes part in no later step, and has been undone. A crash between two steps
//! is the protocol's business: see [`crate::publish`].

use super::take_back::{Identity, identity};
use super::{AskLease, Outcome, Owner, PublishRequest, Published, Unpublished, manifest_name};
use crate::draft::Written;
use crate::layout::exists;
use crate::place::{self, KnownFolders, io_error, is_same, move_new, show};
use crate::temp::TempPath;
use crate::writeback;
use handover_core::{Error, ErrorKind, Manifest, Result, fault};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where a job's data file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// Under its temporary name.
    No,
    /// At its name, where nothing was.
    New,
    /// At its name; what was there has the temporary name.
    Exchanged,
}

/// One file on its way.
pub(super) struct Job {
    pub(super) written: Written,
    pub(super) folder: PathBuf,
    name: String,
    pub(super) stem: String,
    pub(super) manifest: Manifest,
    pub(super) fresh: bool,
    pub(super) may_replace: AskLease,
    may_publish: AskLease,
    pub(super) owner: Owner,
    pub(super) target: PathBuf,
    pub(super) manifest_path: PathBuf,
    pub(super) placed: Placed,
    pub(super) replaced: bool,
    /// The manifest of an earlier attempt, out of sight until the new one stands.
    pub(super) old_manifest: Option<TempPath>,
    /// The data file of an earlier attempt that had another extension.
    pub(super) old_data: Option<PathBuf>,
    new_manifest: Option<(TempPath, File)>,
    manifest_identity: Option<Identity>,
    published: bool,
    error: Option<Error>,
}

impl Job {
    pub(super) fn new(request: PublishRequest) -> Self {
        let PublishRequest { written, folder, name, stem, manifest, fresh, may_replace, may_publish } =
            request;
        let (target, manifest_path) = (folder.join(&name), folder.join(manifest_name(&stem)));
        let owner = Owner::of(&manifest);
        Self {
            written,
            folder,
            name,
            stem,
            manifest,
            fresh,
            may_replace,
            may_publish,
            owner,
            target,
            manifest_path,
            placed: Placed::No,
            replaced: false,
            old_manifest: None,
            old_data: None,
            new_manifest: None,
            manifest_identity: None,
            published: false,
            error: None,
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match self.error {
            None => Ok(Published {
                path: self.target,
                manifest_path: self.manifest_path,
                manifest: self.manifest,
                replaced: self.replaced,
                identities: (identity(&self.written.file), self.manifest_identity),
                names: self.written.names.clone(),
            }),
            Some(error) => {
                let whole = self.placed == Placed::No;
                Err(Unpublished { error, written: whole.then(|| Box::new(self.written)) })
            }
        }
    }

    fn attempt(&mut self, step: impl FnOnce(&mut Self) -> Result<()>) {
        if self.error.is_none()
            && let Err(error) = step(self)
        {
            self.undo();
            self.error = Some(error);
        }
    }

    fn check(&mut self) -> Result<()> {
        let plain =
            |name: &str| !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
        let extends = self.name.strip_prefix(self.stem.as_str());
        let named = plain(&self.name)
            && plain(&self.stem)
            && extends.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            && self.name != manifest_name(&self.stem);
        let agrees = self.manifest.filename == self.name
            && self.manifest.file_size == self.written.file_size
            && self.manifest.checksum == self.written.checksum;
        if !named || !agrees {
            return Err(Error::internal(
                "a manifest does not describe the file that it is to be published with",
            )
            .on(show(&self.target)));
        }
        fault::point("publish.written")
    }

    fn place_data(&mut self, known: &mut KnownFolders) -> Result<()> {
        known.ready(&self.folder)?;
        self.look_before_placing()?;
        let moved = match self.move_data() {
            // Somebody tidied the empty folder away in between.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !self.folder.is_dir() => {
                known.ready(&self.folder)?;
                self.move_data()
            }
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
                self.written = self.written.copy_to(&self.folder)?;
                self.write_manifest()?;
                self.sync_alone()?;
                self.move_data()
            }
            other => other,
        };
        match moved {
            Ok(()) => self.placed = Placed::New,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.fresh => return Err(self.taken()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => self.exchange_data()?,
            Err(e) => return Err(io_error("move a file to its place", &self.target, e)),
        }
        fault::point("publish.linked")
    }

    /// A manifest that stands there already: not ours where the name is fresh or the manifest says so.
    fn look_before_placing(&mut self) -> Result<()> {
        match self.fresh {
            true if exists(&self.manifest_path)? => Err(self.taken()),
            true => Ok(()),
            false => self.look_at_earlier_attempt(),
        }
    }

    pub(super) fn move_data(&mut self) -> io::Result<()> {
        move_new(self.written.path(), &self.target)
    }

    pub(super) fn taken(&self) -> Error {
        Error::new(ErrorKind::Exists, "the name is taken by a file that is not ours to replace")
            .on(show(&self.target))
            .hint("the next free name is taken instead; move the file away if it should not be there")
    }

    pub(super) fn stale(&self) -> Error {
        Error::new(
            ErrorKind::Stale,
            "somebody else has the lease and has published or will publish this file",
        )
        .on(show(&self.target))
    }

    /// Writes the manifest aside, and marks the data file as ours.
    fn write_manifest(&mut self) -> Result<()> {
        self.owner.mark_file(&self.written.file);
        let temp = self.written.names.next("meta.json");
        let doing = |e| io_error("write the manifest", &self.manifest_path, e);
        let mut file = crate::draft::create_file(temp.path()).map_err(doing)?;
        file.write_all(self.manifest.to_json().as_bytes()).map_err(doing)?;
        self.new_manifest = Some((temp, file));
        Ok(())
    }

    fn sync_alone(&self) -> Result<()> {
        let manifest = self.new_manifest.as_ref().map_or(Ok(()), |(_, file)| file.sync_all());
        self.written.file.sync_all().and(manifest).map_err(|e| io_error("sync", &self.target, e))
    }

    fn place_manifest(&mut self) -> Result<()> {
        if !is_same(&self.target, &self.written.file) {
            return Err(self.stale());
        }
        if !super::replace::ask(&mut self.may_publish)? {
            return Err(self.stale());
        }
        let Some((mut temp, file)) = self.new_manifest.take() else {
            return Err(Error::internal("a manifest was lost on its way"));
        };
        self.manifest_identity = identity(&file);
        match move_new(temp.path(), &self.manifest_path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => self.replace_manifest(temp.path())?,
            Err(e) => return Err(io_error("move a manifest to its place", &self.manifest_path, e)),
        }
        temp.moved();
        self.published = true;
        fault::point("publish.manifest_linked")
    }

    /// Takes back what was put in place. Whatever another holder has put there since stays.
    fn undo(&mut self) {
        if self.published {
            // The commit marker stands: the file is published, only what came after failed. A retry replaces it.
            return;
        }
        if self.placed != Placed::No && is_same(&self.target, &self.written.file) {
            let temp = self.written.path();
            let back = match self.placed {
                Placed::Exchanged => place::exchange(temp, &self.target),
                _ => move_new(&self.target, temp),
            };
            match back {
                Ok(()) => self.placed = Placed::No,
                Err(e) => {
                    tracing::warn!(file = show(&self.target), error = %e, "an unpublished file could not be taken back");
                }
            }
        }
        if self.placed == Placed::No {
            self.restore_manifest();
        }
    }

    /// Nothing more to do: the draft's temporary name is empty, or holds what was replaced.
    fn settle(&mut self) {
        if self.placed == Placed::New {
            self.written.temp.moved();
        }
        self.old_manifest = None;
        if let Some(old_data) = self.old_data.take() {
            let _ = fs::remove_file(old_data);
        }
    }
}

/// Takes every job through every step.
pub(super) fn run(jobs: &mut [Job], known: &mut KnownFolders) {
    each(jobs, Job::check);
    each(jobs, Job::write_manifest);
    sync_files(jobs);
    each(jobs, |_| fault::point("publish.synced"));
    each(jobs, |job| job.place_data(known));
    sync_folders(jobs);
    each(jobs, |_| fault::point("publish.dir_synced"));
    each(jobs, |_| fault::point("publish.manifest_written"));
    each(jobs, Job::place_manifest);
    sync_folders(jobs);
    each(jobs, |job| {
        job.settle();
        fault::point("publish.done")
    });
}

fn each(jobs: &mut [Job], mut step: impl FnMut(&mut Job) -> Result<()>) {
    jobs.iter_mut().for_each(|job| job.attempt(&mut step));
}

/// Syncs the data and the manifest of every job that goes on: all begin before the first is waited for.
fn sync_files(jobs: &mut [Job]) {
    let mut files: Vec<(usize, &File)> = Vec::with_capacity(jobs.len() * 2);
    for (i, job) in jobs.iter().enumerate().filter(|(_, job)| job.error.is_none()) {
        files.push((i, &job.written.file));
        files.extend(job.new_manifest.iter().map(|(_, file)| (i, file)));
    }
    if files.len() > 1 {
        files.iter().for_each(|(_, file)| writeback::begin(file, 0, 0));
    }
    let results: Vec<_> = files.into_iter().map(|(i, file)| (i, file.sync_all())).collect();
    for (i, result) in results {
        jobs[i].attempt(|job| result.map_err(|e| io_error("sync", &job.target, e)));
    }
}

/// Syncs every folder that a job has changed, once.
fn sync_folders(jobs: &mut [Job]) {
    let mut synced: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for job in jobs.iter_mut() {
        job.attempt(|job| sync_folder(&job.folder, &mut synced));
    }
}

fn sync_folder(folder: &Path, synced: &mut BTreeMap<PathBuf, bool>) -> Result<()> {
    match synced.get(folder) {
        Some(true) => Ok(()),
        // It failed for another file of the group; each file gets the system's own words.
        Some(false) | None => {
            let result = place::sync_dir(folder);
            synced.insert(folder.to_owned(), result.is_ok());
            result
        }
    }
}
