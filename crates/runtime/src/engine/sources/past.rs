//! What an importer knows of the past when it starts: which originals it has seen, and which it has half removed.

use super::{Importing, Source};
use crate::delivery::payload::ArrivalPayload;
use crate::delivery::see_to_original_of;
use handover_core::{DeliveryId, path_text};
use handover_file::arrive::{self, Candidate, Disposal};
use handover_ledger::ArrivalKey;
use tracing::warn;

/// At least so many originals of the past are remembered at the start; older ones are looked up as they are seen.
const REMEMBERED_MIN: usize = 1_000;

/// So many of the latest arrivals are looked at for originals that are half removed.
const HALF_REMOVED_MAX: usize = 1_000;

impl Importing {
    /// Whether originals stay where they are, so that most of what lies there is known. One that is to be moved or
    /// deleted and still lies there is looked up, in case a crash left it.
    pub(super) fn all_are_left(&self) -> bool {
        self.sources.iter().all(|source| source.disposal() == Disposal::Leave)
    }

    /// Remembers what was seen before; another process's arrivals are found out when they are committed.
    pub(super) async fn remember(&mut self) {
        if !self.all_are_left() {
            return;
        }
        // Of a long past, most originals are gone; what lies there decides how far back to read.
        let lies_there = |source: &Source| std::fs::read_dir(&source.config.from).map_or(0, Iterator::count);
        let most = REMEMBERED_MIN.max(2 * self.sources.iter().map(lies_there).sum::<usize>());
        match self.ctx.project.ledger.arrivals(self.app.name.as_str(), most).await {
            // Newest first: what a path held last is what is kept.
            Ok(arrivals) => arrivals.into_iter().rev().for_each(|a| self.known.insert(&candidate_of(a.key))),
            Err(e) => warn!(app = %self.app.name, "cannot read what arrived before: {e}"),
        }
    }

    /// Removes originals that a crash left out of the scan's sight, half removed: of the latest arrivals, as a crash is
    /// followed by a look like this.
    pub(super) async fn finish_removals(&self) {
        if self.all_are_left() {
            return;
        }
        let arrivals = match self.ctx.project.ledger.arrivals(self.app.name.as_str(), HALF_REMOVED_MAX).await
        {
            Ok(arrivals) => arrivals,
            Err(e) => return warn!(app = %self.app.name, "cannot look for half removed originals: {e}"),
        };
        for arrival in arrivals {
            let candidate = candidate_of(arrival.key);
            if arrive::is_left_aside(&candidate) {
                let disposal = self.disposal_of(arrival.delivery_id).await;
                see_to_original_of(&self.ctx, &self.app.name, arrival.delivery_id, candidate, disposal).await;
            }
        }
    }

    /// What is to become of an arrival's original, as its source says now.
    pub(super) async fn disposal_of(&self, id: DeliveryId) -> Disposal {
        let delivery = self.ctx.project.ledger.get(id).await.ok().flatten();
        let index = delivery
            .and_then(|delivery| ArrivalPayload::of(&delivery).ok())
            .map_or(0, |arrival| arrival.source);
        self.sources
            .get(index)
            .or_else(|| self.sources.first())
            .map_or(Disposal::Leave, |source| source.disposal())
    }
}

/// The file as it was seen then.
fn candidate_of(key: ArrivalKey) -> Candidate {
    let (path, device, inode, size, mtime) =
        (path_text::from_text(&key.path), key.device, key.inode, key.size, key.mtime);
    Candidate { path, device, inode, size, mtime, ctime: mtime }
}
