//! Limits that processes hold together, without a round trip for any request.
//!
//! Of each caller's limit that is in use this process has a **block**: some that it took ahead from the ledger, as many as it will
//! spend until it asks again. One task asks, for all that are in use at once, at most every [`APART`]; what is not needed any more
//! goes back. Where the block is empty and the ledger had more, some are spent on **credit**: this process's part of what was left.
//! So a caller that is new here does not wait, and one who asks unevenly is not refused. What was spent on credit is owed, and
//! the ledger takes it off before it gives any more, to whomever: over any longer time no more is spent than the limit allows.
//!
//! While the ledger does not answer, each process lets in its part of the limit, by how many there were when they were last
//! counted, on credit, and settles when it answers again. A crash takes a block with it, which is no more than what was asked for in a moment.

use super::{Left, Over};
use handover_core::Result;
use handover_ledger::{Budgets, Lease, LeaseAsk, Ledger};
use handover_runtime::config::Rate;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tracing::{info, warn};

/// The ledger is asked at most so often.
const APART: Duration = Duration::from_millis(50);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_millis(500);
/// So often it is noted that this process shares the limits.
const NOTED: Duration = Duration::from_secs(3);
/// So many are asked for at once.
const AT_ONCE: usize = 500;
/// Callers are spread over so many locks.
const SHARDS: usize = 16;
/// What was asked for in one moment is expected in the next, and from moment to moment less.
const FADES: f32 = 0.7;

/// What this process has of one caller's limit.
struct Bucket {
    rate: Rate,
    /// Taken ahead and not spent.
    block: u32,
    /// May be spent beyond that.
    credit: u32,
    /// Spent beyond that, and not settled.
    owed: u32,
    /// What was left for all when the ledger was last asked.
    left: u32,
    /// How often it was asked for since, and how often that is to be expected.
    asked: u32,
    expected: f32,
    /// Whether the task looks after it.
    in_use: bool,
    /// When the ledger was last asked, or did not answer.
    settled: Instant,
    /// When there is another, where nothing is left.
    next: Instant,
}

/// How long until there is one more.
fn each(rate: Rate) -> Duration {
    (rate.per / rate.count.get()).max(Duration::from_nanos(1))
}

impl Bucket {
    /// One that is not known here: as if it were full.
    fn new(rate: Rate, processes: u32, now: Instant) -> Self {
        let left = rate.count.get();
        Self {
            rate,
            block: 0,
            credit: left.div_ceil(processes),
            owed: 0,
            left,
            asked: 0,
            expected: 0.0,
            in_use: false,
            settled: now,
            next: now,
        }
    }

    /// It comes into use again: what was left has grown meanwhile.
    fn revive(&mut self, processes: u32, now: Instant) {
        let grown = now.duration_since(self.settled).as_secs_f64() / each(self.rate).as_secs_f64();
        self.left = self.left.saturating_add(grown as u32).min(self.rate.count.get());
        self.credit = self.left.div_ceil(processes);
        self.in_use = true;
    }

    fn take(&mut self, now: Instant) -> Result<Left, Over> {
        self.asked = self.asked.saturating_add(1);
        if self.block > 0 {
            self.block -= 1;
        } else if self.credit > 0 {
            self.credit -= 1;
            self.owed += 1;
        } else {
            return Err(Over { again: self.next.saturating_duration_since(now) });
        }
        Ok(Left((self.block + self.left).saturating_sub(self.owed).min(self.rate.count.get())))
    }

    /// What is to be asked of the ledger; none where it is not in use any more.
    fn ask(&mut self, key: &str) -> Option<LeaseAsk> {
        self.expected = (self.asked as f32).max(self.expected * FADES);
        if self.asked == 0 && self.expected < 0.1 {
            self.expected = 0.0;
        }
        self.asked = 0;
        // Half as much again, so that an uneven caller finds enough.
        let wanted = ((self.expected * 1.5).ceil() as u32).min(self.rate.count.get());
        let back = self.block.saturating_sub(wanted);
        let owed = i64::from(self.owed) - i64::from(back);
        let wanted = wanted.saturating_sub(self.block);
        if owed == 0 && wanted == 0 && self.block == 0 {
            self.in_use = false;
            return None;
        }
        self.block -= back;
        self.owed = 0;
        let owed = i32::try_from(owed).unwrap_or(i32::MAX);
        Some(LeaseAsk {
            key: key.to_owned(),
            each: each(self.rate),
            most: self.rate.count.get(),
            owed,
            wanted,
        })
    }

    fn settle(&mut self, lease: Lease, processes: u32, now: Instant) {
        self.block += lease.taken;
        // What was spent on credit since it was asked is not counted in what is left.
        self.left = lease.remaining.saturating_sub(self.owed);
        self.credit = self.left.div_ceil(processes);
        self.settled = now;
        self.next = now + lease.again;
    }

    /// The ledger did not answer: this process's part of what has come since, on credit. What it was asked to settle is owed still; of
    /// what is spent alone no more is owed than that part of the whole limit, which the ledger has again meanwhile.
    fn go_alone(&mut self, unsettled: u32, processes: u32, now: Instant) {
        let one = each(self.rate) * processes;
        let come = (now.duration_since(self.settled).as_secs_f64() / one.as_secs_f64()) as u32;
        let most = self.rate.count.get().div_ceil(processes);
        self.credit = self.credit.saturating_add(come).min(most.saturating_sub(self.block));
        self.owed = self.owed.saturating_add(unsettled).min(most);
        self.left = self.credit.saturating_add(self.owed);
        self.settled += one * come;
        self.next = self.settled + one;
    }
}

/// The limits of a configuration that processes share.
pub(super) struct Shared {
    ledger: Arc<dyn Ledger>,
    hasher: RandomState,
    shards: [Mutex<HashMap<Arc<str>, Bucket>>; SHARDS],
    /// Those that came into use since the ledger was last asked.
    begun: Mutex<Vec<Arc<str>>>,
    wanted: Notify,
    processes: AtomicU32,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self {
            ledger,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            begun: Mutex::default(),
            wanted: Notify::new(),
            processes: AtomicU32::new(1),
        }
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, HashMap<Arc<str>, Bucket>> {
        locked(&self.shards[self.hasher.hash_one(key) as usize % SHARDS])
    }

    fn processes(&self) -> u32 {
        self.processes.load(Ordering::Relaxed)
    }

    /// Takes one of a limit, whose name and whose caller are the key.
    pub(super) fn take(&self, key: String, rate: Rate) -> Result<Left, Over> {
        let now = Instant::now();
        let key: Arc<str> = key.into();
        let mut shard = self.shard(&key);
        let bucket = shard.entry(key.clone()).or_insert_with(|| Bucket::new(rate, self.processes(), now));
        let begins = !bucket.in_use;
        if begins {
            bucket.revive(self.processes(), now);
        }
        let outcome = bucket.take(now);
        drop(shard);
        if begins {
            locked(&self.begun).push(key);
            self.wanted.notify_one();
        }
        outcome
    }

    /// Asks the ledger for what is in use, without end.
    pub(super) async fn keep(self: Arc<Self>) {
        let Some(budgets) = self.ledger.budgets() else { return };
        let mut in_use: Vec<Arc<str>> = Vec::new();
        let (mut noted, mut away) = (None::<Instant>, false);
        loop {
            if in_use.is_empty() {
                let rest = noted.map_or(Duration::ZERO, |noted| NOTED.saturating_sub(noted.elapsed()));
                let _ = tokio::time::timeout(rest, self.wanted.notified()).await;
            }
            let began = Instant::now();
            if noted.is_none_or(|noted| noted.elapsed() >= NOTED) {
                noted = Some(began);
                if let Some(Ok(count)) = in_time(budgets.share(this_process())).await {
                    self.processes.store(count, Ordering::Relaxed);
                }
            }
            in_use.append(&mut locked(&self.begun));
            let answered = self.exchange(budgets, &mut in_use).await;
            self.say(&mut away, answered);
            tokio::time::sleep(APART.saturating_sub(began.elapsed())).await;
        }
    }

    /// Says once that the ledger does not answer, and that it does again.
    fn say(&self, away: &mut bool, answered: Result<(), String>) {
        match answered {
            Err(why) if !*away => {
                let processes = self.processes();
                warn!(
                    "the ledger does not say what is left of limits: {why}; until it does, each process lets in its part, one in {processes}"
                );
                *away = true;
            }
            Ok(()) if *away => {
                info!("limits are shared again");
                *away = false;
            }
            _ => {}
        }
    }

    /// Settles and takes what those that are in use need; those that are not any more go.
    async fn exchange(&self, budgets: &dyn Budgets, in_use: &mut Vec<Arc<str>>) -> Result<(), String> {
        let mut asks = Vec::new();
        in_use.retain(|key| {
            let ask = self.shard(key).get_mut(key).and_then(|bucket| bucket.ask(key));
            asks.extend(ask);
            asks.last().is_some_and(|last| last.key == **key)
        });
        let mut outcome = Ok(());
        for some in asks.chunks(AT_ONCE) {
            // What takes too long may be settled in the end, and is not settled twice.
            let (leases, failed) = match in_time(budgets.lease(some.to_vec())).await {
                Some(Ok(leases)) => (Some(leases), false),
                Some(Err(e)) => {
                    outcome = Err(e.to_string());
                    (None, true)
                }
                None => {
                    outcome = Err("it takes too long".to_owned());
                    (None, false)
                }
            };
            let (now, processes) = (Instant::now(), self.processes());
            for (at, ask) in some.iter().enumerate() {
                let mut shard = self.shard(&ask.key);
                let Some(bucket) = shard.get_mut(ask.key.as_str()) else { continue };
                match leases.as_ref().and_then(|leases| leases.get(at)) {
                    Some(lease) => bucket.settle(*lease, processes, now),
                    None => {
                        let unsettled = if failed { u32::try_from(ask.owed).unwrap_or_default() } else { 0 };
                        bucket.go_alone(unsettled, processes, now);
                    }
                }
            }
        }
        outcome
    }

    /// Forgets whoever has not asked for so long that all is there again.
    pub(super) fn tidy(&self) {
        for shard in &self.shards {
            locked(shard).retain(|_, bucket| bucket.in_use || bucket.settled.elapsed() < bucket.rate.per);
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, answer).await.ok()
}

/// The name of this process among those that share.
fn this_process() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| crate::auth::random(20).unwrap_or_else(|_| std::process::id().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(count: u32, processes: u32) -> Bucket {
        let rate: Rate = format!("{count}/h").parse().unwrap();
        let now = Instant::now();
        let mut bucket = Bucket::new(rate, processes, now);
        bucket.revive(processes, now);
        bucket
    }

    fn spend(bucket: &mut Bucket, times: u32) -> u32 {
        (0..times).filter(|_| bucket.take(Instant::now()).is_ok()).count() as u32
    }

    #[test]
    fn whoever_is_new_gets_the_processs_part_and_owes_it() {
        let mut bucket = bucket(10, 2);
        assert_eq!(spend(&mut bucket, 20), 5);
        let ask = bucket.ask("k").unwrap();
        assert_eq!(
            (ask.owed, ask.wanted, ask.most),
            (5, 10, 10),
            "as much as was asked for, and no more than there may be"
        );
        let lease = Lease { taken: 3, remaining: 0, again: Duration::from_secs(60) };
        bucket.settle(lease, 2, Instant::now());
        assert_eq!(spend(&mut bucket, 20), 3, "what it was given, and nothing on credit");
        let Err(Over { again }) = bucket.take(Instant::now()) else { panic!("there is none") };
        assert!(again > Duration::from_secs(50) && again <= Duration::from_secs(60));
    }

    #[test]
    fn what_is_not_needed_goes_back_and_then_nobody_asks() {
        let mut bucket = bucket(100, 1);
        assert_eq!(spend(&mut bucket, 10), 10);
        assert_eq!(bucket.ask("k").map(|ask| (ask.owed, ask.wanted)), Some((10, 15)));
        bucket.settle(Lease { taken: 15, remaining: 75, again: Duration::ZERO }, 1, Instant::now());
        let mut back = 0;
        for _ in 0..30 {
            let Some(ask) = bucket.ask("k") else { break };
            assert_eq!(ask.wanted, 0);
            back -= ask.owed;
        }
        assert_eq!((back, bucket.block, bucket.in_use), (15, 0, false));
    }

    #[test]
    fn who_is_new_while_the_ledger_is_away_keeps_its_part() {
        let mut bucket = bucket(10, 2);
        assert_eq!(spend(&mut bucket, 1), 1);
        let ask = bucket.ask("k").unwrap();
        bucket.go_alone(ask.owed as u32, 2, Instant::now());
        assert_eq!(spend(&mut bucket, 20), 4);
    }

    #[test]
    fn what_a_ledger_that_fails_now_and_then_did_not_settle_is_owed_still() {
        let mut bucket = bucket(10, 2);
        assert_eq!(spend(&mut bucket, 3), 3);
        let ask = bucket.ask("k").unwrap();
        bucket.go_alone(ask.owed as u32, 2, Instant::now());
        assert_eq!(spend(&mut bucket, 20), 2, "the rest of its part");
        let ask = bucket.ask("k").unwrap();
        assert_eq!(ask.owed, 5, "all of it, before and after the failure");
        bucket.settle(Lease { taken: 0, remaining: 0, again: Duration::ZERO }, 2, Instant::now());
        assert_eq!((spend(&mut bucket, 20), bucket.owed), (0, 0));
    }

    #[test]
    fn alone_it_lets_in_its_part() {
        let mut bucket = bucket(3_600, 4);
        bucket.credit = 0;
        let hour = Duration::from_secs(3_600);
        let now = bucket.settled + hour / 4;
        bucket.go_alone(0, 4, now);
        assert_eq!(bucket.credit, 225, "a quarter of a quarter");
        bucket.go_alone(0, 4, now + hour * 9);
        assert_eq!(bucket.credit, 900, "and no more at once than its part of all");
        assert_eq!(spend(&mut bucket, 900), 900);
        let ask = bucket.ask("k").unwrap();
        bucket.go_alone(ask.owed as u32 + 900, 4, now + hour * 10);
        assert_eq!(bucket.owed, 900, "nor is more owed, however long it was alone");
    }
}
