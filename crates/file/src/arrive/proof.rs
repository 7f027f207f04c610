//! Whether a foreign file is complete, and how that is known.
//!
//! The rules, in order:
//! 1. A done marker or a manifest beside the file is its writer's word: ready at once. The manifest's size and
//!    checksum are checked when the file is taken.
//! 2. A file that was renamed into the folder is ready at once, unless somebody still has it open for writing, as
//!    happens where a log is rotated away under its writer.
//! 3. Otherwise nobody may have it open for writing, which a read lease tells, and its last change must be older
//!    than `settle`.
//! 4. Where there is no lease (another user's file, some file systems), /proc tells; where that does not tell
//!    all, two looks at least `settle` apart must find the same size and times.
//!
//! A modification time in the future says nothing about age. Then the change time counts, which no program can
//! set; where that is in the future too (the clock was set back, or a server's clock is ahead), two looks `settle`
//! apart count. So no file waits for ever.
//!
//! Looks are remembered in memory only: after a crash the file is looked at twice again.

use super::beside::{self, Found};
use super::writers::{Writer, Writers};
use super::{Candidate, Lease, gone, open_error, open_plain, read_lease, refuse_unless_regular};
use handover_core::{Error, ErrorKind, Manifest, path_text};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// How old a look through the processes may be and still serve the next file.
const WRITERS_FRESH_MS: u128 = 200;
/// How many files' first looks are remembered at once.
const LOOKS_MAX: usize = 100_000;
/// A first look that nobody came back to for so long is forgotten when room is needed.
const LOOK_STALE: SignedDuration = SignedDuration::from_mins(10);

/// What an event said about the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// It was renamed into the folder.
    RenamedIn,
}

/// How it is known that a file is complete. Its text is short and stable; [`Proof::sentence`] is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It was renamed in.
    RenamedIn,
    /// A done marker of this name lies beside it.
    DoneMarker(OsString),
    /// A manifest of this name lies beside it.
    Manifest(OsString),
    /// Nobody has it open for writing, and it was left alone for the settle time.
    Unopened,
    /// It was left alone for the settle time; whether somebody has it open could not be told.
    Settled,
}

impl Proof {
    /// What is known, in a sentence.
    pub fn sentence(&self) -> String {
        let named = |name: &OsString| path_text::to_text(Path::new(name));
        match self {
            Self::RenamedIn => "it was renamed into the folder".to_owned(),
            Self::DoneMarker(name) => format!("the done marker {} lies beside it", named(name)),
            Self::Manifest(name) => format!("the manifest {} lies beside it", named(name)),
            Self::Unopened => {
                "no process had it open for writing, and it had been left alone for the settle time"
                    .to_owned()
            }
            Self::Settled => {
                "it had been left alone for the settle time; whether a process still had it open \
                              could not be told, so this proof is weak"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &OsString| path_text::to_text(Path::new(name));
        match self {
            Self::RenamedIn => f.write_str("renamed-in"),
            Self::DoneMarker(name) => write!(f, "done-marker:{}", named(name)),
            Self::Manifest(name) => write!(f, "manifest:{}", named(name)),
            Self::Unopened => f.write_str("unopened"),
            Self::Settled => f.write_str("settled"),
        }
    }
}

impl std::str::FromStr for Proof {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let named = |name: &str| path_text::from_text(name).into_os_string();
        Ok(match text.split_once(':') {
            Some(("done-marker", name)) => Self::DoneMarker(named(name)),
            Some(("manifest", name)) => Self::Manifest(named(name)),
            _ => match text {
                "renamed-in" => Self::RenamedIn,
                "unopened" => Self::Unopened,
                "settled" => Self::Settled,
                _ => return Err(Error::bad_data(format!("{text:?} is not a proof of completeness"))),
            },
        })
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Proof {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether a file may be taken.
#[derive(Debug)]
pub enum Readiness {
    /// It is complete.
    Ready {
        /// How that is known.
        proof: Proof,
        /// The manifest beside it, where there is one: give it to [`super::take()`], which checks the file against it.
        manifest: Option<Box<Manifest>>,
    },
    /// Not yet. Look at the path again for a fresh [`Candidate`] before the next judgement: this one may have changed.
    Waiting {
        /// Why, in a sentence without its subject, the file.
        reason: String,
        /// When to look again; none where only an event or the next scan can tell.
        until: Option<Timestamp>,
    },
    /// Not as it is, and why.
    Refused(Error),
}

/// Whether somebody has a file open for writing.
enum Openness {
    Nobody,
    Writer(Option<Writer>),
    Unknown,
}

/// A first look at a file whose times cannot be relied on.
struct Look {
    size: u64,
    mtime: Timestamp,
    first: Timestamp,
    last: Timestamp,
}

/// Judges whether files are complete. Keep one and use it for all of a source's files: it remembers first looks and
/// shares one look through the processes among many files.
#[derive(Default)]
pub struct Inspector {
    writers: Option<Writers>,
    looks: HashMap<(u64, u64), Look>,
    without_leases: bool,
    without_proc: bool,
}

impl Inspector {
    /// An inspector that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges one file. `settle` is how long it must have been left alone; `hint` what the last event said of it.
    pub fn readiness(
        &mut self,
        candidate: &Candidate,
        settle: Duration,
        hint: Option<Hint>,
        now: Timestamp,
    ) -> Readiness {
        let (file, seen) = match open_again(candidate, now) {
            Ok(opened) => opened,
            Err(answer) => return answer,
        };
        let settle = SignedDuration::try_from(settle).unwrap_or(SignedDuration::MAX);
        if !candidate.is_unchanged_in(&seen) {
            let until = now.saturating_add(settle).unwrap_or(Timestamp::MAX);
            return Readiness::Waiting { reason: still_written(&seen, now), until: Some(until) };
        }
        let (manifest_name, manifest) = match beside::manifest(&seen) {
            Found::None => (None, None),
            Found::Good(name, manifest) => (Some(name), Some(manifest)),
            Found::Bad(manifest, error) => return self.bad_manifest(&manifest, error, settle, now),
        };
        let announced = manifest.as_ref().is_none_or(|m| m.file_size == seen.size);
        if let (Some(marker), true) = (beside::done_marker(&seen), announced) {
            return self.ready(&seen, Proof::DoneMarker(marker), manifest);
        }
        if let (Some(name), true) = (&manifest_name, announced) {
            return self.ready(&seen, Proof::Manifest(name.clone()), manifest);
        }
        let unproven = self.without_word(&file, &seen, settle, hint, now);
        match (unproven, manifest_name, manifest) {
            // Nothing more will come: taking it finds that it is not as long as its manifest says.
            (Readiness::Ready { .. }, Some(name), manifest) => {
                Readiness::Ready { proof: Proof::Manifest(name), manifest }
            }
            (Readiness::Waiting { reason, until }, Some(_), Some(manifest)) => Readiness::Waiting {
                reason: format!(
                    "has {} of the {} bytes that its manifest says, and {reason}",
                    seen.size, manifest.file_size
                ),
                until,
            },
            (answer, ..) => answer,
        }
    }

    /// Judges a file for which neither marker nor manifest speaks.
    fn without_word(
        &mut self,
        file: &File,
        seen: &Candidate,
        settle: SignedDuration,
        hint: Option<Hint>,
        now: Timestamp,
    ) -> Readiness {
        let openness = self.openness(file, seen);
        if let Openness::Writer(writer) = openness {
            self.looks.remove(&(seen.device, seen.inode));
            let by = writer.map_or_else(|| "a process".to_owned(), |writer| writer.to_string());
            let reason = format!("is open for writing by {by}; {}", written_so_far(seen, now));
            return Readiness::Waiting { reason, until: None };
        }
        if hint == Some(Hint::RenamedIn) {
            return self.ready(seen, Proof::RenamedIn, None);
        }
        let weak = matches!(openness, Openness::Unknown);
        let since = match self.alone_since(seen, weak, now) {
            Ok(since) => since,
            Err(waiting) => return waiting,
        };
        let until = since.saturating_add(settle).unwrap_or(Timestamp::MAX);
        if until > now {
            let reason = format!(
                "waits until it has been left alone for {}; {}",
                seconds(settle),
                written_so_far(seen, now)
            );
            return Readiness::Waiting { reason, until: Some(until) };
        }
        self.ready(seen, if weak { Proof::Settled } else { Proof::Unopened }, None)
    }

    fn ready(&mut self, seen: &Candidate, proof: Proof, manifest: Option<Box<Manifest>>) -> Readiness {
        self.looks.remove(&(seen.device, seen.inode));
        Readiness::Ready { proof, manifest }
    }

    fn openness(&mut self, file: &File, seen: &Candidate) -> Openness {
        if !self.without_leases {
            match read_lease(file) {
                Lease::Granted => return Openness::Nobody,
                Lease::Writer => return Openness::Writer(self.writers().of(seen.device, seen.inode)),
                Lease::Impossible => {}
            }
        }
        if self.without_proc {
            return Openness::Unknown;
        }
        let writers = self.writers();
        match writers.of(seen.device, seen.inode) {
            Some(writer) => Openness::Writer(Some(writer)),
            None if writers.complete => Openness::Nobody,
            None => Openness::Unknown,
        }
    }

    fn writers(&mut self) -> &Writers {
        let fresh = self.writers.take().filter(|w| w.taken.elapsed().as_millis() < WRITERS_FRESH_MS);
        self.writers.insert(fresh.unwrap_or_else(Writers::look))
    }

    /// Since when the file has been left alone. Its times tell, unless they are in the future or the proof is weak:
    /// then the first of the looks that found it so.
    fn alone_since(&mut self, seen: &Candidate, weak: bool, now: Timestamp) -> Result<Timestamp, Readiness> {
        if !weak && seen.mtime <= now {
            return Ok(seen.mtime);
        }
        if !weak && seen.ctime <= now {
            return Ok(seen.ctime);
        }
        let key = (seen.device, seen.inode);
        if self.looks.len() >= LOOKS_MAX && !self.looks.contains_key(&key) {
            self.looks.retain(|_, look| now.duration_since(look.last) < LOOK_STALE);
            if self.looks.len() >= LOOKS_MAX {
                let reason = "waits for its first look: too many files wait for their second".to_owned();
                return Err(Readiness::Waiting { reason, until: None });
            }
        }
        let look = self.looks.entry(key).or_insert_with(|| Look {
            size: seen.size,
            mtime: seen.mtime,
            first: now,
            last: now,
        });
        // A clock that was set back starts the wait anew instead of prolonging it.
        if look.size != seen.size || look.mtime != seen.mtime || look.first > now {
            *look = Look { size: seen.size, mtime: seen.mtime, first: now, last: now };
        }
        look.last = now;
        Ok(look.first)
    }

    /// A manifest that cannot be used may be one that is still being written.
    fn bad_manifest(
        &mut self,
        manifest: &Candidate,
        error: Error,
        settle: SignedDuration,
        now: Timestamp,
    ) -> Readiness {
        let Ok(file) = open_plain(&manifest.path) else { return Readiness::Refused(error) };
        match self.without_word(&file, manifest, settle, None, now) {
            Readiness::Waiting { reason, until } if error.kind() == ErrorKind::BadData => {
                Readiness::Waiting { reason: format!("has a manifest that {reason}"), until }
            }
            _ => Readiness::Refused(error),
        }
    }
}

/// Opens the file again and looks at it, or says why that cannot be.
fn open_again(candidate: &Candidate, now: Timestamp) -> Result<(File, Candidate), Readiness> {
    let path = &candidate.path;
    let file = match open_plain(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
            let reason = "is held by a program that keeps others from opening it".to_owned();
            return Err(Readiness::Waiting { reason, until: None });
        }
        Err(e) => return Err(Readiness::Refused(open_error(path, e))),
    };
    let metadata = file.metadata().map_err(|e| Readiness::Refused(open_error(path, e)))?;
    if let Some(error) = refuse_unless_regular(path, &metadata) {
        return Err(Readiness::Refused(error));
    }
    if !candidate.is_same_file(&metadata) {
        let reason = "was replaced by another file since it was seen".to_owned();
        return Err(Readiness::Waiting { reason, until: Some(now) });
    }
    if std::os::unix::fs::MetadataExt::nlink(&metadata) == 0 {
        return Err(Readiness::Refused(gone(path)));
    }
    Ok((file, Candidate::from_metadata(path.clone(), &metadata)))
}

fn still_written(seen: &Candidate, now: Timestamp) -> String {
    format!("is still being written ({})", written_so_far(seen, now))
}

fn written_so_far(seen: &Candidate, now: Timestamp) -> String {
    if seen.mtime > now {
        return format!("{} bytes, last written at a time in the future", seen.size);
    }
    format!("{} bytes, last written {} ago", seen.size, seconds(now.duration_since(seen.mtime)))
}

fn seconds(duration: SignedDuration) -> String {
    if duration < SignedDuration::from_secs(100) {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{duration:#.0}")
    }
}

#[cfg(test)]
mod tests;
