//! One run of a program, from its request to its end: the checks before, the time limit, the cancelling, stderr.
//!
//! Invariant: returns only when the whole tree of the program is gone (or never was). On a crash of the guard it
//! returns an error that a retry may mend; on a crash of this process there is nobody to return to.

use super::client::Guard;
use super::link::{OpenRun, RunEnd, RunHandle, guard_died};
use super::lookup::Found;
use super::protocol::{Death, Request, Start};
use super::stderr::Stderr;
use super::{Ended, HOLDER_VARIABLE, How, Input, OnStderrLine, Output, ProgramSpec, lookup};
use handover_core::{Error, Result, path_text};
use std::ffi::OsStr;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What is read from a pipe at once.
const READ_BYTES: usize = 16 * 1024;
/// So often in a row before anything else gets its turn.
const READS_IN_A_ROW: usize = 16;
/// What a pipe holds at most (Linux: /proc/sys/fs/pipe-max-size).
const PIPE_MAX_BYTES: usize = 1024 * 1024;
/// A program of which nobody wants to hear each line is listened to after so long: one that ends sooner is read at its end, which
/// spares being woken by it. A flood has to wait for so long at most, once.
const UNHEARD: Duration = Duration::from_millis(20);
/// "Never", for a time limit that is beyond the clock: thirty years.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl Guard {
    /// Runs a program and waits until its whole tree is gone. `cancel` turning true stops it, as its timeout does:
    /// SIGTERM to its group, after `grace` SIGKILL to all. `on_stderr_line` is called with each line that it
    /// writes to stderr. Dropping the future kills the program at once.
    ///
    /// # Errors
    /// If the program cannot be started: [`handover_core::ErrorKind::Config`] if somebody must change something
    /// (the hint says what), [`handover_core::ErrorKind::NotYet`] if the machine is short of something. If the
    /// guard died: [`handover_core::ErrorKind::Program`].
    pub async fn run(
        &self,
        spec: ProgramSpec,
        cancel: watch::Receiver<bool>,
        on_stderr_line: Option<OnStderrLine>,
    ) -> Result<Ended> {
        if *cancel.borrow() {
            return Ok(Ended { how: How::Cancelled, stderr: String::new(), wall: Duration::ZERO });
        }
        self.begin(spec, on_stderr_line, None).await?.end(cancel).await
    }

    /// Starts a program, or has it start when another has ended.
    ///
    /// # Errors
    /// As [`Guard::run`], as far as it can be known before.
    pub async fn begin(
        &self,
        spec: ProgramSpec,
        on_stderr_line: Option<OnStderrLine>,
        behind: Option<&RunHandle>,
    ) -> Result<Run> {
        let (cwd, path) = locate(&self.found, &spec)?;
        let (timeout, grace) = (spec.timeout, spec.grace);
        let link = match behind {
            Some(other) => Arc::clone(&other.link),
            None => self.link().await?,
        };
        let mut run = link.open()?;
        let after = behind.map_or(0, |other| other.run);
        let stderr = send_start(&mut run, spec, &cwd, &path, after)?;
        let unheard = if on_stderr_line.is_some() { Duration::ZERO } else { UNHEARD };
        let limits = Limits { timeout, grace, unheard };
        Ok(Run { run, stderr, sink: Stderr::new(on_stderr_line), limits, cwd, path })
    }
}

/// A program that was started, or waits at the guard behind another. Dropped, it is killed.
pub struct Run {
    run: OpenRun,
    stderr: OwnedFd,
    sink: Stderr,
    limits: Limits,
    cwd: PathBuf,
    path: PathBuf,
}

impl Run {
    /// To speak of it elsewhere.
    pub fn handle(&self) -> RunHandle {
        self.run.handle()
    }

    /// Waits until its whole tree is gone; its time begins now. See [`Guard::run`].
    ///
    /// # Errors
    /// As [`Guard::run`]; [`handover_core::ErrorKind::Cancelled`] where it was withdrawn before it had begun.
    pub async fn end(self, cancel: watch::Receiver<bool>) -> Result<Ended> {
        let Self { mut run, stderr, mut sink, limits, cwd, path } = self;
        let began = Instant::now();
        let ended = watch_run(&mut run, stderr, &mut sink, cancel, began, &limits).await;
        run.set_over();
        let (end, asked) = ended.map_err(|error| error.on(path_text::to_text(&path)))?;
        let end = match end {
            Ok(end) => end,
            Err(libc::ECANCELED) if asked.is_some() => {
                return Ok(Ended { how: How::Cancelled, stderr: String::new(), wall: Duration::ZERO });
            }
            Err(libc::ECANCELED) => {
                return Err(Error::new(handover_core::ErrorKind::Cancelled, "nothing new is begun any more"));
            }
            Err(errno) => return Err(lookup::explain(errno, &path, &cwd)),
        };
        if end.left > 0 {
            tracing::warn!(
                program = %path.display(),
                processes = end.left,
                "the program left processes of another user, which we may not kill"
            );
        }
        let how = match (asked.filter(|_| end.stopped), end.death) {
            (Some(how), _) => how,
            (None, Death::Exit(code)) => How::Exit(code),
            (None, Death::Signal(signal)) => How::Signal(signal),
        };
        Ok(Ended { how, stderr: sink.finish(), wall: began.elapsed() })
    }
}

/// The absolute folder and executable of a program; checks what the system calls would take amiss.
fn locate(found: &Found, spec: &ProgramSpec) -> Result<(PathBuf, PathBuf)> {
    let word = spec.words.first().map(|word| word.as_os_str()).unwrap_or_default();
    let texts = spec.words.iter().chain(spec.env.iter().flat_map(|(name, value)| [name, value]));
    if texts.map(|text| text.as_bytes()).any(|text| text.contains(&0)) {
        return Err(Error::config("an argument or variable of the program has a NUL byte")
            .on(path_text::to_text(Path::new(word)))
            .hint("arguments and variables are texts; hand over such data as a file or by stdin"));
    }
    let bad_name = |name: &OsStr| name.is_empty() || name.as_bytes().contains(&b'=');
    if let Some((name, _)) = spec.env.iter().find(|(name, _)| bad_name(name)) {
        return Err(
            Error::config(format!("{name:?} is no name for a variable")).hint("use letters, digits and _")
        );
    }
    let cwd = std::path::absolute(&spec.cwd)
        .map_err(|source| Error::io("find the program's folder", spec.cwd.display(), source))?;
    let own = spec.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let search = own.or_else(|| std::env::var_os("PATH"));
    let path = found.find(word, search.as_deref(), &cwd).map_err(|error| {
        if cwd.is_dir() { error } else { lookup::explain(libc::ENOENT, Path::new(word), &cwd) }
    })?;
    Ok((cwd, path))
}

/// Asks for the program, `after` another run or 0; gives the end of the pipe that its stderr comes from, which does not block.
fn send_start(run: &mut OpenRun, spec: ProgramSpec, cwd: &Path, path: &Path, after: u64) -> Result<OwnedFd> {
    let pipe_failed = |source| Error::io("make a pipe for stderr of", path.display(), source);
    let (ours, theirs) = io::pipe().map_err(pipe_failed)?;
    rustix::io::ioctl_fionbio(&ours, true).map_err(|errno| pipe_failed(errno.into()))?;
    let mut descriptors: Vec<OwnedFd> = Vec::with_capacity(3);
    let stdin = matches!(spec.stdin, Input::File(_));
    let stdout = matches!(spec.stdout, Output::File(_));
    if let Input::File(file) = spec.stdin {
        descriptors.push(file.into());
    }
    if let Output::File(file) = spec.stdout {
        descriptors.push(file.into());
    }
    descriptors.push(theirs.into());
    let bytes = |text: &OsStr| text.as_bytes().to_vec();
    let holder = (HOLDER_VARIABLE.into(), spec.holder.0.into_bytes());
    let start = Start {
        run: run.id(),
        after,
        tag: run.tag().into_bytes(),
        stdin,
        stdout,
        cwd: bytes(cwd.as_os_str()),
        path: bytes(path.as_os_str()),
        words: spec.words.iter().map(|word| bytes(word)).collect(),
        env: spec.env.iter().map(|(name, value)| (bytes(name), bytes(value))).chain([holder]).collect(),
    };
    if run.send_start(&Request::Start(Box::new(start)), descriptors) {
        Ok(ours.into())
    } else {
        Err(lookup::too_big(path))
    }
}

struct Limits {
    timeout: Duration,
    grace: Duration,
    /// How long nobody listens to it.
    unheard: Duration,
}

fn after(start: Instant, delay: Duration) -> Instant {
    start.checked_add(delay).unwrap_or(start + FOREVER)
}

/// Reads stderr, and stops the program where it must be, until its tree is gone. Gives its end, or the system's
/// error number if it could not be started; and what it was asked to stop for.
async fn watch_run(
    run: &mut OpenRun,
    stderr: OwnedFd,
    sink: &mut Stderr,
    mut cancel: watch::Receiver<bool>,
    began: Instant,
    limits: &Limits,
) -> Result<(Result<RunEnd, i32>, Option<How>)> {
    let (mut stderr, mut asked, mut killed) = (Pipe::Unheard(stderr), None, false);
    let alarm = sleep_until(after(began, limits.timeout));
    let unheard = sleep_until(after(began, limits.unheard));
    tokio::pin!(alarm, unheard);
    let end = loop {
        let reason = tokio::select! {
            end = &mut run.ends => break end.map_err(|_| guard_died())?,
            () = &mut unheard, if matches!(stderr, Pipe::Unheard(_)) => {
                stderr = stderr.listen();
                continue;
            }
            () = stderr.heard(sink), if matches!(stderr, Pipe::Heard(..)) => continue,
            () = cancelled(&mut cancel), if asked.is_none() => How::Cancelled,
            () = &mut alarm, if !killed => How::TimedOut,
        };
        killed = asked.is_some() || limits.grace.is_zero();
        asked = asked.or(Some(reason));
        run.stop(killed);
        alarm.as_mut().reset(after(Instant::now(), limits.grace));
    };
    stderr.take_rest(sink);
    Ok((end, asked))
}

/// Our end of a program's stderr.
enum Pipe {
    /// Nobody is woken by it yet.
    Unheard(OwnedFd),
    /// With room for what is read.
    Heard(pipe::Receiver, Vec<u8>),
    /// It has ended, or cannot be read.
    Over,
}

impl Pipe {
    fn listen(self) -> Self {
        match self {
            Pipe::Unheard(fd) => match pipe::Receiver::from_owned_fd(fd) {
                Ok(receiver) => Pipe::Heard(receiver, vec![0; READ_BYTES]),
                Err(error) => {
                    tracing::warn!(%error, "a program's stderr cannot be listened to");
                    Pipe::Over
                }
            },
            other => other,
        }
    }

    /// Waits until there is something, and reads a bounded amount.
    async fn heard(&mut self, sink: &mut Stderr) {
        if let Pipe::Heard(receiver, buffer) = self
            && (receiver.readable().await.is_err() || !drain(receiver, buffer, sink))
        {
            *self = Pipe::Over;
        }
    }

    /// What is in the pipe now is the last: all writers are gone, but for such as we may not kill, which get no more
    /// than the pipe can hold. Asks the system itself: tokio may not have heard of the last bytes yet.
    fn take_rest(self, sink: &mut Stderr) {
        let fd = match self {
            Pipe::Unheard(fd) => Ok(fd),
            Pipe::Heard(receiver, _) => receiver.into_nonblocking_fd(),
            Pipe::Over => return,
        };
        let Ok(fd) = fd else { return };
        let mut buffer = [0; READ_BYTES];
        for _ in 0..PIPE_MAX_BYTES / READ_BYTES {
            match rustix::io::read(&fd, &mut buffer) {
                Ok(0) => return,
                Ok(count) => sink.push(&buffer[..count]),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
        // Nobody can cancel any more.
        pending::<()>().await;
    }
}

/// Reads what is there, a bounded amount; false at the end.
fn drain(stderr: &pipe::Receiver, buffer: &mut [u8], sink: &mut Stderr) -> bool {
    for _ in 0..READS_IN_A_ROW {
        match stderr.try_read(buffer) {
            Ok(0) => return false,
            Ok(count) => sink.push(&buffer[..count]),
            Err(error) => {
                return matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            }
        }
    }
    true
}
