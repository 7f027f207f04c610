//! What every part of a running runtime needs: one value, made once, shared by all.

use crate::built::Built;
use crate::config::{Config, Routes};
use crate::engine::events::Observer;
use crate::engine::held::HeldLeases;
use crate::engine::published::Published;
use crate::program::Guard;
use crate::project::Project;
use handover_core::HolderId;
use handover_file::lock::HolderLock;
use handover_file::publish::Publisher;
use std::sync::Arc;

/// One generation of a runtime: the configuration as it was when it was loaded, and what outlives reloads.
pub(crate) struct Context {
    /// The project: configuration, data directory, ledger.
    pub(crate) project: Project,
    /// Where outputs go.
    pub(crate) routes: Routes,
    /// The built-in apps, compiled.
    pub(crate) built: Built,
    /// What outlives a reload.
    pub(crate) process: Arc<Process>,
}

/// What a process has once, whatever its configuration.
pub(crate) struct Process {
    /// Who we are to the ledger.
    pub(crate) holder: HolderId,
    /// The proof that we live.
    pub(crate) _lock: HolderLock,
    /// Publishes.
    pub(crate) publisher: Publisher,
    /// Runs programs.
    pub(crate) guard: Guard,
    /// What we published of late.
    pub(crate) published: Published,
    /// What we hold.
    pub(crate) held: HeldLeases,
    /// Who hears what happens.
    pub(crate) observer: Observer,
}

impl Context {
    /// Today's date in the configured time zone.
    pub(crate) fn today(&self) -> jiff::civil::Date {
        self.project.clock.now().to_zoned(self.config().timezone.clone()).date()
    }

    /// The configuration.
    pub(crate) fn config(&self) -> &Config {
        &self.project.config
    }
}
