//! The engine: what `handover run` is. It opens a project, takes a holder's lock, starts the guard and the publisher,
//! and runs a task for each app, importer, schedule and duty.
//!
//! [`Engine::start`] makes a process; [`Engine::run`] serves until it is told to stop; [`Engine::run_once`] until
//! nothing is runnable. A reload ends one [`generation::Generation`] of tasks and starts another; what has begun goes
//! on under the configuration it began with.
//!
//! On a crash the holder's lock falls, the guard kills the programs, and whoever runs next rescues the leases.

mod adopt;
mod clockwork;
mod complaint;
mod duties;
pub mod events;
mod gather;
pub(crate) mod generation;
pub(crate) mod held;
pub(crate) mod load;
mod notify;
mod once;
mod pool;
pub(crate) mod published;
mod refusals;
mod sources;
pub(crate) mod untaken;
mod watched;

pub(crate) use adopt::{Assessed, DATA_DIRECTORY, assess, copied, put_key};
pub(crate) use clockwork::job_for;
pub(crate) use complaint::Complaint;
pub(crate) use duties::retries::until_due;
pub(crate) use notify::tell as tell_command;
pub(crate) use pool::{Busy, enough_room};
pub(crate) use sources::known_unreadable;

use crate::config::Config;
use crate::context::Process;
use crate::engine::events::{Event, Observer};
use crate::operations::records;
use crate::program::{Guard, HolderState, sweep_leftovers};
use crate::project::Project;
use generation::Generation;
use handover_core::limits::SHUTDOWN_GRACE_MS;
use handover_core::{Error, HolderId, Result};
use handover_file::lock::{self, HolderLock};
use handover_file::publish::Publisher;
use handover_ledger::NewAction;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

pub use once::{AppSummary, Summary as OnceSummary, WaitingApp};

/// So long the last spans may take at the end.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// What a run is to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only this app's deliveries are worked on, and nothing is watched.
    pub only: Option<String>,
    /// Ends when nothing is runnable.
    pub once: bool,
}

/// A process that works.
pub struct Engine {
    process: Arc<Process>,
    generation: Generation,
    /// What still goes on of the generations before a reload.
    earlier: Vec<Arc<AtomicUsize>>,
    duties: Vec<JoinHandle<()>>,
    notifying: JoinHandle<()>,
    end: watch::Sender<bool>,
    options: Options,
}

impl Engine {
    /// Starts everything. `observer` hears what happens.
    ///
    /// # Errors
    /// Where the built-in apps cannot be made, or the lock, the guard or the publisher cannot be had.
    pub async fn start(project: Project, options: Options, observer: Observer) -> Result<Self> {
        let holder = project.new_holder();
        let lock = HolderLock::take(&project.data, holder.clone())?;
        clean_up(&project, &holder)?;
        let exe = std::env::current_exe().map_err(|e| Error::io("find", "this program's own file", e))?;
        let process = Arc::new(Process {
            lock,
            publisher: Publisher::start()?,
            guard: Guard::start(&exe, &[OsStr::new("guard")])?,
            published: published::Published::default(),
            held: held::HeldLeases::default(),
            untaken: untaken::Untaken::default(),
            observer,
            holder,
        });
        let (end, ending) = watch::channel(false);
        duties::rescue::rescue(&project, &process).await?;
        let notifying = tokio::spawn(notify::serve(
            project.clone(),
            process.clone(),
            notify::listen(&process),
            ending.clone(),
        ));
        project.tracer.start();
        records::tell_claims(&project, "run", None).await?;
        let generation = Generation::start(project.clone(), process.clone(), &options)?;
        let duties = duties::begin(&project, &process, &ending);
        Ok(Self { process, generation, earlier: Vec::new(), duties, notifying, end, options })
    }

    /// Whose leases are ours.
    pub fn holder(&self) -> &HolderId {
        &self.process.holder
    }

    /// Serves until `stop` is true. `reload` gives a new configuration each time one is asked for.
    ///
    /// # Errors
    /// Nothing that happens to a delivery ends it; only what is wrong with the process itself does.
    pub async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
        mut reload: tokio::sync::mpsc::Receiver<Config>,
    ) -> Result<()> {
        loop {
            tokio::select! {
                () = ended(&mut stop) => break,
                Some(config) = reload.recv() => self.reload(config).await,
            }
        }
        self.shut_down().await;
        Ok(())
    }

    /// Works until nothing is runnable, or `stop` is true.
    ///
    /// # Errors
    /// Where the ledger cannot be asked.
    pub async fn run_once(self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let idle = tokio::select! {
            () = ended(&mut stop) => Ok(()),
            idle = once::until_idle(&self.generation) => idle,
        };
        duties::alerts::at_the_end(self.generation.project(), &self.process).await;
        self.shut_down().await;
        idle
    }

    /// The generation of another configuration, started.
    async fn next(&self, config: Config) -> Result<Generation> {
        let project = self.generation.project().with_config(config);
        records::tell_claims(&project, "run", None).await?;
        Generation::start(project, self.process.clone(), &self.options)
    }

    /// Swaps the configuration; one that cannot be made leaves the old one in force.
    async fn reload(&mut self, config: Config) {
        match self.next(config).await {
            Ok(next) => {
                let before = std::mem::replace(&mut self.generation, next);
                before.end();
                self.earlier.retain(|busy| busy.load(Ordering::SeqCst) > 0);
                self.earlier.extend([before.busy.clone(), before.alive.clone()]);
                // The duties go by the new configuration's times: a shorter lease is renewed more often.
                self.duties.drain(..).for_each(|duty| duty.abort());
                self.duties = duties::begin(self.generation.project(), &self.process, &self.end.subscribe());
                info!("the configuration was loaded anew");
                self.note_reload().await;
                self.process.observer.tell(Event::Notice("the configuration was loaded anew".into()));
            }
            Err(e) => warn!("the new configuration cannot be run: {e}; the old one stays in force"),
        }
    }

    /// Notes in the ledger that somebody had the configuration loaded anew: who it was, a signal does not say.
    async fn note_reload(&self) {
        let action = NewAction {
            actor: "signal".to_owned(),
            via: "SIGHUP".to_owned(),
            did: "reload".to_owned(),
            thing: Some(format!("the configuration of {}", self.process.holder)),
            ..NewAction::default()
        };
        if let Err(e) = self.generation.project().ledger.note_action(action).await {
            warn!("cannot note the reload in the audit: {e}");
        }
    }

    /// Begins nothing new, lets what runs end within the grace, stops it then, and gives back what is left.
    async fn shut_down(self) {
        self.generation.end();
        let idle = self.wait_until_idle();
        if tokio::time::timeout(Duration::from_millis(SHUTDOWN_GRACE_MS), idle).await.is_err() {
            info!(
                "stopping the {} deliveries that still run; they are given back",
                self.process.held.count()
            );
            self.process.held.stop_all();
            let stopped = self.wait_until_idle();
            if tokio::time::timeout(Duration::from_millis(2 * SHUTDOWN_GRACE_MS), stopped).await.is_err() {
                warn!(
                    "{} deliveries did not stop in time; their leases bring them back",
                    self.process.held.count()
                );
            }
        }
        self.end.send_replace(true);
        let _ = tokio::time::timeout(Duration::from_secs(30), self.notifying).await;
        for duty in self.duties {
            duty.abort();
        }
        let project = self.generation.project();
        project.add_counts().await;
        project.tracer.flush(LAST_SPANS).await;
    }

    /// Until nothing is held and nothing goes on: a delivery that is being settled is not held any more, and yet its
    /// end is to reach the ledger.
    async fn wait_until_idle(&self) {
        let goes_on = || {
            let counts = self.earlier.iter().chain([&self.generation.busy, &self.generation.alive]);
            self.process.held.count() > 0
                || counts.map(|busy| busy.load(Ordering::SeqCst)).any(|count| count > 0)
        };
        while goes_on() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Removes what dead processes left: programs, temporary files, locks.
fn clean_up(project: &Project, holder: &HolderId) -> Result<()> {
    let state = |other: &HolderId| {
        // A holder of another data directory has no lock file here: its programs are none of our business.
        match project.data.locks_dir().join(format!("{other}.lock")).exists() {
            false => HolderState::Unknown,
            true if other == holder || lock::is_alive(&project.data, other) => HolderState::Alive,
            true => HolderState::Dead,
        }
    };
    let killed = sweep_leftovers(state).killed;
    if killed > 0 {
        warn!("ended {killed} programs that a killed process had left running");
    }
    let exports: Vec<PathBuf> = generation::export_folders(&project.config);
    lock::sweep(&project.data, &exports).map(|_| ())
}

/// Returns when the value is true, or nobody can make it so any more.
pub(crate) async fn ended(value: &mut watch::Receiver<bool>) {
    let _ = value.wait_for(|value| *value).await;
}
