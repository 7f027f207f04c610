//! `why`: one explanation for any delivery, any file and any app. What it waits for or what became of it, since when, what
//! was tried, what would release it, and what to do.
//!
//! It only looks. [`why`] finds out what is meant and asks the module that knows: `delivery` (a row of the ledger; `busy`,
//! why it is not begun), `app` (what waits for it and what is expected), `inside` (a file of the data directory), `outside` (an original, an export, a file in a watched folder).

mod app;
mod busy;
mod delivery;
mod inside;
mod outside;
mod place;
mod story;

use super::running::{Running, running};
use super::times;
use crate::project::Project;
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{Delivery, DeliveryId, Error, FileName, HolderId, Result, Status, path_text};
use handover_file::layout::{ARCHIVE_FOLDER, ERRORS_FOLDER, REPORTS_FOLDER};
use handover_file::read;
use handover_ledger::Filter;
use jiff::Timestamp;
use place::Place;
use serde::Serialize;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// In a word, how something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It waits for something that comes by itself, or that somebody has to do.
    Waiting,
    /// It is being worked on.
    Processing,
    /// It is tried again at a later time.
    Delayed,
    /// Its app is paused.
    Paused,
    /// It is done, with all that followed.
    Done,
    /// It was passed over on purpose, such as a duplicate.
    Skipped,
    /// It failed, and goes on only by hand.
    Failed,
    /// It was refused as it stands; it comes again when it is changed.
    Refused,
    /// Somebody asked for its end, which has not come yet.
    Cancelling,
    /// It was cancelled.
    Cancelled,
    /// It was deleted; it can be restored.
    Deleted,
    /// It is a quarantined file, or its reason.
    Quarantined,
    /// It holds rejected rows.
    Rejected,
    /// It is not looked at, and why.
    Ignored,
    /// It is unfinished work of a delivery.
    Unfinished,
    /// It is a folder, not a file.
    Folder,
    /// It is Handover's own.
    Internal,
    /// It is an app, and what is expected of it is not as expected.
    Late,
    /// It is an app that has nothing to do.
    Idle,
    /// Nothing is known of it.
    Unknown,
}

impl State {
    /// Whether it changes by itself, or by what somebody does to its app.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Waiting | Self::Processing | Self::Delayed | Self::Paused | Self::Cancelling)
    }

    /// The word as people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waits",
            Self::Processing => "is being worked on",
            Self::Delayed => "is tried again later",
            Self::Paused => "waits: its app is paused",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Cancelling => "is being cancelled",
            Self::Cancelled => "cancelled",
            Self::Deleted => "deleted",
            Self::Quarantined => "in quarantine",
            Self::Rejected => "rejected rows",
            Self::Ignored => "not looked at",
            Self::Unfinished => "unfinished",
            Self::Folder => "a folder",
            Self::Internal => "Handover's own",
            Self::Late => "not as expected",
            Self::Idle => "has nothing to do",
            Self::Unknown => "not known",
        }
    }
}

/// A step of the way that a file went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The app.
    pub app: String,
    /// Where it stands.
    pub status: Status,
    /// The delivery that it runs again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<DeliveryId>,
    /// What it made, as the ledger keeps it.
    pub output: Option<String>,
    /// Where that is kept now, where it has been archived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_as: Option<String>,
    /// Rows of its input.
    pub rows_in: Option<u64>,
    /// Rows of its output.
    pub rows_out: Option<u64>,
    /// Rows that it rejected.
    pub rows_rejected: Option<u64>,
    /// Rows that its configuration leaves out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_filtered: Option<u64>,
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// What was understood to be meant.
    pub subject: String,
    /// How it stands.
    pub state: State,
    /// What it waits for, or what became of it.
    pub sentences: Vec<String>,
    /// The way that it went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// What was tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<String>,
    /// What would release it.
    pub release: Option<String>,
    /// What to do: commands to paste.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub todo: Vec<String>,
    /// The delivery that the answer is about.
    pub delivery: Option<DeliveryId>,
}

impl Explanation {
    /// Its sentences, each with its full stop.
    pub fn said(&self) -> impl Iterator<Item = String> {
        self.sentences.iter().map(|sentence| {
            let ends = sentence.ends_with(['.', '!', '?', ')']);
            format!("{sentence}{}", if ends { "" } else { "." })
        })
    }

    fn new(subject: impl Into<String>, state: State) -> Self {
        Self {
            subject: subject.into(),
            state,
            sentences: Vec::new(),
            steps: Vec::new(),
            since: None,
            tried: Vec::new(),
            release: None,
            todo: Vec::new(),
            delivery: None,
        }
    }

    fn say(mut self, sentence: impl Into<String>) -> Self {
        self.sentences.push(sentence.into());
        self
    }

    fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    fn release(mut self, release: impl Into<String>) -> Self {
        self.release = Some(release.into());
        self
    }

    fn todo(mut self, command: impl Into<String>) -> Self {
        self.todo.push(command.into());
        self
    }

    fn of(mut self, id: DeliveryId) -> Self {
        self.delivery = Some(id);
        self
    }
}

/// Explains what `asked` names: a delivery's number, an app, or a file by any path or its bare name. `from` is the folder
/// that relative paths begin in, and that paths in the answer are relative to.
///
/// # Errors
/// [`handover_core::ErrorKind::NotFound`] for a number that no delivery has; others where the ledger cannot be read.
/// That nothing is known of a file is an answer.
pub async fn why(project: &Project, asked: &OsStr, from: &Path) -> Result<Explanation> {
    let asking = Asking { project, from, now: project.clock.now(), running: running(&project.data) };
    let number = asked.to_str().and_then(|text| text.parse::<DeliveryId>().ok());
    if let Some(id) = number.filter(|_| !from.join(asked).exists()) {
        return match project.ledger.get(id).await? {
            Some(delivery) => asking.story(&delivery, format!("delivery {id}")).await,
            None => Err(Error::not_found(format!("there is no delivery {id}"))
                .hint("`handover list` shows the newest; a file is explained by its path")),
        };
    }
    let named = asked.to_str().and_then(|name| project.config.app(name));
    if let Some(app) = named.filter(|_| !from.join(asked).is_file()) {
        return asking.app(app).await;
    }
    asking.place(&Place::new(project, asked, from)).await
}

/// Explains a delivery by its number; paths in the answer are relative to the configuration's folder.
///
/// # Errors
/// [`handover_core::ErrorKind::NotFound`] where no delivery has it; others where the ledger cannot be read.
pub async fn of(project: &Project, id: DeliveryId) -> Result<Explanation> {
    let from = &project.config.base;
    let asking = Asking { project, from, now: project.clock.now(), running: running(&project.data) };
    match project.ledger.get(id).await? {
        Some(delivery) => asking.story(&delivery, format!("delivery {id}")).await,
        None => Err(Error::not_found(format!("there is no delivery {id}"))),
    }
}

/// What every part of an answer needs.
struct Asking<'a> {
    project: &'a Project,
    from: &'a Path,
    now: Timestamp,
    running: Vec<Running>,
}

impl Asking<'_> {
    /// Explains a file.
    async fn place(&self, place: &Place) -> Result<Explanation> {
        for path in &place.spellings {
            let found = match self.project.data.relative(path) {
                Some(relative) => self.inside(&relative).await?,
                None => self.outside(path).await?,
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        if let Some(found) = self.by_name(&place.text).await? {
            return Ok(found);
        }
        Ok(self.unknown(place))
    }

    /// Finds what is known under a bare name, or the end of a path: an original, or a file by the convention.
    async fn by_name(&self, text: &str) -> Result<Option<Explanation>> {
        let arrivals = self.project.ledger.arrivals_at(text).await?;
        if !arrivals.is_empty() {
            return self.arrivals(arrivals, None).await;
        }
        // A manifest is named like its file.
        let data = text.strip_suffix(MANIFEST_SUFFIX).map(|stem| format!("{stem}.any"));
        let Ok(name) = data.as_deref().unwrap_or(text).parse::<FileName>() else { return Ok(None) };
        let stem = name.stem();
        for folder in dated_folders(self.project, &name) {
            let path = format!("{folder}/{text}");
            let there = self.project.data.absolute(&path).is_ok_and(|path| path.symlink_metadata().is_ok());
            if there || self.project.ledger.name(&folder, &stem).await?.is_some() {
                return self.inside(&path).await;
            }
        }
        for folder in crate::engine::generation::export_folders(&self.project.config) {
            if self.project.ledger.name(&path_text::to_text(&folder), &stem).await?.is_some() {
                return self.outside(&folder.join(text)).await;
            }
        }
        Ok(None)
    }

    fn unknown(&self, place: &Place) -> Explanation {
        let subject = place.text.clone();
        let there = place.spellings.iter().any(|path| path.symlink_metadata().is_ok());
        let answer = Explanation::new(subject, State::Unknown);
        let answer = if there {
            answer.say("The file is there, and nothing is known of it.")
        } else {
            answer.say("There is no such file, and the ledger has never had one of this name.")
        };
        let answer = match &self.sources()[..] {
            [] => answer.say("No importer is declared, so no folder is watched."),
            sources => sources.iter().fold(answer, |answer, (app, source)| {
                answer.say(format!(
                    "{app} watches {} for {}.",
                    self.shown(&source.config.from),
                    source.config.pattern
                ))
            }),
        };
        answer.release("A file is known once it lies in a watched folder and a process has looked, or was put in by hand.").todo("handover list").todo("handover status")
    }

    /// The deliveries of the file at this path, newest first, archived ones too.
    async fn files_at(&self, path: &str) -> Result<Vec<Delivery>> {
        let filter = Filter { path: Some(path.to_owned()), archived: true, limit: 100, ..Filter::default() };
        self.project.ledger.list(filter).await
    }

    /// Whether a process runs that watches folders.
    fn watched(&self) -> bool {
        self.running.iter().any(|process| process.watches)
    }

    /// Whether a process runs that works on deliveries.
    fn worked(&self) -> bool {
        self.running.iter().any(|process| process.works)
    }

    /// Whether a holder is a process that is known to live.
    fn lives(&self, holder: &HolderId) -> bool {
        self.running.iter().any(|process| process.holder == *holder)
    }

    /// A path as it is shown: relative to where it was asked from, where it lies below.
    fn shown(&self, path: &Path) -> String {
        let plain: PathBuf = path.components().collect();
        path_text::to_text(
            plain.strip_prefix(self.from).ok().filter(|p| !p.as_os_str().is_empty()).unwrap_or(&plain),
        )
    }

    /// The same for a path as the ledger keeps it.
    fn shown_text(&self, path: &str) -> String {
        if path.starts_with('/') {
            return self.shown(&path_text::from_text(path));
        }
        self.project.data.absolute(path).map_or_else(|_| path.to_owned(), |path| self.shown(&path))
    }

    /// A path as a word of a command.
    fn quoted(&self, path: &str) -> String {
        let shown = self.shown_text(path);
        shlex::try_quote(&shown).map_or_else(|_| shown.clone(), std::borrow::Cow::into_owned)
    }

    /// A time as sentences say it.
    fn at(&self, time: Timestamp) -> String {
        times::at(time, &self.project.config.timezone, self.now)
    }

    /// The archived file of a path in the data directory, where it has gone there.
    fn archived_as(&self, path: &str) -> Option<PathBuf> {
        if path.starts_with('/') {
            return None;
        }
        let kept = read::retained(&self.project.data, path).ok()?;
        kept.is_archived().then(|| kept.stored_path().to_owned())
    }

    /// A path of the ledger as it is shown, in the archive where the file has gone there.
    fn where_now(&self, path: &str) -> String {
        self.archived_as(path).map_or_else(|| self.shown_text(path), |kept| self.shown(&kept))
    }

    /// Where the file of a path in the data directory is now, where that is not its own place.
    fn moved(&self, relative: &str) -> Option<String> {
        match read::retained(&self.project.data, relative) {
            Ok(kept) if kept.is_archived() => {
                Some(format!("The file is in the archive: {}.", self.shown(kept.stored_path())))
            }
            Ok(_) => None,
            Err(e) => Some(format!("The file is neither in its place nor in the archive ({e}).")),
        }
    }
}

/// Where in the data directory a file of this name may lie: its app's folder first.
pub(crate) fn dated_folders(project: &Project, name: &FileName) -> Vec<String> {
    let own = project.config.app(name.app.as_str()).map(|app| app.folder.clone());
    let folders = own.into_iter().chain(top_folders(project));
    folders.map(|folder| format!("{folder}/{}", name.date)).collect()
}

/// The folders of the data directory.
fn top_folders(project: &Project) -> Vec<String> {
    let entries = std::fs::read_dir(project.data.root()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| !name.starts_with('.') && name != ARCHIVE_FOLDER).collect();
    names.extend([ERRORS_FOLDER, REPORTS_FOLDER].map(str::to_owned));
    names.sort();
    names.dedup();
    names
}
