//! Files: the folders of the data directory by date, and what lies there.
//!
//! Invariant: a visitor whose key is for some apps sees the files that these made or get.

use super::frame::{Frame, Here};
use super::growth::Growing;
use super::shown::{self, Cut, Moment};
use super::{Monitor, Page, Wrong};
use crate::Visitor;
use askama::Template;
use axum::extract::{Query, State};
use handover_core::{DeliveryId, Error, Manifest};
use handover_runtime::Project;
use handover_runtime::operations::files::{self, Listed};
use serde::Deserialize;

/// So many are on a page.
const PAGE: usize = 50;

/// The page.
#[derive(Debug, Template)]
#[template(path = "files.html")]
pub(super) struct FilesPage {
    frame: Frame,
    folders: Vec<FolderRow>,
    listing: Option<Shelf>,
    growth: Option<Growing>,
}

/// A folder.
#[derive(Debug)]
struct FolderRow {
    path: String,
    dates: Vec<(String, String, bool)>,
    more: usize,
    open: bool,
}

/// The files of one date.
#[derive(Debug)]
struct Shelf {
    name: String,
    count: String,
    cut: bool,
    hidden: usize,
    files: Vec<FileRow>,
    next: Option<String>,
}

/// A file.
#[derive(Debug)]
struct FileRow {
    name: Cut,
    id: Option<DeliveryId>,
    published: bool,
    by: String,
    readers: Vec<(String, String)>,
    rows: String,
    size: String,
    at: Option<Moment>,
}

/// Which folder is open.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    /// A folder with its date, within the data directory.
    #[serde(default)]
    at: String,
    /// The first file that is shown, counted from 0.
    #[serde(default)]
    from: usize,
}

/// Answers with it.
pub(super) async fn page(
    State(monitor): State<Monitor>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Page<FilesPage>, Wrong> {
    let project = monitor.project();
    let frame = monitor.frame(&visitor, Here::Files, "Files").await?;
    // Folders are called after apps, and the disk is everybody's.
    let overview = wanted.at.is_empty() && visitor.sees_all();
    let growth = if overview { Some(Growing::of_the_files(&monitor).await?) } else { None };
    let read = tokio::task::spawn_blocking(move || made(&project, &visitor, frame, growth, &wanted));
    read.await.map_err(|e| Error::internal("listing files broke off").because(e))?.map(Page)
}

fn made(
    project: &Project,
    visitor: &Visitor,
    frame: Frame,
    growth: Option<Growing>,
    wanted: &Wanted,
) -> Result<FilesPage, Wrong> {
    let folders = files::folders(project)?;
    let rows = folders.into_iter().map(|folder| FolderRow {
        open: wanted.at.strip_prefix(&folder.path).is_some_and(|rest| rest.starts_with('/')),
        dates: folder
            .dates
            .iter()
            .map(|date| {
                let at = format!("{}/{date}", folder.path);
                (date.clone(), shown::link("/files", &[("at", &at)]), at == wanted.at)
            })
            .collect(),
        more: folder.more,
        path: folder.path,
    });
    let listing = if wanted.at.is_empty() { None } else { Some(shelf(project, visitor, wanted)?) };
    Ok(FilesPage { frame, folders: rows.collect(), listing, growth })
}

fn shelf(project: &Project, visitor: &Visitor, wanted: &Wanted) -> Result<Shelf, Wrong> {
    let nothing = || Wrong::not_found("there is no such folder in the data directory");
    // Handover's own folder is nobody's.
    if wanted.at.split('/').any(|part| part.starts_with('.')) {
        return Err(nothing());
    }
    let found = files::listing(project, &wanted.at, wanted.from, PAGE).map_err(|_| nothing())?;
    let shown_now = wanted.from.saturating_add(found.files.len());
    let all = found.files.len();
    let (zone, now) = (&project.config.timezone, project.clock.now());
    let files: Vec<FileRow> = found
        .files
        .iter()
        .filter(|file| sees(visitor, file))
        .map(|file| row(file, |time| shown::past(time, zone, now)))
        .collect();
    let next = (shown_now < found.count)
        .then(|| shown::link("/files", &[("at", &wanted.at), ("from", &shown_now.to_string())]));
    Ok(Shelf {
        name: wanted.at.clone(),
        count: shown::count(found.count as u64, "file"),
        cut: found.cut,
        hidden: all - files.len(),
        files,
        next,
    })
}

fn sees(visitor: &Visitor, file: &Listed) -> bool {
    let theirs = |manifest: &Manifest| {
        let made_by = [&manifest.created_by].into_iter();
        made_by.chain(&manifest.next_app).chain(&manifest.next_apps).any(|app| visitor.sees(app.as_str()))
    };
    visitor.sees_all() || file.manifest.as_ref().is_some_and(theirs)
}

fn row(file: &Listed, moment: impl Fn(jiff::Timestamp) -> Moment) -> FileRow {
    let manifest = file.manifest.as_ref();
    let reader = |app: String| (shown::link("/deliveries", &[("app", &app), ("q", &file.path)]), app);
    FileRow {
        name: shown::cut(&file.name, shown::LINE_MAX_CHARS),
        id: manifest.and_then(|manifest| manifest.delivery_id.as_ref()?.parse().ok()),
        published: manifest.is_some(),
        by: manifest.map(|manifest| manifest.created_by.to_string()).unwrap_or_default(),
        readers: manifest
            .map(|manifest| manifest.targets().iter().map(|app| reader(app.to_string())).collect())
            .unwrap_or_default(),
        rows: manifest.and_then(|manifest| manifest.row_count).map(shown::number).unwrap_or_default(),
        size: shown::size(file.stored_bytes),
        at: manifest.map(|manifest| manifest.created_at).or(file.written_at).map(moment),
    }
}
