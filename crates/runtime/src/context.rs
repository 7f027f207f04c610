//! What every part of a running runtime needs: one value, made once, shared by all.

use crate::built::Built;
use crate::config::{Config, Doors, Routes};
use crate::delivery::payload::FilePayload;
use crate::engine::events::Observer;
use crate::engine::held::HeldLeases;
use crate::engine::published::Published;
use crate::engine::untaken::Untaken;
use crate::program::Guard;
use crate::project::Project;
use handover_core::{Error, HolderId, Result, path_text};
use handover_file::lock::HolderLock;
use handover_file::publish::Publisher;
use std::sync::Arc;

/// One generation of a runtime: the configuration as it was when it was loaded, and what outlives reloads.
pub(crate) struct Context {
    /// The project: configuration, data directory, ledger.
    pub(crate) project: Project,
    /// Where outputs go.
    pub(crate) routes: Routes,
    /// How deliveries enter each app.
    pub(crate) doors: Doors,
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
    pub(crate) lock: HolderLock,
    /// Publishes.
    pub(crate) publisher: Publisher,
    /// Runs programs.
    pub(crate) guard: Guard,
    /// What we published of late.
    pub(crate) published: Published,
    /// What we hold.
    pub(crate) held: HeldLeases,
    /// Originals that had gone when they were to be taken.
    pub(crate) untaken: Untaken,
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

    /// Whether a delivery's file may be read: one in the data directory, or an export of ours. A path outside is believed
    /// only where the ledger gave the file its name there, under the number that its manifest has.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] for any other path.
    pub(crate) async fn may_read(&self, payload: &FilePayload) -> Result<()> {
        let Some(path) = payload.outside() else { return Ok(()) };
        let (folder, name) = (path.parent().map(path_text::to_text), path.file_name());
        if let (Some(folder), Some(name)) = (folder, name.and_then(|name| name.to_str())) {
            let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
            let row = self.project.ledger.name(&folder, stem).await?;
            let number = row.map(|row| row.file_id.to_string());
            if number.is_some() && number == payload.manifest.delivery_id {
                return Ok(());
            }
        }
        Err(Error::bad_data("the path does not stay inside the data directory, and is no export of ours")
            .on(&payload.path))
    }
}
