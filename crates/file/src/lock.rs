//! Liveness: a process lives as long as it holds the lock on its own file, `.handover/locks/{holder}.lock`.
//!
//! Invariants: the kernel gives the lock up when the process ends, however it ends, so a dead holder is known at
//! once and a process id that is used again deceives nobody; looking at a lock never disturbs its holder, and
//! two who look do not deceive each other (both look with shared locks); temporary files of a living holder are
//! never removed. After a crash the lock file stays, unlocked, until [`sweep`] removes it.
//!
//! On a shared mount a lock is believed only by the machine that its holder runs on, since not every mount carries locks to
//! others: a holder that shares its ledger with other machines has its machine's name in its own, and counts as alive to
//! all others. They remove what it left when it has not touched its lock for a day.

use crate::layout::DataDir;
use crate::place::{io_error, is_same};
use crate::temp::{holder_is_plain, holder_of, remove_whatever};
use handover_core::{Error, HolderId, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

const SUFFIX: &str = ".lock";
/// What the folder of a probe begins with; it is locked itself.
pub(crate) const PROBE_PREFIX: &str = "probe-";

/// How long the holder of another machine may leave its lock untouched before it counts as gone for the sweep.
const FORSAKEN: Duration = Duration::from_secs(86_400);
/// How often a holder touches its lock.
const TOUCH_EVERY: Duration = Duration::from_secs(600);

/// A new name for this process. Where it is `shared` with processes of other machines, the machine is in it.
pub fn new_holder(shared: bool) -> HolderId {
    let holder = HolderId::new(std::process::id());
    match shared {
        true => HolderId(format!("{holder}-m{}", machine().unwrap_or("unknown"))),
        false => holder,
    }
}

/// This machine since its last start, in eight characters; none where the system does not tell. Containers share their
/// kernel, and with it this and the locks.
fn machine() -> Option<&'static str> {
    static MACHINE: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(boot.chars().filter(char::is_ascii_alphanumeric).take(8).collect())
    };
    MACHINE.get_or_init(read).as_deref()
}

/// Whether a holder is a process of another machine, of which no lock here tells.
fn is_elsewhere(holder: &HolderId) -> bool {
    let of = holder.0.split('-').nth(2).and_then(|part| part.strip_prefix('m'));
    of.is_some_and(|of| machine() != Some(of))
}

/// Whether a lock tells of this holder: it is a process, and one of this machine.
pub fn can_be_judged(holder: &HolderId) -> bool {
    holder.0.starts_with(|first: char| first.is_ascii_digit()) && !is_elsewhere(holder)
}

/// Whether a file was last written longer ago than a holder leaves its lock untouched.
fn is_forsaken(path: &Path) -> bool {
    let written = fs::metadata(path).and_then(|metadata| metadata.modified());
    written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > FORSAKEN))
}

/// The proof that this process lives. Keep it as long as the process works; dropping it says that it has ended.
#[derive(Debug)]
pub struct HolderLock {
    holder: HolderId,
    path: PathBuf,
    file: File,
    touched: Mutex<Instant>,
}

impl HolderLock {
    /// Takes the lock of this holder.
    ///
    /// # Errors
    /// Where the lock file cannot be made or locked, or the holder's name cannot stand in a file's name.
    pub fn take(data: &DataDir, holder: HolderId) -> Result<Self> {
        if !holder_is_plain(&holder) {
            return Err(Error::internal(format!("{:?} cannot be a holder's name", holder.0)));
        }
        let path = lock_path(data, &holder);
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|e| io_error("create the lock file", &path, e))?;
            retry_interrupted(|| flock(&file, FlockOperation::LockExclusive))
                .map_err(|e| io_error("lock", &path, e.into()))?;
            // A sweep may have found the file before it was locked, and removed it.
            if is_same(&path, &file) {
                return Ok(Self { holder, path, file, touched: Mutex::new(Instant::now()) });
            }
        }
    }

    /// Whose lock it is.
    pub fn holder(&self) -> &HolderId {
        &self.holder
    }

    /// Tells other machines that it is still in use; to be called now and then.
    pub fn touch(&self) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if touched.elapsed() >= TOUCH_EVERY {
            *touched = Instant::now();
            let _ = self.file.set_modified(SystemTime::now());
        }
    }
}

impl Drop for HolderLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Keeps a folder of a probe from being swept for as long as the answer lives; none where there are no locks.
pub(crate) fn keep(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    retry_interrupted(|| flock(&folder, FlockOperation::NonBlockingLockExclusive)).ok()?;
    Some(folder)
}

fn lock_path(data: &DataDir, holder: &HolderId) -> PathBuf {
    data.locks_dir().join(format!("{holder}{SUFFIX}"))
}

fn retry_interrupted(mut call: impl FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Whether the holder lives. One without a lock file is dead; one whose lock cannot be looked at counts as
/// alive, because its work must not be taken from it on a guess; one of another machine does so until its lock is gone or
/// forsaken.
pub fn is_alive(data: &DataDir, holder: &HolderId) -> bool {
    holder_is_plain(holder) && alive_in(data.locks_dir(), holder)
}

/// The same, by the folder of locks alone.
pub(crate) fn alive_in(locks: &Path, holder: &HolderId) -> bool {
    let path = locks.join(format!("{holder}{SUFFIX}"));
    if is_elsewhere(holder) { path.exists() && !is_forsaken(&path) } else { alive_at(&path) }
}

fn alive_at(path: &Path) -> bool {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) => return e.kind() != io::ErrorKind::NotFound,
    };
    retry_interrupted(|| flock(&file, FlockOperation::NonBlockingLockShared)).is_err()
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Temporary files.
    pub files: usize,
    /// Lock files.
    pub locks: usize,
}

/// Removes the temporary files and locks of dead holders: those in `.handover/tmp`, and the dot-named ones in
/// the folders of `also` (those outside the data directory or on another file system).
///
/// # Errors
/// Where `.handover` cannot be listed; of `also`, a folder that is not there or not ours to list is passed over.
pub fn sweep(data: &DataDir, also: &[PathBuf]) -> Result<Swept> {
    let mut swept = Swept::default();
    let mut alive: HashMap<HolderId, bool> = HashMap::new();
    let mut dead = |holder: HolderId| {
        !*alive.entry(holder).or_insert_with_key(|holder| alive_in(data.locks_dir(), holder))
    };
    for (dir, apart) in
        std::iter::once((data.tmp_dir(), true)).chain(also.iter().map(|d| (d.as_path(), false)))
    {
        let names = match list(dir) {
            Ok(names) => names,
            Err(e) if apart => return Err(io_error("list", dir, e)),
            Err(_) => continue,
        };
        for name in names {
            let path = dir.join(&name);
            let is_probe = apart && name.to_str().is_some_and(|name| name.starts_with(PROBE_PREFIX));
            let is_dead = match holder_of(&name, apart) {
                _ if is_probe => !alive_at(&path),
                // A lock made just now may not be seen yet on other machines; what it guards is as new.
                Some(holder) if is_elsewhere(&holder) => is_forsaken(&path) && dead(holder),
                holder => holder.is_some_and(&mut dead),
            };
            if is_dead && remove_whatever(&path) {
                swept.files += 1;
            }
        }
    }
    // Locks go last: with its lock gone, a dead holder is as dead as before, but nobody would look for its files.
    for name in list(data.locks_dir()).map_err(|e| io_error("list", data.locks_dir(), e))? {
        let Some(holder) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else { continue };
        let holder = HolderId(holder.to_owned());
        if holder_is_plain(&holder) && dead(holder) && remove_lock(&data.locks_dir().join(&name)) {
            swept.locks += 1;
        }
    }
    Ok(swept)
}

/// Removes a lock file that nobody holds, while it is held here: a process that has made its file and not locked it yet
/// then finds it gone and makes another, and one that has locked it keeps it.
fn remove_lock(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else { return false };
    retry_interrupted(|| flock(&file, FlockOperation::NonBlockingLockExclusive)).is_ok()
        && is_same(path, &file)
        && fs::remove_file(path).is_ok()
}

/// Keeps other processes out of what only one may do at a time, for as long as the answer lives; waits for its turn. The
/// file, `.handover/{what}.lock`, stays.
pub(crate) fn alone(data: &DataDir, what: &str) -> Result<File> {
    let path = data.state_dir().join(format!("{what}{SUFFIX}"));
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| io_error("create the lock file", &path, e))?;
    retry_interrupted(|| flock(&file, FlockOperation::LockExclusive))
        .map_err(|e| io_error("lock", &path, e.into()))?;
    Ok(file)
}

fn list(dir: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, DataDir) {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        (dir, data)
    }

    #[test]
    fn a_lock_is_believed_on_its_own_machine_alone() {
        let (_dir, data) = place();
        let (ours, theirs) = (new_holder(true), HolderId("7-0123456789ab-mcafe0000".into()));
        assert!(can_be_judged(&ours) && can_be_judged(&HolderId::new(7)) && !can_be_judged(&theirs));
        assert!(!can_be_judged(&HolderId("sql:ann".into())));
        for holder in [&ours, &theirs] {
            fs::write(lock_path(&data, holder), "").unwrap();
            fs::write(data.tmp_dir().join(format!("{holder}-1.csv")), "").unwrap();
        }
        assert!(!is_alive(&data, &ours) && is_alive(&data, &theirs));
        assert_eq!(sweep(&data, &[]).unwrap(), Swept { files: 1, locks: 1 });
        // What it has not touched for a day, and what it left as long ago, is given up.
        let long_ago = SystemTime::now() - FORSAKEN - Duration::from_secs(60);
        let age = |path: &Path| {
            File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
        };
        age(&lock_path(&data, &theirs));
        assert!(!is_alive(&data, &theirs));
        age(&data.tmp_dir().join(format!("{theirs}-1.csv")));
        assert_eq!(sweep(&data, &[]).unwrap(), Swept { files: 1, locks: 1 });
    }

    #[test]
    fn a_holder_lives_while_its_lock_is_held() {
        let (_dir, data) = place();
        let holder = HolderId::new(1);
        assert!(!is_alive(&data, &holder));
        let lock = HolderLock::take(&data, holder.clone()).unwrap();
        assert!(is_alive(&data, &holder) && is_alive(&data, &holder));
        assert_eq!(lock.holder(), &holder);
        drop(lock);
        assert!(!is_alive(&data, &holder));
        assert_eq!(fs::read_dir(data.locks_dir()).unwrap().count(), 0);
        assert!(!is_alive(&data, &HolderId("../../etc".into())));
        assert!(HolderLock::take(&data, HolderId("../x".into())).is_err());
    }

    #[test]
    fn a_lock_that_was_taken_after_the_look_is_not_removed() {
        let (_dir, data) = place();
        let holder = HolderId::new(5);
        // As a process that has made its file and not locked it yet.
        fs::write(lock_path(&data, &holder), "").unwrap();
        assert!(!is_alive(&data, &holder));
        let lock = HolderLock::take(&data, holder.clone()).unwrap();
        assert!(!remove_lock(&lock_path(&data, &holder)));
        assert!(is_alive(&data, &holder));
        drop(lock);
        fs::write(lock_path(&data, &holder), "").unwrap();
        assert!(remove_lock(&lock_path(&data, &holder)));
    }

    #[test]
    fn only_one_is_alone() {
        let (_dir, data) = place();
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let alone = alone(&data, "archive").unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(alone);
                    }
                });
            }
        });
        assert_eq!(sweep(&data, &[]).unwrap(), Swept::default());
    }

    #[test]
    fn a_probe_that_was_killed_is_swept_and_one_that_goes_on_is_not() {
        let (_dir, data) = place();
        let (dead, living) = (data.tmp_dir().join("probe-1-ab"), data.tmp_dir().join("probe-2-cd"));
        for probe in [&dead, &living] {
            fs::create_dir(probe).unwrap();
            fs::write(probe.join("written"), "x").unwrap();
        }
        let _kept = keep(&living).unwrap();
        assert_eq!(sweep(&data, &[]).unwrap().files, 1);
        assert!(!dead.exists() && living.exists());
    }

    #[test]
    fn a_holder_killed_outright_is_dead_at_once() {
        let (_dir, data) = place();
        let holder = HolderId::new(2);
        let path = lock_path(&data, &holder);
        let mut child = std::process::Command::new("flock")
            .arg(&path)
            .args(["-c", "echo held; exec sleep 600"])
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(child) = &mut child else { return eprintln!("skipped: no flock(1) on this machine") };
        let mut line = [0u8; 5];
        std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut line).unwrap();
        assert!(is_alive(&data, &holder));
        assert_eq!(sweep(&data, &[]).unwrap(), Swept::default());
        // flock(1) runs its command as a child that shares the lock: end the whole of it by closing both.
        let sleeper = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
        for pid in sleeper.split_whitespace().chain([child.id().to_string().as_str()]) {
            std::process::Command::new("kill").args(["-KILL", pid]).status().unwrap();
        }
        child.wait().unwrap();
        while is_alive(&data, &holder) {
            std::thread::yield_now();
        }
        assert_eq!(sweep(&data, &[]).unwrap(), Swept { files: 0, locks: 1 });
    }

    #[test]
    fn a_sweep_takes_the_files_of_the_dead_and_leaves_those_of_the_living_and_of_strangers() {
        let (dir, data) = place();
        let (living, dead) = (HolderId::new(3), HolderId::new(4));
        let _lock = HolderLock::take(&data, living.clone()).unwrap();
        fs::write(lock_path(&data, &dead), "").unwrap();
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        for holder in [&living, &dead] {
            fs::write(data.tmp_dir().join(format!("{holder}-0.csv")), "").unwrap();
            fs::create_dir(data.tmp_dir().join(format!("{holder}-1"))).unwrap();
            fs::write(out.join(format!(".handover-{holder}-2.tmp")), "").unwrap();
        }
        for stranger in
            [data.tmp_dir().join("note.txt"), out.join(format!("{dead}-0.csv")), out.join(".x.tmp")]
        {
            fs::write(stranger, "").unwrap();
        }
        let also = [out.clone(), dir.path().join("missing")];
        assert_eq!(sweep(&data, &also).unwrap(), Swept { files: 3, locks: 1 });
        assert_eq!(sweep(&data, &also).unwrap(), Swept::default());
        assert_eq!(list(data.tmp_dir()).unwrap().len(), 3);
        assert_eq!(list(&out).unwrap().len(), 3);
        assert!(is_alive(&data, &living));
    }
}
