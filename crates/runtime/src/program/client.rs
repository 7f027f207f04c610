//! The runtime's end: the guards, started as they are needed, and a new one where one died.
//!
//! A guard is busy while a program is being executed (`vfork`), so one alone keeps several processors from
//! starting small programs as fast as they could. There may be as many as processors, four at most; a second one
//! is started when a run comes while the first has others.

use super::GUARD_VARIABLE;
use super::link::Link;
use super::lookup::Found;
use super::protocol::Reply;
use handover_core::{Error, Result};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a new guard may take to answer.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long [`Guard::shutdown`] waits for the guards to be gone.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// More guards than this at once are of no use.
const GUARDS_MAX: usize = 4;

/// The programs' guard, from the runtime's side.
///
/// It lives as long as this value and every run of it; then, or when this process dies, it kills what is left.
#[derive(Debug)]
pub struct Guard {
    exe: PathBuf,
    args: Vec<OsString>,
    links: Mutex<Vec<Arc<Link>>>,
    links_max: usize,
    pub(super) found: Found,
}

impl Guard {
    /// Starts the guard: `exe args…`, a process that calls [`super::guard::serve`]. Makes this process a subreaper
    /// (Linux), so that nothing is lost if the guard dies. To be called within a tokio runtime.
    ///
    /// # Errors
    /// If the process cannot be started or does not answer as a guard within ten seconds.
    pub fn start(exe: &Path, args: &[&OsStr]) -> Result<Guard> {
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|errno| Error::io("become a subreaper", "this process", errno.into()))?;
        let args: Vec<OsString> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let link = start_guard(exe, &args)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            exe: exe.to_owned(),
            args,
            links: Mutex::new(vec![Arc::new(link)]),
            links_max: processors.min(GUARDS_MAX),
            found: Found::default(),
        })
    }

    /// Ends the guard. Programs that still run are killed with their trees. Waits until all is gone, ten seconds
    /// at most.
    pub async fn shutdown(self) {
        let links = self.links.into_inner();
        let readers: Vec<_> = links.iter().filter_map(|link| link.close()).collect();
        let all = async {
            for reader in readers {
                let _ = reader.await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, all).await.is_err() {
            tracing::warn!("a guard is still busy killing programs; it goes on by itself");
        }
    }

    /// The link to the guard with the fewest runs, or to a new one.
    pub(super) async fn link(&self) -> Result<Arc<Link>> {
        let mut links = self.links.lock().await;
        links.retain(|link| link.runs().is_some());
        let quietest = links.iter().min_by_key(|link| link.runs()).cloned();
        let enough = links.len() >= self.links_max;
        if let Some(link) = quietest.clone().filter(|link| enough || link.runs() == Some(0)) {
            return Ok(link);
        }
        let (exe, args) = (self.exe.clone(), self.args.clone());
        let started = tokio::task::spawn_blocking(move || start_guard(&exe, &args)).await;
        match started.map_err(|error| Error::internal(error.to_string())).flatten() {
            Ok(link) => {
                let link = Arc::new(link);
                links.push(Arc::clone(&link));
                Ok(link)
            }
            // One more would have been faster, but is not needed.
            Err(error) => quietest.ok_or(error),
        }
    }
}

fn start_guard(exe: &Path, args: &[OsString]) -> Result<Link> {
    let failed = |source| {
        Error::io("start the guard of the programs", exe.display(), source)
            .hint("programs are run by a second process of handover, which must be able to start")
    };
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(Error::internal("the guard was started outside of the asynchronous runtime"));
    }
    let (mut child, requests, replies) = spawn_guard(exe, args).map_err(failed)?;
    let nonblocking = requests.set_nonblocking(true).and_then(|()| replies.set_nonblocking(true));
    match nonblocking.and_then(|()| tokio::net::UnixStream::from_std(replies)) {
        Ok(replies) => Ok(Link::start(child, requests, replies)),
        Err(source) => {
            kill(&mut child);
            Err(failed(source))
        }
    }
}

/// Starts the process and waits for its first word; gives the sockets of requests and of replies.
fn spawn_guard(exe: &Path, args: &[OsString]) -> io::Result<(Child, UnixStream, UnixStream)> {
    let (requests, theirs) = UnixStream::pair()?;
    let (mut replies, replying) = UnixStream::pair()?;
    let mut child = Command::new(exe)
        .args(args)
        .env(GUARD_VARIABLE, "1")
        // What a supervisor said to the runtime is for no program of its.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(OwnedFd::from(replying)))
        .spawn()?;
    let ready = Reply::Ready.encode();
    let mut answer = vec![0; ready.len()];
    let answered = replies
        .set_read_timeout(Some(READY_TIMEOUT))
        .and_then(|()| replies.read_exact(&mut answer))
        .and_then(|()| replies.set_read_timeout(None));
    match answered {
        Ok(()) if answer == ready => Ok((child, requests, replies)),
        answered => {
            kill(&mut child);
            let strange = || io::Error::new(io::ErrorKind::InvalidData, "it did not answer as a guard");
            Err(answered.err().unwrap_or_else(strange))
        }
    }
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
