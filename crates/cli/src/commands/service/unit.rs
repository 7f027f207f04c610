//! The text of a systemd unit for `handover run`.
//!
//! Invariants: whatever a path holds, systemd reads that path (spaces, `%`, `$`, quotes, backslashes), or the unit is refused; the
//! first line says that the unit is Handover's, and for which configuration.

use handover_core::{Error, Result, path_text};
use std::path::Path;

/// What the first line of a unit of ours begins with.
const MARK: &str = "# Written by `handover service install` for ";

/// What a unit is made of.
pub(super) struct Unit<'u> {
    /// This program.
    pub(super) program: &'u Path,
    /// The configuration, from the root.
    pub(super) config: &'u Path,
    /// The project's folder, from the root.
    pub(super) folder: &'u Path,
    /// The data directory, from the root.
    pub(super) data: &'u Path,
    /// Whom it runs as, where it is a unit of the system.
    pub(super) user: Option<&'u str>,
    /// Whether its ledger is on a server.
    pub(super) on_postgres: bool,
}

/// Whose unit a text is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This project's.
    Ours,
    /// That of another project.
    AnotherProject(String),
    /// Somebody else wrote it.
    Foreign,
}

/// Whose it is.
pub(super) fn owner(text: &str, config: &Path) -> Owner {
    match text.lines().next().and_then(|line| line.strip_prefix(MARK)) {
        None => Owner::Foreign,
        Some(project) if project == path_text::to_text(config) => Owner::Ours,
        Some(project) => Owner::AnotherProject(project.to_owned()),
    }
}

impl Unit<'_> {
    /// The unit's text.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a path that no unit can hold.
    pub(super) fn text(&self) -> Result<String> {
        let (program, config) = (executable(self.program)?, argument(self.config)?);
        let (folder, data) = (value(self.folder)?, value(self.data)?);
        let environment = value(&self.folder.join("handover.env"))?;
        let name =
            path_text::to_text(self.folder.file_name().map_or(self.folder, Path::new)).replace('%', "%%");
        let mark = path_text::to_text(self.config);
        let is_system = self.user.is_some();
        let order = if is_system { self.order(&data) } else { String::new() };
        let user = self.user.map(|user| format!("User={user}\n")).unwrap_or_default();
        // What root may write is not fenced in: its programs may be there to write it.
        let fence = match self.user {
            Some(user) if user != "root" => "ProtectSystem=full\nProtectControlGroups=yes\n",
            _ => "",
        };
        let target = if is_system { "multi-user.target" } else { "default.target" };
        Ok(format!(
            "{MARK}{mark}
# `handover service install` writes it anew, `uninstall` removes it: changes of your own go into `systemctl edit`.

[Unit]
Description=Handover: {name}
{order}# A ledger or disk that is not there yet is waited for, by starting again and again.
StartLimitIntervalSec=0

[Service]
# It says when it is ready, and that it is alive.
Type=notify
NotifyAccess=main
TimeoutStartSec=15min
WatchdogSec=5min
{user}WorkingDirectory={folder}
ExecStart={program} --config {config} run
ExecReload=/bin/kill -HUP $MAINPID
# Variables for ${{NAME}} in its configuration and for its programs, one NAME=value a line: passwords, a PATH. It need not be there.
EnvironmentFile=-{environment}
Restart=on-failure
RestartSec=5
# 2: the configuration is wrong. Starting again would not help.
RestartPreventExitStatus=2
# It alone is asked to stop, gives its programs up to 30 seconds, and sees to it that none is left.
KillMode=mixed
TimeoutStopSec=60
# A program that takes too much memory is that program's end, not everybody's.
OOMPolicy=continue
# Programs may need more than a fence allows (sudo, sendmail, /tmp, other folders). Where yours do not, tighten it:
# NoNewPrivileges=yes, PrivateTmp=yes, ProtectHome=read-only, ReadWritePaths=…
{fence}
[Install]
WantedBy={target}
"
        ))
    }

    /// What comes before it.
    fn order(&self, data: &str) -> String {
        let postgres = if self.on_postgres { " postgresql.service" } else { "" };
        format!(
            "After=local-fs.target network-online.target{postgres}\nWants=network-online.target\nRequiresMountsFor={}\n",
            // Words of a list: quoted where there is a space.
            if data.contains([' ', '"', '\\', '\'']) {
                format!("\"{}\"", escaped(data))
            } else {
                data.to_owned()
            }
        )
    }
}

/// A path as text, if a unit can hold it.
fn plain(path: &Path) -> Result<&str> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    text.ok_or_else(|| {
        Error::config("systemd takes no path that is not UTF-8, or holds a control character")
            .on(path_text::to_text(path))
            .hint("rename it, or put a symbolic link to it under a plain name and name that")
    })
}

/// A path that takes its whole line.
fn value(path: &Path) -> Result<String> {
    let text = plain(path)?;
    if text.ends_with(['\\', ' ']) {
        return Err(Error::config("systemd takes no path that ends in a space or a backslash")
            .on(path_text::to_text(path))
            .hint("rename it, or put a symbolic link to it under a plain name and name that"));
    }
    Ok(text.replace('%', "%%"))
}

/// A path as an argument.
fn argument(path: &Path) -> Result<String> {
    Ok(format!("\"{}\"", escaped(&plain(path)?.replace('%', "%%")).replace('$', "$$")))
}

/// A path as the program that is started: variables are not filled in there.
fn executable(path: &Path) -> Result<String> {
    Ok(format!("\"{}\"", escaped(&plain(path)?.replace('%', "%%"))))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit<'u>(folder: &'u Path, config: &'u Path, user: Option<&'u str>) -> Unit<'u> {
        Unit {
            program: Path::new("/opt/a b/handover"),
            config,
            folder,
            data: folder,
            user,
            on_postgres: true,
        }
    }

    #[test]
    fn every_path_is_written_so_that_systemd_reads_it() {
        let folder = Path::new("/srv/50% \"off\" $HOME\\x");
        let config = folder.join("handover.yaml");
        let text = unit(folder, &config, Some("shop")).text().unwrap();
        for line in [
            "WorkingDirectory=/srv/50%% \"off\" $HOME\\x",
            "ExecStart=\"/opt/a b/handover\" --config \"/srv/50%% \\\"off\\\" $$HOME\\\\x/handover.yaml\" run",
            "EnvironmentFile=-/srv/50%% \"off\" $HOME\\x/handover.env",
            "RequiresMountsFor=\"/srv/50%% \\\"off\\\" $HOME\\\\x\"",
            "After=local-fs.target network-online.target postgresql.service",
            "User=shop",
            "ProtectSystem=full",
            "WantedBy=multi-user.target",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        for bad in ["/srv/a\nExecStart=/bin/evil", "/srv/a ", "/srv/a\\"] {
            let config = Path::new("/srv/x/handover.yaml");
            assert!(unit(Path::new(bad), config, None).text().is_err(), "{bad:?}");
        }
        use std::os::unix::ffi::OsStrExt as _;
        let bytes = Path::new(std::ffi::OsStr::from_bytes(b"/srv/\xff"));
        assert!(unit(bytes, &bytes.join("handover.yaml"), None).text().is_err());
    }

    #[test]
    fn a_users_unit_names_nothing_that_its_manager_does_not_know() {
        let text = unit(Path::new("/srv/x"), Path::new("/srv/x/handover.yaml"), None).text().unwrap();
        for word in ["\nUser=", "network-online", "postgresql.service", "ProtectSystem", "multi-user"] {
            assert!(!text.contains(word), "{word}\n{text}");
        }
        assert!(text.contains("WantedBy=default.target"));
        let root = unit(Path::new("/srv/x"), Path::new("/srv/x/handover.yaml"), Some("root")).text().unwrap();
        assert!(!root.contains("ProtectSystem"));
    }

    #[test]
    fn a_unit_says_whose_it_is() {
        let config = Path::new("/srv/x/handover.yaml");
        let text = unit(Path::new("/srv/x"), config, None).text().unwrap();
        assert_eq!(owner(&text, config), Owner::Ours);
        let other = Path::new("/srv/y/handover.yaml");
        assert_eq!(owner(&text, other), Owner::AnotherProject("/srv/x/handover.yaml".into()));
        assert_eq!(owner("[Unit]\n", config), Owner::Foreign);
        assert_eq!(owner("", config), Owner::Foreign);
    }
}
