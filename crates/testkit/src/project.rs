//! A temporary project that the real binary works on.

use crate::Folder;
use crate::process::Running;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// So many lines of a log are shown where a test fails.
const SHOWN_LINES: usize = 60;

/// A project in a temporary folder: its configuration, what arrives, and the binary.
#[derive(Debug)]
pub struct Project {
    folder: Folder,
    exe: PathBuf,
    started: AtomicUsize,
}

impl Project {
    /// A project with this configuration; `exe` is the binary, which a test knows as `env!("CARGO_BIN_EXE_handover")`.
    pub fn new(exe: impl Into<PathBuf>, configuration: &str) -> Self {
        let project = Self { folder: Folder::new(), exe: exe.into(), started: AtomicUsize::new(0) };
        project.write("handover.yaml", configuration);
        project
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of something in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file of it.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        self.folder.write(name, content)
    }

    /// Puts a file there as a careful program does: written elsewhere, renamed in. It was last written a minute ago,
    /// so that it counts as complete also for one who did not see the renaming.
    ///
    /// # Panics
    /// Where it cannot be written.
    #[allow(clippy::expect_used, clippy::disallowed_methods)]
    pub fn arrive(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let nth = self.started.fetch_add(1, Ordering::SeqCst);
        let draft = self.write(format!("drafts/{nth}"), content);
        let file = std::fs::File::options().write(true).open(&draft).expect("a test's file");
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).expect("a file's time");
        let target = self.join(name);
        if let Some(above) = target.parent() {
            std::fs::create_dir_all(above).expect("a folder for what arrives");
        }
        std::fs::rename(draft, &target).expect("a test's file arrives");
        target
    }

    /// The binary with these words, in the project's folder.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.exe);
        command.args(words).current_dir(self.path()).env_remove("HANDOVER_FAULT");
        command
    }

    /// Starts the binary with these words.
    pub fn start(&self, words: &[&str]) -> Running {
        self.start_command(self.command(words))
    }

    /// Starts the binary with a fault armed (`HANDOVER_FAULT`).
    pub fn start_with_fault(&self, words: &[&str], fault: &str) -> Running {
        let mut command = self.command(words);
        command.env("HANDOVER_FAULT", fault);
        self.start_command(command)
    }

    fn start_command(&self, command: Command) -> Running {
        let nth = self.started.fetch_add(1, Ordering::SeqCst);
        let logs = self.join("logs");
        let _ = std::fs::create_dir_all(&logs);
        Running::start(command, &logs.join(format!("{nth}.log")))
    }
}

/// A failing test shows what its processes said last.
impl Drop for Project {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for log in files_below(&self.join("logs")) {
            let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
            eprintln!("--- {} ({} lines)\n{last}", log.display(), lines.len());
        }
    }
}

/// Every file below a folder, dot-named ones too; none where there is no such folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => files.push(entry.path()),
            }
        }
    }
    files.sort();
    files
}
