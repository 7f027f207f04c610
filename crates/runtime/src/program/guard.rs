//! The guard process: starts the programs, knows when a whole tree has ended, and outlives the runtime by just as
//! long as it takes to kill everything.
//!
//! One thread, one loop: requests from the socket on descriptor 0, replies to that on 1, deaths of children by a pipe that the SIGCHLD
//! handler writes to. It is in a session of its own, so that a Ctrl-C or a signal to the runtime's group does not
//! reach it, and SIGTERM, SIGINT and SIGHUP do nothing to it: it ends when the socket does.
//!
//! Invariant: what waits behind a run is begun when that has ended, its whole tree, or could not be begun; before the runtime
//! hears of it, so that a processor need not wait for the runtime.
//!
//! On a crash of the runtime the socket ends, and what waits is never begun: see [`super`].

use super::procfs::Children;
use super::protocol::{Frames, Reply, Request, Start};
use super::tree::Tree;
use super::{GUARD_VARIABLE, RUN_VARIABLE, sys};
use handover_core::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};
use rustix::process::Pid;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How often a process about which nothing can be learnt is looked at again.
const RECHECK: Duration = Duration::from_millis(1);
/// How often the rest is counted when the runtime is gone, beside every death.
const RECOUNT: Duration = Duration::from_millis(20);

/// Is the guard until the socket on descriptor 0 ends. To be called first thing in a process that
/// [`super::Guard::start`] started, before there is any other thread.
///
/// # Errors
/// Where descriptor 0 is no socket, or the system refuses what the guard needs. Everything it started is dead.
pub fn serve() -> Result<()> {
    let mut server = Server::set_up().map_err(|source| {
        Error::io("become the guard", "this process", source)
            .hint("`handover guard` is started by `handover run` itself, not by hand")
    })?;
    let end = server.work();
    server.tree.kill_everything(|| wait(&[server.wake.as_fd()], Some(RECOUNT)).map(drop));
    match end {
        // The runtime died while it was being answered.
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
            Ok(())
        }
        end => end.map_err(|source| Error::io("serve the runtime", "the guard's socket", source)),
    }
}

struct Server {
    socket: BorrowedFd<'static>,
    wake: OwnedFd,
    frames: Frames,
    /// Descriptors that have come and belong to the next requests, in their order.
    descriptors: VecDeque<OwnedFd>,
    tree: Tree,
    /// What waits, by the run that it waits for.
    waiting: HashMap<u64, Ready>,
}

/// A program that only has to be begun.
struct Ready {
    start: Start,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
}

impl Server {
    fn set_up() -> io::Result<Self> {
        let socket = rustix::stdio::stdin();
        rustix::net::getsockname(socket)?;
        rustix::net::getsockname(rustix::stdio::stdout())?;
        sys::close_on_exec();
        // Fails only where we lead a session already, which is just as well.
        let _ = rustix::process::setsid();
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        // Our allocator does without huge pages, and children would inherit that: programs get what the machine has.
        #[cfg(target_os = "linux")]
        let _ = rustix::thread::disable_transparent_huge_pages(false);
        rustix::process::chdir("/")?;
        let (wake, woken) = std::io::pipe()?;
        for end in [wake.as_fd(), woken.as_fd()] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        sys::catch_signals(woken.into())?;
        let tree = Tree::new(Children::open());
        let server = Self {
            socket,
            wake: wake.into(),
            frames: Frames::default(),
            descriptors: VecDeque::new(),
            tree,
            waiting: HashMap::new(),
        };
        server.say(&[Reply::Ready])?;
        Ok(server)
    }

    /// Serves until the runtime closes its end.
    fn work(&mut self) -> io::Result<()> {
        loop {
            self.look()?;
            let timeout = self.tree.unclear().then_some(RECHECK);
            let ready = wait(&[self.wake.as_fd(), self.socket], timeout)?;
            if ready & 1 != 0 {
                let mut bytes = [0u8; 256];
                while rustix::io::read(&self.wake, &mut bytes).is_ok_and(|count| count == bytes.len()) {}
            }
            if ready & 2 != 0 && !self.receive()? {
                return Ok(());
            }
        }
    }

    /// Reads once and does what whole requests it has; false at the end.
    fn receive(&mut self) -> io::Result<bool> {
        let mut bytes = [0u8; 32 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        #[cfg(target_os = "linux")]
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        #[cfg(not(target_os = "linux"))]
        let flags = RecvFlags::DONTWAIT;
        let received =
            rustix::net::recvmsg(self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
        let count = match received {
            Ok(message) => message.bytes,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(true),
            Err(_) => 0,
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        #[cfg(not(target_os = "linux"))]
        for descriptor in &self.descriptors {
            rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
        }
        self.frames.push(&bytes[..count]);
        while let Some(request) = self.frames.next(Request::decode)? {
            self.serve_request(request)?;
        }
        Ok(count > 0)
    }

    /// Takes note of what has ended, begins what waited for it, and tells.
    fn look(&mut self) -> io::Result<()> {
        let replies = self.tree.look()?;
        self.go_on_after(replies)
    }

    /// Begins what waited for the runs of these replies, and sends them.
    fn go_on_after(&mut self, mut replies: Vec<Reply>) -> io::Result<()> {
        let mut told = 0;
        while let Some(reply) = replies.get(told) {
            told += 1;
            if let Some(ready) = reply.run().and_then(|run| self.waiting.remove(&run)) {
                replies.extend(self.begin(ready));
            }
        }
        self.say(&replies)
    }

    fn serve_request(&mut self, request: Request) -> io::Result<()> {
        match request {
            Request::Start(start) => {
                let ready = self.ready(*start)?;
                let after = ready.start.after;
                let waits = self.waiting.values().any(|other| other.start.run == after);
                if (waits || self.tree.has(after)) && !self.waiting.contains_key(&after) {
                    self.waiting.insert(after, ready);
                    return Ok(());
                }
                let refused = self.begin(ready);
                self.go_on_after(refused.into_iter().collect())
            }
            Request::Stop { run, hard } => {
                // What has died by now was not stopped by this.
                self.look()?;
                self.tree.stop(run, hard);
                self.withdraw(run)
            }
            Request::Withdraw { run } => self.withdraw(run),
            Request::Begin { run } => {
                let refused = self.take_waiting(run).and_then(|ready| self.begin(ready));
                self.go_on_after(refused.into_iter().collect())
            }
        }
    }

    /// Does not begin it, where it waits.
    fn withdraw(&mut self, run: u64) -> io::Result<()> {
        let waited = self.take_waiting(run).map(|_| Reply::Refused { run, errno: libc::ECANCELED });
        self.go_on_after(waited.into_iter().collect())
    }

    fn take_waiting(&mut self, run: u64) -> Option<Ready> {
        let after = *self.waiting.iter().find(|(_, ready)| ready.start.run == run)?.0;
        self.waiting.remove(&after)
    }

    /// Takes the descriptors that belong to it.
    fn ready(&mut self, start: Start) -> io::Result<Ready> {
        let mut next = |wanted: bool| -> io::Result<Stdio> {
            if !wanted {
                return Ok(Stdio::null());
            }
            let missing = || io::Error::new(io::ErrorKind::InvalidData, "a descriptor is missing");
            self.descriptors.pop_front().map(Stdio::from).ok_or_else(missing)
        };
        let (stdin, stdout, stderr) = (next(start.stdin)?, next(start.stdout)?, next(true)?);
        Ok(Ready { start, stdin, stdout, stderr })
    }

    /// Begins a program; the answer where it cannot be begun.
    fn begin(&mut self, ready: Ready) -> Option<Reply> {
        let run = ready.start.run;
        match spawn(&ready.start, ready.stdin, ready.stdout, ready.stderr) {
            Ok(pid) => {
                self.tree.add(run, ready.start.tag, pid);
                None
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
                Some(Reply::Refused { run, errno })
            }
        }
    }

    /// Sends replies, waiting if the runtime does not read.
    fn say(&self, replies: &[Reply]) -> io::Result<()> {
        let bytes: Vec<u8> = replies.iter().flat_map(|reply| reply.encode()).collect();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match rustix::net::send(rustix::stdio::stdout(), rest, SendFlags::empty()) {
                Ok(count) => rest = &rest[count..],
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn spawn(start: &Start, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> io::Result<Pid> {
    let Some((name, arguments)) = start.words.split_first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let text = |bytes| OsStr::from_bytes(bytes);
    // Nothing here that would keep the standard library from posix_spawn.
    let child = Command::new(text(&start.path))
        .arg0(text(name))
        .args(arguments.iter().map(|word| text(word)))
        .current_dir(text(&start.cwd))
        .envs(start.env.iter().map(|(name, value)| (text(name), text(value))))
        .env(RUN_VARIABLE, text(&start.tag))
        .env_remove(GUARD_VARIABLE)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()?;
    Ok(Pid::from_child(&child))
}

/// Waits until one of these can be read (or has ended), a signal comes, or the time is over; a bit for each that
/// is ready.
fn wait(descriptors: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<u32> {
    let mut polled: Vec<PollFd<'_>> =
        descriptors.iter().map(|descriptor| PollFd::new(descriptor, PollFlags::IN)).collect();
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) => {
            let bits = polled.iter().enumerate();
            Ok(bits.fold(0, |ready, (i, fd)| ready | u32::from(!fd.revents().is_empty()) << i))
        }
        // The handler has written to the pipe.
        Err(rustix::io::Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
