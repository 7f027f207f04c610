//! The system's file events in one form: inotify on Linux, the `notify` crate elsewhere.
//!
//! Invariants: whoever listens holds no lock of those who begin and end watches; what the system could not tell is
//! told as [`Told::Lost`], never left out in silence.

#[cfg(target_os = "linux")]
mod inotify;
#[cfg(target_os = "linux")]
pub(super) use inotify::{Listener, System, start};

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::{Listener, System, start};

use super::watch::EventKind;
use std::path::PathBuf;

/// One event of the system.
#[derive(Debug)]
pub(super) struct Happening {
    /// What it happened to: something in a watched folder, or the folder itself.
    pub(super) path: PathBuf,
    /// What happened.
    pub(super) kind: EventKind,
    /// Whether it may be a folder that came or went.
    pub(super) may_be_folder: bool,
}

/// What listening came to.
#[derive(Debug)]
pub(super) enum Told {
    /// These events, in their order.
    Happened(Vec<Happening>),
    /// Some events are lost.
    Lost,
    /// The system fails to tell; why.
    Failed(String),
    /// Nothing within the time.
    Nothing,
    /// [`System::wake`] was called.
    Woken,
}

/// Why a folder cannot be watched.
#[derive(Debug)]
pub(super) enum Refused {
    /// The system allows no more watched folders.
    TooMany,
    /// Any other reason.
    Other(String),
}
