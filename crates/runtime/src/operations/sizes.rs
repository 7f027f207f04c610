//! How large folders, tables, the archive and the disk are now.
//!
//! Counting files is bounded work on a thread of its own: a folder with more files than that is left out, so that no size is wrong.

use crate::project::Project;
use handover_core::{Error, Kind, Result, Status};
use handover_file::disk;
use handover_ledger::AppCount;
use std::path::{Path, PathBuf};

/// So many files are counted in all.
const FILES_MAX: usize = 500_000;

/// Something's name, its bytes, and how many files or rows it has.
pub type Measured = (String, u64, Option<u64>);

/// Measures everything once.
///
/// # Errors
/// Where the ledger or the disk cannot be read.
pub async fn measure(project: &Project) -> Result<Vec<Measured>> {
    let root = project.data.root().to_owned();
    let folders = tokio::task::spawn_blocking(move || folders(&root)).await;
    let mut found = folders.map_err(|e| Error::internal("measuring the folders broke off").because(e))?;
    let space = disk::space(project.data.root())?;
    found.push(("disk:free".to_owned(), space.free, None));
    found.push(("disk:total".to_owned(), space.total, None));
    found.extend(space.inodes_free.map(|free| ("inodes:free".to_owned(), free, None)));
    let health = project.ledger.health().await?;
    let mut ledger = 0;
    for table in &health.tables {
        ledger += table.bytes;
        found.push((format!("table:{}", table.table), table.bytes, Some(table.live)));
    }
    if let Some(file) = &health.file {
        ledger += file.bytes + file.log_bytes;
    }
    found.push(("ledger".to_owned(), ledger, None));
    let counts = project.ledger.counts().await?;
    let all = |which: fn(&&AppCount) -> bool| counts.iter().filter(which).map(|one| one.count).sum();
    let live = all(|one| one.kind == Kind::Record && one.status != Status::Archived);
    found.push(("staging".to_owned(), 0, Some(live)));
    found.push(("archived".to_owned(), 0, Some(all(|one| one.status == Status::Archived))));
    Ok(found)
}

/// The folders of a data directory, each with its files and those below it.
fn folders(root: &Path) -> Vec<Measured> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let mut names: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    names.sort();
    let mut left = FILES_MAX;
    names
        .into_iter()
        .filter_map(|folder| {
            let name = folder.file_name()?.to_str()?.to_owned();
            let (bytes, files) = below(&folder, &mut left)?;
            Some((format!("folder:{name}"), bytes, Some(files)))
        })
        .collect()
}

/// Bytes and files; none where there are too many to count.
fn below(folder: &Path, left: &mut usize) -> Option<(u64, u64)> {
    let (mut bytes, mut files) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            // What went meanwhile takes no room.
            let Ok(meta) = entry.metadata() else { continue };
            *left = left.checked_sub(1)?;
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += meta.len();
                files += 1;
            }
        }
    }
    Some((bytes, files))
}
