//! What every page has at hand.

use super::Wrong;
use super::glance::Glances;
use super::live::Rooms;
use crate::fresh::Fresh;
use crate::health::Seen;
use crate::keyring::Keyring;
use handover_core::{HolderId, Result};
use handover_ledger::Size;
use handover_runtime::Project;
use handover_runtime::operations::growth::{self, Growth};
use handover_runtime::operations::health::Health;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// So long a machine is told of a look at health before the next is made.
const HEALTH_KEPT: Duration = Duration::from_secs(30);

/// So long what is told of growth is kept: it is measured every hour.
const GROWTH_KEPT: Duration = Duration::from_secs(60);

/// So many files are read for pages at the same time, downloads and checksums: each takes a thread.
const READS_MAX: usize = 32;

/// What the one who mounts the pages gives.
pub struct Setup {
    /// The project as it is configured now: it may change with every call.
    pub project: Box<dyn Fn() -> Project + Send + Sync>,
    /// Who makes keys.
    pub keyring: Arc<dyn Keyring>,
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
    growth: Fresh<(Growth, Vec<Size>)>,
    rooms: Rooms,
    reads: Arc<Semaphore>,
    /// Whether a look at health is on its way that nobody waits for.
    looking: AtomicBool,
}

impl Monitor {
    /// Pages of a project.
    pub fn new(setup: Setup) -> Self {
        Self(Arc::new(Inner {
            setup,
            health: Seen::default(),
            glances: Glances::default(),
            growth: Fresh::default(),
            rooms: Rooms::default(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            looking: AtomicBool::new(false),
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

    /// Whether all was well when somebody last looked; where that is a while ago, a look is begun, for who asks next.
    pub fn health_seen(&self) -> Option<Arc<Health>> {
        let last = self.0.health.last();
        if last.as_ref().is_none_or(|(at, _)| at.elapsed() > HEALTH_KEPT)
            && !self.0.looking.swap(true, Ordering::SeqCst)
        {
            let monitor = self.clone();
            tokio::spawn(async move {
                let _ = monitor.health().await;
                monitor.0.looking.store(false, Ordering::SeqCst);
            });
        }
        last.map(|(_, health)| health)
    }

    /// Whose temporary files those are that an action makes.
    pub(super) fn holder(&self) -> &HolderId {
        &self.0.setup.holder
    }

    /// A place for who reads a whole file; it is given back when this is dropped.
    ///
    /// # Errors
    /// 503 where too many do already.
    pub(super) fn reading(&self) -> Result<OwnedSemaphorePermit, Wrong> {
        let full = |_| Wrong::unavailable("too many files are read at the same time: try again in a moment");
        self.0.reads.clone().try_acquire_owned().map_err(full)
    }

    /// The counts, as they were a moment ago.
    pub(super) fn glances(&self) -> &Glances {
        &self.0.glances
    }

    /// How folders, tables and the disk grew of late, with the sizes that it is told from, as they were a moment ago.
    pub(super) async fn growth(&self) -> Result<Arc<(Growth, Vec<Size>)>> {
        let project = self.project();
        self.0.growth.of(GROWTH_KEPT, async || growth::with_sizes(&project, project.clock.now()).await).await
    }

    /// Who makes keys.
    pub(super) fn keyring(&self) -> &dyn Keyring {
        self.0.setup.keyring.as_ref()
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
