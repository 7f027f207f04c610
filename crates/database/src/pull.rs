//! A claim, waited for.
//!
//! The holder of such a claim is no process: the command that claims has ended when the work begins. So nobody takes the
//! work back before its lease ends ([`HolderId::without_process`]).

use handover_core::{Clock, Delivery, HolderId, Result};
use handover_ledger::{Claim, Ledger, Queue};
use std::time::Duration;

/// What is pulled.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The app whose records are wanted.
    pub app: String,
    /// At most so many.
    pub max: usize,
    /// How long to wait for the first.
    pub wait: Duration,
    /// How long the claim lasts.
    pub lease: Duration,
    /// Who pulls, for people.
    pub who: String,
}

/// Claims records; none where none came in time.
///
/// # Errors
/// Where the ledger cannot be used.
pub async fn pull(ledger: &dyn Ledger, clock: &dyn Clock, pull: Pull) -> Result<Vec<Delivery>> {
    let end = tokio::time::Instant::now() + pull.wait;
    let holder = HolderId::without_process(&pull.who);
    let mut wake = ledger.wake_for(&pull.app);
    loop {
        wake.mark_unchanged();
        let claim = Claim {
            queue: Queue::Records,
            app: pull.app.clone(),
            max: pull.max,
            lease: pull.lease,
            holder: holder.clone(),
        };
        let claimed = ledger.claim(claim).await?;
        if !claimed.is_empty() || tokio::time::Instant::now() >= end {
            return Ok(claimed);
        }
        // A delayed one becomes due without anybody's doing.
        let due = ledger.next_due().await?.map(|due| due.duration_since(clock.now()).unsigned_abs());
        let due = due.map_or(end, |due| tokio::time::Instant::now() + due).min(end);
        tokio::select! {
            _ = wake.changed() => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }
}
