//! One look at health for all who ask at the same time: it lists folders, so it is made at most every few seconds.

use handover_core::limits::STUCK_AFTER_MS;
use handover_core::{Error, Result};
use handover_runtime::Project;
use handover_runtime::operations::health::{Health, health};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// So old at most is what is told of health.
const FRESH: Duration = Duration::from_secs(5);

/// What was seen last.
#[derive(Default)]
pub struct Seen(Mutex<Option<(Instant, Arc<Health>)>>);

impl Seen {
    /// What was seen last, however long ago; none before the first look, and while one is made.
    pub fn last(&self) -> Option<(Instant, Arc<Health>)> {
        self.0.try_lock().ok()?.clone()
    }

    /// What was seen a moment ago, or is seen now.
    ///
    /// # Errors
    /// Where the look itself panicked.
    pub async fn of(&self, project: &Project) -> Result<Arc<Health>> {
        let mut known = self.0.lock().await;
        if let Some((_, seen)) = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(seen.clone());
        }
        let (project, handle) = (project.clone(), tokio::runtime::Handle::current());
        let after = Duration::from_millis(STUCK_AFTER_MS);
        // Not on a thread that answers others.
        let look = tokio::task::spawn_blocking(move || handle.block_on(health(&project, after)));
        let seen =
            look.await.map_err(|e| Error::internal("the look at health ended").because(e.to_string()))?;
        let seen = Arc::new(seen);
        *known = Some((Instant::now(), seen.clone()));
        Ok(seen)
    }
}
