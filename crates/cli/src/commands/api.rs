//! The API of `handover run`: bound before anything starts, served beside the engine, drained at the end.
//!
//! Any number of processes of a project may run on a machine, and one of them can have the address: another waits, and serves
//! when that one has ended.

use super::run::say_always;
use crate::printer::Printer;
use handover_api::{Bound, Server};
use handover_core::{ErrorKind, HolderId, Result};
use handover_runtime::Project;
use handover_runtime::config::Config;
use handover_runtime::operations::running::running;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tracing::error;

/// So often a process looks whether it may serve.
const LOOK: Duration = Duration::from_secs(2);

/// How this process stands to the API of its configuration.
pub(super) enum Api {
    /// Another process of this project serves it.
    Waits,
    /// The addresses are ours.
    Bound(Bound),
}

impl Api {
    /// Binds the addresses; none where the configuration has no `api:`.
    pub(super) fn bind(printer: Printer, project: &Project) -> Result<Option<Self>> {
        let Some(api) = &project.config.api else { return Ok(None) };
        match Bound::bind(&api.listen) {
            Ok(bound) => Ok(Some(Self::Bound(bound))),
            Err(e)
                if e.kind() == ErrorKind::Exists && running(&project.data).iter().any(|one| one.watches) =>
            {
                let waits =
                    "another process of this project serves the API: this one does when that has ended";
                say_always(printer, waits);
                Ok(Some(Self::Waits))
            }
            Err(e) => Err(e),
        }
    }
}

/// Sees to the API while the engine runs.
pub(super) struct Doorkeeper {
    printer: Printer,
    project: Project,
    holder: HolderId,
    server: Option<Server>,
    waits: bool,
}

impl Doorkeeper {
    /// Begins to serve what is bound.
    pub(super) fn new(
        printer: Printer,
        project: Project,
        holder: HolderId,
        api: Option<Api>,
    ) -> Result<Self> {
        let waits = matches!(api, Some(Api::Waits));
        let mut keeper = Self { printer, project, holder, server: None, waits };
        if let Some(Api::Bound(bound)) = api {
            keeper.begin(bound)?;
        }
        Ok(keeper)
    }

    fn begin(&mut self, bound: Bound) -> Result<()> {
        let server = bound.serve(self.project.clone(), self.holder.clone())?;
        let scheme = server.scheme();
        let addresses: Vec<_> =
            server.addresses().iter().map(|at| format!("{scheme}://{at}/api/docs/")).collect();
        say_always(self.printer, &format!("the API listens: {}", addresses.join(", ")));
        (self.server, self.waits) = (Some(server), false);
        Ok(())
    }

    /// Serves until the process is to stop, then drains; a configuration that is loaded anew is for the API too, and then
    /// handed on.
    pub(super) async fn serve(
        mut self,
        mut stop: watch::Receiver<bool>,
        mut reloads: mpsc::Receiver<Config>,
        forward: mpsc::Sender<Config>,
    ) {
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(config) = reloads.recv() => {
                    self.reload(config.clone());
                    let _ = forward.send(config).await;
                }
                () = tokio::time::sleep(LOOK), if self.waits => self.look(),
            }
        }
        if let Some(server) = self.server {
            server.shut_down().await;
        }
    }

    fn reload(&mut self, config: Config) {
        self.project = self.project.with_config(config);
        if let Some(server) = &self.server
            && let Err(e) = server.reload(self.project.clone())
        {
            error!("the API goes on as before: {e}");
        }
    }

    /// Whether the address is free now.
    fn look(&mut self) {
        let Some(api) = self.project.config.api.clone() else { return };
        if let Ok(bound) = Bound::bind(&api.listen)
            && let Err(e) = self.begin(bound)
        {
            error!("cannot serve the API: {e}");
            self.waits = false;
        }
    }
}
