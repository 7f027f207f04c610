//! Where systemd's units lie, and `systemctl`.

use handover_core::{Error, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whose manager sees to the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    /// That of this user.
    User,
    /// That of the machine.
    System,
}

impl Manager {
    /// The folder of its units.
    pub(super) fn folder(self) -> Result<PathBuf> {
        if self == Self::System {
            return Ok(PathBuf::from("/etc/systemd/system"));
        }
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder =
            absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
        folder.map(|folder| folder.join("systemd/user")).ok_or_else(|| {
            Error::config(
                "neither XDG_CONFIG_HOME nor HOME names a folder, so that units of this user have no place",
            )
            .hint("set HOME, or use --system")
        })
    }

    /// `systemctl` with these words, as a person writes it.
    pub(super) fn systemctl(self, words: &str) -> String {
        match self {
            Self::User => format!("systemctl --user {words}"),
            Self::System => format!("systemctl {words}"),
        }
    }

    /// How its log is read.
    pub(super) fn journal(self, unit: &str) -> String {
        match self {
            Self::User => format!("journalctl --user -u {unit} -f"),
            Self::System => format!("journalctl -u {unit} -f"),
        }
    }

    /// Runs `systemctl`.
    ///
    /// # Errors
    /// What it said, where it did not exit with 0.
    pub(super) fn ask<S: AsRef<OsStr>>(self, words: &[S]) -> Result<String> {
        let shown: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        let shown = self.systemctl(&shown.join(" "));
        let output = self.command(words).output().map_err(|e| Error::io("run", &shown, e))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String =
            said.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
        Err(Error::new(handover_core::ErrorKind::Program, format!("`{shown}` failed: {said}")))
    }

    /// The one word that it answers with, such as `enabled` or `inactive`, whatever it exits with.
    pub(super) fn word(self, verb: &str, unit: &str) -> String {
        let output = self.command(&[verb, unit]).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
    }

    fn command<S: AsRef<OsStr>>(self, words: &[S]) -> Command {
        let mut command = Command::new("systemctl");
        if self == Self::User {
            command.arg("--user");
        }
        command.args(words).stdin(Stdio::null());
        command
    }
}

/// Whether systemd runs this machine: sd_booted(3).
pub(super) fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}
