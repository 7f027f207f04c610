//! The counts that every page shows above: read at most once a second, however many look.

use handover_core::{Result, Status};
use handover_ledger::{AppCount, Pause};
use handover_runtime::Project;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// So old at most are the counts.
const FRESH: Duration = Duration::from_secs(1);

/// What one look at the counts gave.
#[derive(Debug)]
pub struct Glance {
    /// How many deliveries stand where.
    pub counts: Vec<AppCount>,
    /// Apps that are paused.
    pub paused: Vec<Pause>,
}

impl Glance {
    /// How many stand so, of apps of which this holds.
    pub fn how_many(&self, status: Status, of: impl Fn(&str) -> bool) -> u64 {
        let these = self.counts.iter().filter(|one| one.status == status && of(&one.app));
        these.map(|one| one.count).sum()
    }
}

/// The last look.
#[derive(Default)]
pub struct Glances(Mutex<Option<(Instant, Arc<Glance>)>>);

impl Glances {
    /// A look of a moment ago, or of now.
    ///
    /// # Errors
    /// Where the ledger does not answer.
    pub async fn of(&self, project: &Project) -> Result<Arc<Glance>> {
        let mut known = self.0.lock().await;
        if let Some((_, seen)) = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(seen.clone());
        }
        let (counts, paused) = (project.ledger.counts().await?, project.ledger.paused().await?);
        let seen = Arc::new(Glance { counts, paused });
        *known = Some((Instant::now(), seen.clone()));
        Ok(seen)
    }
}
