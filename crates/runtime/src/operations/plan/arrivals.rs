//! The files in watched folders that are not known, and what would become of them.

use super::{Fate, Plan};
use crate::built::Source;
use crate::config::App;
use crate::engine::known_unreadable;
use crate::project::Project;
use handover_core::{ErrorKind, Result, path_text};
use handover_file::arrive::{self, Candidate, Inspector, Readiness, Refusal, Scan, ScanOptions};
use jiff::Timestamp;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// More arrivals than this are counted and not listed.
const LISTED_MAX: usize = 1_000;
/// So many originals of the past are compared with.
const REMEMBERED_MAX: usize = 2_000_000;
/// So many files are looked up in the ledger one by one.
const BY_NAME_MAX: usize = 20_000;

/// A file in a watched folder.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// The importer.
    pub app: String,
    /// The file.
    pub path: String,
    /// What would become of it.
    pub fate: Fate,
    /// The proof that it is complete, or the reason why not.
    pub reason: String,
    /// Its size in bytes, where it could be seen.
    pub size: Option<u64>,
}

/// One state of one file, as the ledger knows it: the modification time in milliseconds.
type State = (String, u64, u64, u64, i64);

impl Plan {
    /// Notes what lies in an importer's folders. One that cannot be looked at is noted too.
    pub(super) async fn sources(
        &mut self,
        app: &App,
        sources: &[Source],
        project: Option<&Project>,
        now: Timestamp,
    ) -> Result<()> {
        let mut known: HashSet<State> = HashSet::new();
        if let Some(project) = project {
            let ledger = &project.ledger;
            // Of a long past, most originals are gone.
            let arrivals = match paths_in(sources) {
                Some(paths) => ledger.arrivals_of(app.name.as_str(), &paths).await?,
                None => ledger.arrivals(app.name.as_str(), REMEMBERED_MAX).await?,
            };
            known.extend(
                arrivals.into_iter().map(|a| {
                    (a.key.path, a.key.device, a.key.inode, a.key.size, a.key.mtime.as_millisecond())
                }),
            );
        }
        for source in sources {
            if let Err(e) = self.source(app, source, &known, now) {
                self.unreadable.push(format!("{}: {e}", app.name));
            }
        }
        Ok(())
    }

    fn source(&mut self, app: &App, source: &Source, known: &HashSet<State>, now: Timestamp) -> Result<()> {
        let seen = |c: &Candidate| {
            known.contains(&(c.path_text(), c.device, c.inode, c.size, c.mtime.as_millisecond()))
        };
        let mut inspector = Inspector::new();
        each_page(source, &seen, |scan| {
            self.known += scan.skipped.known;
            self.arrivals_more += scan.refused_more;
            for candidate in scan.candidates {
                let (fate, reason) = match inspector.readiness(&candidate, source.config.settle, None, now) {
                    Readiness::Refused(error)
                        if error.kind() == ErrorKind::Denied && seen(&known_unreadable(&candidate)) =>
                    {
                        self.known += 1;
                        continue;
                    }
                    Readiness::Ready { proof, .. } => (Fate::Taken, proof.sentence()),
                    Readiness::Waiting { reason, .. } => (Fate::Waits, reason),
                    Readiness::Refused(error) => (Fate::Refused, error.to_string()),
                };
                self.found(app, candidate.path_text(), fate, reason, Some(candidate.size));
            }
            for Refusal { path, error, seen: file } in scan.refused {
                if !file.as_ref().is_some_and(seen) {
                    let size = file.map(|file| file.size);
                    self.found(app, path_text::to_text(&path), Fate::Refused, error.to_string(), size);
                }
            }
            ControlFlow::Continue(())
        })
    }

    fn found(&mut self, app: &App, path: String, fate: Fate, reason: String, size: Option<u64>) {
        if self.arrivals.len() < LISTED_MAX {
            self.arrivals.push(Found { app: app.name.to_string(), path, fate, reason, size });
        } else {
            self.arrivals_more += 1;
        }
    }
}

/// The paths of all that lies in these folders; none where that is too much to ask for by name. A folder that cannot be read
/// has nothing: whoever looks into it next says so.
fn paths_in(sources: &[Source]) -> Option<Vec<String>> {
    let paths = RefCell::new(Vec::new());
    for source in sources {
        // Whatever passes is taken for known, so that nothing else is found out about it.
        let pass = |candidate: &Candidate| {
            paths.borrow_mut().push(candidate.path_text());
            true
        };
        let _ = each_page(source, &pass, |scan| {
            let refused = scan.refused.iter().filter_map(|refusal| refusal.seen.as_ref());
            paths.borrow_mut().extend(refused.map(Candidate::path_text));
            if paths.borrow().len() > BY_NAME_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if paths.borrow().len() > BY_NAME_MAX {
            return None;
        }
    }
    Some(paths.into_inner())
}

/// Gives all that lies in a watched folder, a page at a time, until it is told to stop.
///
/// # Errors
/// Where the folder cannot be read.
fn each_page(
    source: &Source,
    known: &dyn Fn(&Candidate) -> bool,
    mut page: impl FnMut(Scan) -> ControlFlow<()>,
) -> Result<()> {
    let mut after = None;
    loop {
        let options = ScanOptions {
            recursive: source.config.recursive,
            after,
            known: Some(known),
            ..ScanOptions::default()
        };
        let mut scan = arrive::scan(&source.config.from, &source.patterns, &options)?;
        after = scan.next.take();
        if page(scan).is_break() || after.is_none() {
            return Ok(());
        }
    }
}
