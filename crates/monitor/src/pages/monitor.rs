//! What every page has at hand.

use super::glance::Glances;
use super::live::Rooms;
use crate::health::Seen;
use handover_core::{HolderId, Result};
use handover_runtime::Project;
use handover_runtime::operations::health::Health;
use std::sync::Arc;
use tokio::sync::watch;

/// What the one who mounts the pages gives.
pub struct Setup {
    /// The project as it is configured now: it may change with every call.
    pub project: Box<dyn Fn() -> Project + Send + Sync>,
    /// Whose temporary files those are that an action makes.
    pub holder: HolderId,
    /// True when the end has come: streams end.
    pub draining: watch::Receiver<bool>,
}

/// The state of the pages; clones are one.
#[derive(Clone)]
pub struct Monitor(Arc<Inner>);

struct Inner {
    setup: Setup,
    health: Seen,
    glances: Glances,
    rooms: Rooms,
}

impl Monitor {
    /// Pages of a project.
    pub fn new(setup: Setup) -> Self {
        Self(Arc::new(Inner {
            setup,
            health: Seen::default(),
            glances: Glances::default(),
            rooms: Rooms::default(),
        }))
    }

    /// The project as it is configured now.
    pub fn project(&self) -> Project {
        (self.0.setup.project)()
    }

    /// Whether all is well, as it was seen a moment ago.
    ///
    /// # Errors
    /// Where nobody could look.
    pub async fn health(&self) -> Result<Arc<Health>> {
        self.0.health.of(&self.project()).await
    }

    /// Whose temporary files those are that an action makes.
    pub(super) fn holder(&self) -> &HolderId {
        &self.0.setup.holder
    }

    /// The counts, as they were a moment ago.
    pub(super) fn glances(&self) -> &Glances {
        &self.0.glances
    }

    /// Who looks at what.
    pub(super) fn rooms(&self) -> &Rooms {
        &self.0.rooms
    }

    /// Turns true when the end has come.
    pub(super) fn draining(&self) -> watch::Receiver<bool> {
        self.0.setup.draining.clone()
    }
}
