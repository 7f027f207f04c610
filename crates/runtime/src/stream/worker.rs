//! One worker of a stream program: claims records, gives them to its program, hears the answers, and starts a new
//! program where one ended.
//!
//! One task, one loop: whatever happens is an [`Happened`], and nothing that changes the ledger is ever broken off in the
//! middle. Of the workers that have nothing to do one alone looks out for records; jobs come to whoever has waited longest for one,
//! and one at a time.

mod fate;
mod job;

use super::blame::Death;
use super::commit::{Answer1, commit};
use super::crew::Crew;
use super::flight::Flight;
use super::lines::{Said, Told, give};
use super::pace::Pace;
use super::process::{Heard, Process, Stopped};
use crate::delivery::{Attempt, said};
use crate::engine::{Busy, Complaint, ended, enough_room, until_due};
use handover_core::limits::SHUTDOWN_GRACE_MS;
use handover_core::{Kind, Result, fault};
use handover_ledger::{Claim, Queue};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// How long to wait before another try where the ledger or the disk does not let us work.
const AGAIN: Duration = Duration::from_secs(1);

/// What a worker has to see to.
enum Happened {
    /// No new records from now on.
    End,
    /// The program said something, or ended.
    Heard(Heard),
    /// Answers were committed.
    Committed,
    /// The oldest record was not answered in time; or the program does not end when it should.
    Overdue,
    /// The work on the oldest record is to stop.
    Stop,
    /// The end of something that is held was asked for.
    Cancelled,
    /// There is a job, if it has not been settled meanwhile.
    Job(Option<Box<Attempt>>),
    /// This one looks out for work now.
    Lookout(OwnedMutexGuard<()>),
    /// There may be work.
    Look,
    /// The time to rest is over.
    Rested,
}

pub(super) struct Worker {
    crew: Arc<Crew>,
    end: watch::Receiver<bool>,
    ending: bool,
    wake: watch::Receiver<u64>,
    /// Changes when the end of something that is held is asked for.
    cancelled: watch::Receiver<u64>,
    lookout: Option<OwnedMutexGuard<()>>,
    /// Nothing is claimed before this time, unless the ledger calls.
    next_look: Instant,
    /// Nothing is claimed before this time, whoever calls.
    rests_until: Instant,
    /// What was said of claims that failed.
    complaint: Complaint,
    /// When the program must have ended that has nothing more to do.
    ends_by: Option<Instant>,
    /// Claimed, and not given yet.
    ready: VecDeque<Attempt>,
    flight: Flight,
    answers: Vec<Answer1>,
    commit: Option<JoinHandle<()>>,
    program: Option<Process>,
    pace: Pace,
    /// Programs in a row that ended without an answer, and without blame.
    fruitless: u32,
    /// So many of the next records are given one at a time.
    alone: usize,
    /// Records that a program died with alone, which had never answered anything.
    suspects: Vec<(Attempt, Death)>,
    busy: Option<Busy>,
}

impl Worker {
    pub(super) fn new(crew: Arc<Crew>, end: watch::Receiver<bool>) -> Self {
        let wake = crew.ctx.project.ledger.wake_for(crew.app.name.as_str());
        let cancelled = crew.ctx.process.held.cancellations();
        Self {
            crew,
            end,
            ending: false,
            wake,
            cancelled,
            lookout: None,
            next_look: Instant::now(),
            rests_until: Instant::now(),
            complaint: Complaint::default(),
            ends_by: None,
            ready: VecDeque::new(),
            flight: Flight::default(),
            answers: Vec::new(),
            commit: None,
            program: None,
            pace: Pace::default(),
            fruitless: 0,
            alone: 0,
            suspects: Vec::new(),
            busy: None,
        }
    }

    /// Works until the end, and until its program has ended after that.
    pub(super) async fn serve(mut self) {
        loop {
            self.begin_commit();
            self.judge_suspects().await;
            if let Err(error) = self.feed().await {
                self.is_broken(format!("it cannot be started: {}", said(&error)), Vec::new()).await;
            }
            if !self.has_work() {
                self.busy = None;
                if self.ending && self.program.is_none() {
                    return;
                }
            }
            let happened = self.next().await;
            self.see_to(happened).await;
        }
    }

    fn has_work(&self) -> bool {
        !self.ready.is_empty()
            || !self.flight.is_empty()
            || !self.answers.is_empty()
            || self.commit.is_some()
            || !self.suspects.is_empty()
    }

    /// Whether more should be claimed: in bulk, when half of what may be with the program is.
    fn wants_more(&self) -> bool {
        let here = self.ready.len() + self.flight.len() + self.answers.len();
        !self.ending && self.alone == 0 && self.suspects.is_empty() && here * 2 <= self.pace.window()
    }

    async fn next(&mut self) -> Happened {
        let (idle, wants) = (!self.has_work(), self.wants_more());
        let overdue = self.deadline();
        let stop = self.flight.oldest().map(|oldest| oldest.lease.cancel());
        let stopping = self.program.as_ref().is_some_and(|program| program.stopped.is_some());
        let rests_until =
            self.crew.health.rests_until().max(Some(self.rests_until)).unwrap_or(self.rests_until);
        let rests = Instant::now() < rests_until;
        let wants = wants && !rests;
        let looks = wants && (!idle || self.lookout.is_some());
        let takes_job = !rests && self.takes_job();
        let Self { end, ending, wake, cancelled, next_look, commit, program, crew, lookout, .. } = self;
        tokio::select! {
            biased;
            () = ended(end), if !*ending => Happened::End,
            () = finished(commit), if commit.is_some() => Happened::Committed,
            heard = heard(program), if program.is_some() => Happened::Heard(heard),
            () = stopped(stop), if !stopping => Happened::Stop,
            Ok(()) = cancelled.changed() => Happened::Cancelled,
            job = crew.jobs.next(), if takes_job => Happened::Job(job.map(Box::new)),
            () = sleep_until(overdue.unwrap_or(*next_look)), if overdue.is_some() && !stopping => Happened::Overdue,
            guard = crew.lookout.clone().lock_owned(), if idle && wants && lookout.is_none() => Happened::Lookout(guard),
            _ = wake.changed(), if looks => Happened::Look,
            () = sleep_until(*next_look), if looks => Happened::Look,
            () = sleep_until(rests_until), if rests => Happened::Rested,
        }
    }

    /// When the oldest record must have been answered; where none is out and nothing more will come, when the program
    /// must have ended.
    fn deadline(&mut self) -> Option<Instant> {
        self.program.as_ref()?;
        match self.flight.since {
            Some(since) => since.checked_add(self.crew.app.timeout),
            None if self.ending => {
                let grace = Duration::from_millis(SHUTDOWN_GRACE_MS);
                Some(*self.ends_by.get_or_insert_with(|| Instant::now() + grace))
            }
            None => None,
        }
    }

    async fn see_to(&mut self, happened: Happened) {
        match happened {
            Happened::End => self.begin_end().await,
            Happened::Committed => self.commit = None,
            Happened::Heard(Heard::Lines(lines)) => self.hear(lines),
            Happened::Heard(Heard::Ended(end)) => self.ended(end).await,
            Happened::Overdue => {
                let why = if self.flight.is_empty() { Stopped::Unwanted } else { Stopped::TimedOut };
                self.stop(why);
            }
            Happened::Stop => self.stop_oldest(),
            Happened::Cancelled => self.end_cancelled(),
            Happened::Job(job) => job.into_iter().for_each(|job| self.ready.push_front(*job)),
            Happened::Lookout(guard) => {
                self.lookout = Some(guard);
                self.claim().await;
            }
            Happened::Look => self.claim().await,
            Happened::Rested => {}
        }
    }

    fn stop(&mut self, why: Stopped) {
        if let Some(program) = &mut self.program {
            program.stop(why);
        }
    }

    /// The oldest record was lost, or cancelled: its answer will be nobody's. Or the shutdown's grace is over.
    fn stop_oldest(&mut self) {
        let Some(oldest) = self.flight.oldest() else { return };
        if oldest.lease.is_lost() {
            let id = oldest.delivery.id;
            self.flight.take(id);
        } else if oldest.lease.cancelled_by().is_some() {
            self.stop(Stopped::Cancelled);
        } else {
            self.stop(Stopped::Unwanted);
        }
    }

    /// No new records: what is not given yet goes back, and the program's stdin ends.
    async fn begin_end(&mut self) {
        self.ending = true;
        self.lookout = None;
        let mut back: Vec<Attempt> = self.ready.drain(..).collect();
        back.extend(self.suspects.drain(..).map(|(attempt, _)| attempt));
        back.extend(self.crew.jobs.take_all(true));
        self.release(back, None).await;
        if let Some(program) = &mut self.program {
            program.close();
        }
    }

    /// Gives these back as they were; where that is for a reason, it is kept with them.
    async fn release(&self, attempts: Vec<Attempt>, why: Option<String>) {
        let held = attempts.iter().map(|attempt| attempt.held.clone()).collect();
        attempts.iter().for_each(|attempt| attempt.lease.settling());
        if let Err(e) = self.crew.ctx.project.ledger.release(held, why).await {
            warn!(app = %self.crew.app.name, "cannot give {} records back: {e}; their leases bring them back", attempts.len());
        }
    }

    // --- claiming and giving ------------------------------------------------------------------------------

    async fn claim(&mut self) {
        self.wake.mark_unchanged();
        let busy = Busy::begin(&self.crew.busy);
        let claimed = self.try_claim().await;
        if claimed.is_ok() {
            self.complaint.over(&self.crew.app.name, "claim");
        }
        match claimed {
            Ok(0) => self.next_look = Instant::now() + until_due(&self.crew.ctx).await,
            Ok(_) => {
                self.lookout = None;
                self.next_look = Instant::now();
                self.busy.get_or_insert(busy);
            }
            Err(e) => {
                self.complaint.failed(&self.crew.app.name, "claim", &e);
                self.rests_until = Instant::now() + AGAIN;
            }
        }
    }

    async fn try_claim(&mut self) -> Result<usize> {
        let ctx = &self.crew.ctx;
        enough_room(&ctx.project.data)?;
        let here = self.ready.len() + self.flight.len() + self.answers.len();
        let claim = Claim {
            queue: Queue::Records,
            app: self.crew.app.name.to_string(),
            max: self.pace.window().saturating_sub(here).max(1),
            lease: ctx.config().lease,
            holder: ctx.process.holder.clone(),
        };
        let claimed = ctx.project.ledger.claim(claim).await?;
        let count = claimed.len();
        let begin = |delivery| Attempt::begin(ctx, &self.crew.app, Queue::Records, delivery, None);
        self.ready.extend(claimed.into_iter().filter_map(begin));
        Ok(count)
    }

    /// Gives the program what it may have; starts one where there is none.
    async fn feed(&mut self) -> Result<()> {
        let window = if self.alone > 0 { 1 } else { self.pace.window() };
        let mut lines = Vec::new();
        while self.flight.len() < window && !self.ending {
            let stopping = self.program.as_ref().is_some_and(|program| program.stopped.is_some());
            if stopping || self.ready.is_empty() {
                break;
            }
            if self.program.is_none() {
                let Crew { ctx, app, program, alive, .. } = &*self.crew;
                self.program = Some(Process::start(ctx, app, program, alive).await?);
            }
            let Some(mut attempt) = self.ready.pop_front() else { break };
            if attempt.lease.is_lost() {
                self.alone = self.alone.saturating_sub(1);
                continue;
            }
            if let Some(taken_up) = &mut attempt.taken_up {
                taken_up.since = Some(std::time::Instant::now());
            }
            let before = lines.len();
            give(&attempt.delivery, &mut lines);
            self.pace.given(lines.len() - before, self.flight.is_empty());
            self.flight.add(attempt);
        }
        if let (Some(program), false) = (&self.program, lines.is_empty()) {
            program.give(lines);
            fault::point("stream.given")?;
        }
        Ok(())
    }

    // --- answers ------------------------------------------------------------------------------------------

    fn hear(&mut self, lines: Vec<Said>) {
        let mut answered = 0;
        for line in lines {
            match line {
                Said::Answer(id, told) => match self.flight.take(id) {
                    Some(attempt) => {
                        answered += usize::from(attempt.delivery.kind == Kind::Record);
                        self.answered(attempt, told);
                    }
                    None => {
                        let text = format!("record {id}");
                        self.strange(&text, "it has no such record, or has answered it already");
                    }
                },
                Said::NoAnswer(shown, why) => self.strange(&shown, &why),
                Said::TooLong => self.stop(Stopped::TooLong),
            }
        }
        if answered > 0 {
            self.pace.answered(answered);
        }
    }

    fn strange(&mut self, line: &str, why: &str) {
        if let Some(program) = &mut self.program {
            program.strange(line, why);
        }
    }

    fn answered(&mut self, attempt: Attempt, told: Told) {
        self.crew.health.prove();
        self.fruitless = 0;
        self.alone = self.alone.saturating_sub(1);
        if let Some(program) = &mut self.program {
            program.answered += 1;
        }
        if attempt.delivery.kind == Kind::Job {
            return self.finish_job(attempt, told);
        }
        self.answers.push(Answer1 { attempt, told });
    }

    /// Commits what has come meanwhile, unless a commit is under way.
    fn begin_commit(&mut self) {
        if self.commit.is_none() && !self.answers.is_empty() {
            let answers = std::mem::take(&mut self.answers);
            let (ctx, app) = (self.crew.ctx.clone(), self.crew.app.clone());
            self.commit = Some(tokio::spawn(commit(ctx, app, answers)));
        }
    }
}

async fn finished(commit: &mut Option<JoinHandle<()>>) {
    if let Some(commit) = commit {
        // That it broke off was said where it did; the leases bring its records back.
        let _ = commit.await;
    }
}

async fn heard(program: &mut Option<Process>) -> Heard {
    match program {
        Some(program) => program.next().await,
        None => std::future::pending().await,
    }
}

async fn stopped(stop: Option<watch::Receiver<bool>>) {
    match stop {
        Some(mut stop) => {
            if stop.wait_for(|stop| *stop).await.is_err() {
                // It was given up: nobody can stop it any more.
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}
