//! Gathers the records that go to an app by file: claims them when there are enough of them for a file, by count or by size, or the
//! oldest has waited long enough, and makes a file of them.
//!
//! Whether to claim is decided by counting what waits, so no lease is held while records wait for others. On a crash the
//! leases of what was being gathered are rescued, and it is gathered again.

use super::pool::{Busy, enough_room};
use super::{Complaint, ended, until_due};
use crate::config::{App, Gather};
use crate::context::Context;
use crate::delivery::Attempt;
use crate::delivery::gather::gather;
use handover_core::{Result, fault};
use handover_ledger::{Claim, Queue};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::watch;

/// How long to wait before another try where the ledger or the disk does not let us work.
const AGAIN: Duration = Duration::from_secs(1);

/// What gathers for one app.
pub(crate) struct Gathering {
    pub(crate) ctx: Arc<Context>,
    /// The app that the files go to.
    pub(crate) app: Arc<App>,
    pub(crate) gather: Gather,
    pub(crate) busy: Arc<AtomicUsize>,
    /// Whenever it changes, what waits is gathered, however little it is.
    pub(crate) flush: watch::Receiver<u64>,
}

/// What a round came to.
enum Round {
    /// Records were gathered: there may be more.
    Gathered,
    /// There is not enough yet: looked at again after this time.
    Waits(Duration),
}

impl Gathering {
    /// Gathers until `end`; a file that has been begun is finished after that.
    pub(crate) async fn serve(mut self, mut end: watch::Receiver<bool>) {
        let mut wake = self.ctx.project.ledger.wake_for(self.app.name.as_str());
        let mut all = false;
        let mut complaint = Complaint::default();
        loop {
            wake.mark_unchanged();
            let round = self.round(all).await;
            if round.is_ok() {
                complaint.over(&self.app.name, "gather");
            }
            let pause = match round {
                Ok(Round::Gathered) if *end.borrow() => return,
                Ok(Round::Gathered) => continue,
                Ok(Round::Waits(pause)) => pause,
                Err(e) => {
                    complaint.failed(&self.app.name, "gather", &e);
                    AGAIN
                }
            };
            all = tokio::select! {
                () = ended(&mut end) => return,
                Ok(()) = self.flush.changed() => true,
                _ = wake.changed() => false,
                () = tokio::time::sleep(pause) => false,
            };
        }
    }

    async fn round(&self, all: bool) -> Result<Round> {
        let ledger = &self.ctx.project.ledger;
        let waiting = ledger.waiting(Queue::Records, self.app.name.as_str(), self.gather.rows).await?;
        let Some(oldest) = waiting.oldest.filter(|_| waiting.count > 0) else {
            return Ok(Round::Waits(until_due(&self.ctx).await));
        };
        let (rows, size) = (self.gather.rows, self.gather.size);
        let fills = ledger.filling(Queue::Records, self.app.name.as_str(), rows, size).await?;
        let waited = self.ctx.project.clock.now().duration_since(oldest);
        let waited = Duration::try_from(waited).unwrap_or_default();
        let full = fills.is_some() || waiting.count >= rows as u64;
        if !full && !all && waited < self.gather.every {
            return Ok(Round::Waits(until_due(&self.ctx).await.min(self.gather.every - waited)));
        }
        enough_room(&self.ctx.project.data)?;
        let _busy = Busy::begin(&self.busy);
        let claim = Claim {
            queue: Queue::Records,
            app: self.app.name.to_string(),
            // What is beyond a full file waits for the next.
            max: fills.unwrap_or(rows),
            lease: self.ctx.config().lease,
            holder: self.ctx.process.holder.clone(),
        };
        let claimed = ledger.claim(claim).await?;
        let begin = |delivery| Attempt::begin(&self.ctx, &self.app, Queue::Records, delivery, None);
        let records: Vec<Attempt> = claimed.into_iter().filter_map(begin).collect();
        if records.is_empty() {
            // Another process was quicker, or order keys hold them up.
            return Ok(Round::Waits(AGAIN));
        }
        fault::point("gather.claimed")?;
        gather(&self.ctx, &self.app, records, self.gather.size).await;
        Ok(Round::Gathered)
    }
}
