//! Running programs: each in its own process group, under a time limit, stopped as a whole tree, and never left
//! behind when the runtime dies.
//!
//! # How
//! The runtime ([`Guard`]) starts a small child, the guard (`handover guard`, [`guard::serve`]; a second one where
//! several programs run at once on several processors), over a Unix socket, and asks it to start every program.
//! The guard is the subreaper of its programs: whatever a program forks, and however often it does, ends up a
//! child of the guard when its parents are gone.
//!
//! # Invariants
//! - A run has ended only when every process of its tree is gone, so its output can no longer change. A process
//!   belongs to a run by its process group or by `HANDOVER_RUN` in its environment; an orphan with neither goes
//!   when the last run that it can belong to ends.
//! - A program has descriptors 0, 1 and 2 and no other, no signal blocked or ignored by us, and no terminal.
//! - A program may write any amount to stderr: it costs no memory and never blocks on us for long.
//!
//! # What happens on a crash
//! - The runtime dies (SIGKILL too): the guard sees its socket end, kills every program and its tree, and exits.
//! - The guard dies: the runtime, a subreaper too, kills the programs that came to it, reports each as failed with
//!   an error that a retry may mend, and starts a new guard for the next one.
//! - Both die at once: the next runtime calls [`sweep_leftovers`], which finds the programs by `HANDOVER_HOLDER`.

mod client;
pub mod exit;
pub mod guard;
mod leftovers;
mod link;
mod lookup;
mod procfs;
mod protocol;
mod run;
mod stderr;
mod sys;
mod tree;

pub use client::Guard;
pub use exit::{Meaning, Verdict};
pub use leftovers::{HolderState, Swept, sweep_leftovers};
pub use link::RunHandle;
pub use run::Run;

use handover_core::HolderId;
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

/// The variable that names the run a process belongs to; a run inside another has both, joined by `/`.
pub const RUN_VARIABLE: &str = "HANDOVER_RUN";
/// The variable that names the [`HolderId`] for whom a process runs.
pub const HOLDER_VARIABLE: &str = "HANDOVER_HOLDER";
/// The variable that marks a guard; programs never have it.
const GUARD_VARIABLE: &str = "HANDOVER_GUARD";

/// What is called with each line of a program's stderr, without its end, as it is written.
pub type OnStderrLine = Box<dyn FnMut(&str) + Send>;

/// A program to run.
#[derive(Debug)]
pub struct ProgramSpec {
    /// The program and its arguments. The program is searched for in `PATH` if it has no slash; a relative path
    /// is relative to `cwd`.
    pub words: Vec<OsString>,
    /// Variables set beyond those of this process.
    pub env: Vec<(OsString, OsString)>,
    /// The folder it runs in.
    pub cwd: PathBuf,
    /// What it reads.
    pub stdin: Input,
    /// Where its stdout goes.
    pub stdout: Output,
    /// After this time it is stopped.
    pub timeout: Duration,
    /// How long it gets between SIGTERM and SIGKILL when it is stopped; zero is SIGKILL at once.
    pub grace: Duration,
    /// For whom it runs: said in its environment, so that it can be found when its runtime and guard are gone.
    pub holder: HolderId,
}

/// What a program reads.
#[derive(Debug)]
pub enum Input {
    /// Nothing: `/dev/null`.
    Null,
    /// This file, from where it stands.
    File(File),
}

/// Where a program's stdout goes.
#[derive(Debug)]
pub enum Output {
    /// Nowhere: `/dev/null`.
    Null,
    /// Into this file.
    File(File),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By itself, with this exit code.
    Exit(i32),
    /// By this signal, which we did not send.
    Signal(i32),
    /// Stopped, because it ran longer than its `timeout`.
    TimedOut,
    /// Stopped, because it was cancelled.
    Cancelled,
}

/// What came of a run. Every process of its tree is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub how: How,
    /// The end of what it wrote to stderr, up to [`handover_core::limits::STDERR_KEPT_BYTES`]; says so if its
    /// beginning was cut.
    pub stderr: String,
    /// How long it ran.
    pub wall: Duration,
}

impl Ended {
    /// What this end means for the delivery, by the rules of sysexits.h.
    pub fn meaning(&self) -> Meaning {
        exit::meaning(self.how)
    }
}
