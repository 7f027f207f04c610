//! The guard's knowledge of who belongs to which run, and the end of a run's whole tree.
//!
//! Invariants:
//! - A run's main process is reaped only after its group was killed, so that the group's number cannot have gone
//!   to another.
//! - Only we reap our children, so what is remembered about one holds until then.
//! - A look at the children is conclusive only if none of them was reaped meanwhile: a dead parent's children come
//!   to us before its death can be seen.

use super::RUN_VARIABLE;
use super::procfs::{self, Children, Known};
use super::protocol::{Death, Reply};
use super::sys::{self, Next};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use std::collections::{HashMap, HashSet};
use std::io;

/// After so many looks, a millisecond apart, at a process that shows no variables it counts as having none.
const UNCLEAR_LOOKS_MAX: u32 = 1_000;

#[derive(Debug)]
struct Run {
    pid: Pid,
    tag: Vec<u8>,
    /// A stop was asked for while the program ran.
    stopped: bool,
    /// How the main process died; from then on the rest of the tree is killed.
    death: Option<Death>,
}

/// To whom an orphan belongs.
#[derive(Debug, Clone, Copy)]
enum Owner {
    /// To this run.
    Run(u64),
    /// It hides: to one of the runs up to this one. It goes when the last of them ends.
    OneUpTo(u64),
    /// It shows nothing yet; seen so many times.
    Unclear(u32),
    /// We have no right to kill it (it runs as another user).
    NotOurs(Option<u64>),
}

/// What is known of one orphan now.
enum Seen {
    Reaped,
    Alive(Owner),
}

/// Every run and every orphan.
#[derive(Debug)]
pub(super) struct Tree {
    children: Children,
    runs: HashMap<u64, Run>,
    /// The run of a process group, which is its main process's number too.
    groups: HashMap<Pid, u64>,
    tags: HashMap<Vec<u8>, u64>,
    orphans: HashMap<Pid, Owner>,
    newest: u64,
    unclear: bool,
}

impl Tree {
    /// No runs yet.
    pub(super) fn new(children: Children) -> Self {
        Self {
            children,
            runs: HashMap::new(),
            groups: HashMap::new(),
            tags: HashMap::new(),
            orphans: HashMap::new(),
            newest: 0,
            unclear: false,
        }
    }

    /// Adds a run whose main process was just started.
    pub(super) fn add(&mut self, run: u64, tag: Vec<u8>, pid: Pid) {
        self.newest = self.newest.max(run);
        self.groups.insert(pid, run);
        self.tags.insert(tag.clone(), run);
        self.runs.insert(run, Run { pid, tag, stopped: false, death: None });
    }

    /// Whether it is a run whose tree is not gone.
    pub(super) fn has(&self, run: u64) -> bool {
        self.runs.contains_key(&run)
    }

    /// Whether [`Tree::look`] should be called again soon, without a death.
    pub(super) fn unclear(&self) -> bool {
        self.unclear
    }

    /// Stops a run whose main process lives: SIGTERM to its group, or SIGKILL. The rest follows when it has died.
    pub(super) fn stop(&mut self, run: u64, hard: bool) {
        let Some(run) = self.runs.get_mut(&run).filter(|run| run.death.is_none()) else { return };
        run.stopped = true;
        // The main process itself too, in case it has left its group; and a stopped one must wake to hear it.
        let signals: &[Signal] = if hard { &[Signal::KILL] } else { &[Signal::TERM, Signal::CONT] };
        for signal in signals {
            if kill_process_group(run.pid, *signal).is_err() || !leads_its_group(run.pid) {
                let _ = kill_process(run.pid, *signal);
            }
        }
    }

    /// Takes note of every death, kills what is left of runs whose main process has died, and says which runs
    /// have ended.
    pub(super) fn look(&mut self) -> io::Result<Vec<Reply>> {
        while let Next::Dead(pid, death) = sys::next_dead()? {
            self.bury(pid, death);
        }
        self.unclear = false;
        let ending: HashSet<u64> =
            self.runs.iter().filter(|(_, run)| run.death.is_some()).map(|(id, _)| *id).collect();
        if ending.is_empty() {
            return Ok(Vec::new());
        }
        let (busy, left) = self.kill_rest(&ending);
        if self.unclear {
            return Ok(Vec::new());
        }
        let ended: Vec<u64> = ending.difference(&busy).copied().collect();
        Ok(ended.into_iter().filter_map(|run| self.end(run, left.get(&run).copied().unwrap_or(0))).collect())
    }

    /// Reaps a dead child. If it was a run's main process, its group is killed first and the run begins to end.
    fn bury(&mut self, pid: Pid, death: Death) {
        let main = self.groups.get(&pid).and_then(|run| self.runs.get_mut(run));
        if let Some(run) = main.filter(|run| run.death.is_none()) {
            let _ = kill_process_group(pid, Signal::KILL);
            run.death = Some(death);
        }
        self.reap(pid);
    }

    /// Reaps an orphan or a main process if it is dead; whether it was.
    fn reap(&mut self, pid: Pid) -> bool {
        self.orphans.remove(&pid);
        matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_)))
    }

    /// Kills the orphans of ending runs. Says which of the runs still have some, and how many of each run cannot
    /// be killed by us.
    fn kill_rest(&mut self, ending: &HashSet<u64>) -> (HashSet<u64>, HashMap<u64, u32>) {
        'again: loop {
            let (mut busy, mut left) = (HashSet::new(), HashMap::new());
            self.unclear = false;
            for pid in self.children.list() {
                if self.is_main(pid) {
                    continue;
                }
                let owner = match self.see(pid) {
                    Seen::Reaped => continue 'again,
                    Seen::Alive(owner) => owner,
                };
                let runs: Vec<u64> = match owner {
                    Owner::Run(run) => ending.get(&run).copied().into_iter().collect(),
                    Owner::OneUpTo(last) if self.any_running(last) => Vec::new(),
                    Owner::OneUpTo(last) => ending.iter().copied().filter(|run| *run <= last).collect(),
                    Owner::Unclear(_) => {
                        self.unclear = true;
                        Vec::new()
                    }
                    Owner::NotOurs(run) => {
                        run.into_iter().for_each(|run| *left.entry(run).or_default() += 1);
                        Vec::new()
                    }
                };
                if runs.is_empty() {
                    continue;
                }
                if kill_process(pid, Signal::KILL) == Err(Errno::PERM) {
                    self.orphans.insert(pid, Owner::NotOurs(runs.first().copied()));
                    continue 'again;
                }
                busy.extend(runs);
            }
            return (busy, left);
        }
    }

    /// Whether it is the main process of a run and not yet reaped.
    fn is_main(&self, pid: Pid) -> bool {
        self.groups.get(&pid).and_then(|run| self.runs.get(run)).is_some_and(|run| run.death.is_none())
    }

    /// Whether a run's main process lives whose number is not above `last`.
    fn any_running(&self, last: u64) -> bool {
        self.runs.iter().any(|(id, run)| *id <= last && run.death.is_none())
    }

    /// Finds out about an orphan, and remembers it.
    fn see(&mut self, pid: Pid) -> Seen {
        let looks = match self.orphans.get(&pid) {
            Some(Owner::Unclear(looks)) => *looks,
            Some(owner) => return Seen::Alive(*owner),
            None => 0,
        };
        let stat = procfs::stat(pid);
        if stat.is_none_or(|stat| stat.zombie) && self.reap(pid) {
            return Seen::Reaped;
        }
        let of_group = stat.and_then(|stat| self.groups.get(&stat.group?)).copied();
        let owner = match (of_group, procfs::environ(pid)) {
            (Some(run), _) => Owner::Run(run),
            (None, Known::Environ(environ)) => environ
                .get(RUN_VARIABLE)
                .and_then(|tag| self.run_of(tag))
                .map_or(Owner::OneUpTo(self.newest), Owner::Run),
            (None, Known::NotNow) if looks < UNCLEAR_LOOKS_MAX => Owner::Unclear(looks + 1),
            (None, Known::NotNow | Known::Never) => Owner::OneUpTo(self.newest),
        };
        self.orphans.insert(pid, owner);
        Seen::Alive(owner)
    }

    /// The run of a tag: its own, or of the run around it (`outer/inner`).
    fn run_of(&self, tag: &[u8]) -> Option<u64> {
        let ends = tag.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        let mut ends: Vec<usize> = ends.chain([tag.len()]).collect();
        ends.reverse();
        ends.into_iter().find_map(|end| self.tags.get(&tag[..end]).copied())
    }

    /// Forgets a run whose tree is gone.
    fn end(&mut self, id: u64, left: u32) -> Option<Reply> {
        let run = self.runs.remove(&id)?;
        if self.groups.get(&run.pid) == Some(&id) {
            self.groups.remove(&run.pid);
        }
        self.tags.remove(&run.tag);
        Some(Reply::Ended { run: id, death: run.death?, stopped: run.stopped, left })
    }

    /// Kills every program and every orphan and reaps them, calling `pause` between looks. Ends when none is left
    /// that we may kill.
    pub(super) fn kill_everything(&mut self, mut pause: impl FnMut() -> io::Result<()>) {
        loop {
            let running = self.runs.values().filter(|run| run.death.is_none()).map(|run| run.pid);
            // The list is empty where there is no /proc: then at least the main processes.
            let targets: HashSet<Pid> = self.children.list().into_iter().chain(running).collect();
            let mut killed = 0;
            for pid in &targets {
                if self.is_main(*pid) {
                    let _ = kill_process_group(*pid, Signal::KILL);
                }
                killed += usize::from(kill_process(*pid, Signal::KILL).is_ok());
            }
            loop {
                match sys::next_dead() {
                    Ok(Next::Dead(pid, death)) => self.bury(pid, death),
                    Ok(Next::AllAlive) if killed == 0 => return,
                    Ok(Next::AllAlive) => break,
                    Ok(Next::NoChildren) | Err(_) => return,
                }
            }
            if pause().is_err() {
                return;
            }
        }
    }
}

fn leads_its_group(pid: Pid) -> bool {
    rustix::process::getpgid(Some(pid)) == Ok(pid)
}
