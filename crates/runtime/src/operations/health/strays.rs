//! Files in the data directory that nobody knows: a data file without a manifest does not exist for anyone, so one that has lain
//! there for long is unfinished work, or somebody put it there.
//!
//! It looks at so many files at most, the youngest folders first: those of today are where something goes wrong.

use super::{Looking, Stuck, Verdict, many};
use handover_core::{Result, path_text};
use handover_file::layout::{ARCHIVE_FOLDER, last_changed};
use jiff::Timestamp;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// So many files are looked at.
const FILES_MAX: usize = 50_000;
/// So many are told of.
const TOLD_MAX: usize = 100;
const MANIFEST: &str = ".meta.json";

/// A data file without a manifest.
struct Stray {
    path: PathBuf,
    since: Timestamp,
}

impl Looking<'_> {
    /// Looks for them.
    pub(super) async fn strays(&mut self) -> Result<()> {
        let (root, limit) =
            (self.project.data.root().to_owned(), self.limit(self.project.config.health.stuck));
        let looked = tokio::task::spawn_blocking(move || strays(&root, limit)).await;
        let (found, whole) = looked.map_err(|e| {
            handover_core::Error::internal("a look at the data directory broke off").because(e)
        })?;
        let part = if whole { "" } else { ", of the files that were looked at: there are more" };
        if found.is_empty() {
            self.add(
                "unknown",
                Verdict::Pass,
                format!("every file in the data directory has its manifest{part}"),
                None,
            );
            return Ok(());
        }
        let mut first = None;
        for stray in found.iter().take(TOLD_MAX) {
            let stuck = self.stray(stray).await?;
            first.get_or_insert_with(|| format!("{}: {}", stuck.path, stuck.reason));
            self.stuck.push(stuck);
        }
        let text = format!(
            "{} in the data directory without a manifest, so nobody sees it{part}; {}",
            many(found.len(), "file lies", "files lie"),
            first.unwrap_or_default()
        );
        self.add("unknown", Verdict::Warn, text, Some("handover health --stuck".to_owned()));
        Ok(())
    }

    /// Whose name it has, and so what it is.
    async fn stray(&self, stray: &Stray) -> Result<Stuck> {
        let path = path_text::to_text(&stray.path);
        let folder =
            stray.path.parent().and_then(|folder| self.project.data.relative(folder)).unwrap_or_default();
        let name = stray.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = name.split_once('.').map_or(name.as_str(), |(stem, _)| stem);
        let owner = self.project.ledger.name(&folder, stem).await?;
        let maker = owner.and_then(|owner| owner.maker);
        let (app, reason) = match maker {
            Some(maker) => {
                let delivery = self.project.ledger.get(maker).await?;
                let app =
                    delivery.as_ref().and_then(|delivery| delivery.target_app.clone()).unwrap_or_default();
                let status = delivery.map_or("gone", |delivery| delivery.status.as_str());
                (app, format!("delivery {maker} began to publish it and is {status}: a retry replaces it"))
            }
            None => (
                String::new(),
                "it has no manifest, and nobody reserved its name: `handover put` takes it in, or remove it"
                    .to_owned(),
            ),
        };
        Ok(Stuck { path, app, delivery: maker.map(|id| id.0), since: stray.since, reason })
    }
}

/// Data files older than this without a manifest, and whether all were looked at.
fn strays(root: &Path, limit: Timestamp) -> (Vec<Stray>, bool) {
    let mut folders = vec![root.to_owned()];
    let (mut found, mut left) = (Vec::new(), FILES_MAX);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let mut names: Vec<PathBuf> = Vec::new();
        let mut below: Vec<PathBuf> = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            let kept = folder == root && name == ARCHIVE_FOLDER;
            match entry.file_type() {
                _ if hidden || kept => {}
                Ok(kind) if kind.is_dir() => below.push(entry.path()),
                Ok(kind) if kind.is_file() && folder != root => names.push(entry.path()),
                _ => {}
            }
        }
        // The stack gives the last first: the youngest date.
        below.sort();
        folders.extend(below);
        if names.len() > left {
            return (found, false);
        }
        left -= names.len();
        found.extend(without_manifest(&names, limit));
    }
    (found, true)
}

fn without_manifest(names: &[PathBuf], limit: Timestamp) -> Vec<Stray> {
    let text =
        |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stems: HashSet<String> =
        names.iter().filter_map(|path| Some(text(path).strip_suffix(MANIFEST)?.to_owned())).collect();
    names
        .iter()
        .filter(|path| {
            let name = text(path);
            let stem = name.split_once('.').map_or(name.as_str(), |(stem, _)| stem);
            !name.ends_with(MANIFEST) && !stems.contains(stem)
        })
        .filter_map(|path| {
            let since = last_changed(path).ok().flatten().filter(|since| *since <= limit)?;
            Some(Stray { path: path.clone(), since })
        })
        .collect()
}
