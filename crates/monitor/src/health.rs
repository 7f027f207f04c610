//! One look at health for all who ask at the same time: it lists folders, so it is made at most every few seconds.

use crate::fresh::Fresh;
use handover_core::{Error, Result};
use handover_runtime::Project;
use handover_runtime::operations::health::{self, Health};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So old at most is what is told of health.
const FRESH: Duration = Duration::from_secs(5);

/// What was seen last.
#[derive(Default)]
pub(crate) struct Seen(Fresh<Health>);

impl Seen {
    /// What was seen last, however long ago; none before the first look.
    pub(crate) fn last(&self) -> Option<(Instant, Arc<Health>)> {
        self.0.last()
    }

    /// What was seen a moment ago, or is seen now.
    ///
    /// # Errors
    /// Where the look itself panicked.
    pub(crate) async fn of(&self, project: &Project) -> Result<Arc<Health>> {
        self.0.of(FRESH, async || look(project.clone()).await).await
    }
}

/// Not on a thread that answers others.
async fn look(project: Project) -> Result<Health> {
    let handle = tokio::runtime::Handle::current();
    let look = tokio::task::spawn_blocking(move || handle.block_on(health::look(&project)));
    look.await.map_err(|e| Error::internal("the look at health ended").because(e.to_string()))
}
