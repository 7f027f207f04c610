//! Folders that one job writes and another reads: perhaps a flow.
//!
//! It goes by how commands are written, so what it finds is said and never done.

use super::Taken;
use super::command::base;

/// So many are said.
const SHOWN_MAX: usize = 20;
/// Folders that many programs use, and no data is handed over in.
const COMMON: [&str; 9] =
    ["/", "/tmp", "/etc", "/var", "/home", "/opt", "/srv", "/usr/bin", "/usr/local/bin"];

/// Two jobs with a folder in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) folder: String,
    pub(super) from: String,
    pub(super) from_line: usize,
    pub(super) to: String,
    pub(super) to_line: usize,
}

/// All of them, in the order of the crontab.
pub(super) fn shared(apps: &[Taken]) -> Vec<Shared> {
    let mut found: Vec<Shared> = Vec::new();
    for from in apps {
        for folder in from.paths.0.iter().filter_map(|path| folder(path)) {
            let reads = |path: &String| self::folder(path).is_some_and(|other| other == folder);
            for to in apps.iter().filter(|to| to.name != from.name && to.paths.1.iter().any(reads)) {
                let one = Shared {
                    folder: folder.to_owned(),
                    from: from.name.clone(),
                    from_line: from.line,
                    to: to.name.clone(),
                    to_line: to.line,
                };
                if found.len() < SHOWN_MAX && !found.contains(&one) {
                    found.push(one);
                }
            }
        }
    }
    found
}

/// The folder of a path: the path itself unless its last part looks like a file, or is a pattern.
fn folder(path: &str) -> Option<&str> {
    let end = path.find(['*', '?', '[', '$', '`', '{']);
    let known = &path[..end.unwrap_or(path.len())];
    let folder = if end.is_some() || (base(known).contains('.') && !known.ends_with('/')) {
        known.rsplit_once('/').map(|(folder, _)| folder)?
    } else {
        known.trim_end_matches('/')
    };
    let log = folder.ends_with("/log") || folder.ends_with("/logs") || folder.contains("/log/");
    (!folder.is_empty() && !log && !COMMON.contains(&folder)).then_some(folder)
}
