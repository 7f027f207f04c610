//! A random storm of operations, over two handles, against a model that is simple enough to be believed.
//!
//! Each seed gives one storm, the same every time. `HANDOVER_STORM=seed:operations` runs another one.

use super::*;
use handover_core::LeaseToken;
use handover_core::limits::RESCUES_MAX;
use handover_testkit::Random;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

const APPS: [&str; 3] = ["a", "b", "c"];
const HOLDERS: [&str; 3] = ["1-x", "2-y", "3-z"];

/// What the model knows of a delivery.
#[derive(Debug, Clone)]
struct Row {
    kind: Kind,
    app: &'static str,
    status: Status,
    priority: i32,
    run_at: Timestamp,
    attempts: u32,
    max_attempts: u32,
    rescues: u32,
    snoozes: u32,
    order_key: Option<String>,
    dedup_key: Option<String>,
    lease: Option<(LeaseToken, &'static str, Timestamp)>,
}

#[derive(Default)]
struct Model {
    rows: BTreeMap<DeliveryId, Row>,
    paused: BTreeSet<&'static str>,
    /// Tokens of claims that no longer stand.
    lost: Vec<Held>,
    lanes: bool,
}

impl Model {
    /// What a claim gives; with `aged` one place goes to what has waited longest.
    fn claimable(&self, kind: Kind, app: &str, now: Timestamp, max: usize, aged: bool) -> Vec<DeliveryId> {
        if self.paused.contains(app) {
            return vec![];
        }
        let here = || self.rows.iter().filter(|(_, r)| (r.kind, r.app) == (kind, app));
        let blocked = |id: DeliveryId, row: &Row| {
            row.order_key.is_some()
                && here().filter(|(_, other)| other.order_key == row.order_key).any(|(other_id, other)| {
                    other.status == Status::Processing || (other.status == Status::Pending && *other_id < id)
                })
        };
        let mut found: Vec<(i32, DeliveryId)> = here()
            .filter(|(id, r)| r.status == Status::Pending && r.run_at <= now && !blocked(**id, r))
            .map(|(id, r)| (-r.priority, *id))
            .collect();
        found.sort();
        let waited = |id: &DeliveryId| self.rows[id].run_at + Duration::from_secs(60) <= now;
        let oldest = found.iter().map(|(_, id)| *id).filter(|id| aged && waited(id)).min();
        found.sort_by_key(|(priority, id)| (Some(*id) != oldest, *priority, *id));
        found.truncate(max);
        found.sort();
        found.into_iter().map(|(_, id)| id).collect()
    }

    fn with_status(&self, wanted: &[Status]) -> Vec<DeliveryId> {
        self.rows.iter().filter(|(_, r)| wanted.contains(&r.status)).map(|(id, _)| *id).collect()
    }

    fn held(&self, id: DeliveryId) -> Held {
        let row = &self.rows[&id];
        let (token, ..) = row.lease.clone().unwrap();
        Held { queue: row.kind.into(), id, token }
    }

    /// Takes the lease away; whoever had it may no longer speak.
    fn unlease(&mut self, id: DeliveryId) -> &mut Row {
        if self.rows[&id].lease.is_some() {
            self.lost.push(self.held(id));
        }
        let row = self.rows.get_mut(&id).unwrap();
        row.lease = None;
        row
    }
}

struct Storm<B> {
    w: World<B>,
    handles: [Arc<dyn Ledger>; 2],
    random: Random,
    model: Model,
}

pub(crate) async fn a_random_storm_agrees_with_the_model<B: Backend>() {
    let asked = std::env::var("HANDOVER_STORM").ok();
    let asked = asked.as_deref().and_then(|text| text.split_once(':'));
    let (seeds, operations) = match asked {
        Some((seed, operations)) => (vec![seed.parse().unwrap()], operations.parse().unwrap()),
        None => (vec![1, 2, 3], 1200),
    };
    for seed in seeds {
        let w = World::<B>::new().await;
        let handles = [w.ledger.clone(), w.backend.open().await];
        let model = Model { lanes: B::LANES, ..Model::default() };
        let mut storm = Storm { w, handles, random: Random::new(seed), model };
        for number in 0..operations {
            storm.operation().await;
            if number % 150 == 149 {
                storm.compare(&format!("seed {seed}, operation {number}")).await;
            }
        }
        storm.check_history().await;
    }
}

impl<B: Backend> Storm<B> {
    fn ledger(&mut self) -> Arc<dyn Ledger> {
        self.handles[self.random.below(2)].clone()
    }

    fn any(&mut self, wanted: &[Status]) -> Option<DeliveryId> {
        let all = self.model.with_status(wanted);
        self.random.pick(&all).copied()
    }

    async fn operation(&mut self) {
        match self.random.below(100) {
            0..20 => self.push().await,
            20..45 => self.claim().await,
            45..60 => self.complete().await,
            60..70 => self.fail().await,
            70..73 => self.release().await,
            73..76 => self.renew().await,
            76..80 => self.rescue().await,
            80..84 => self.cancel().await,
            84..87 => self.retry().await,
            87..89 => self.replay().await,
            89..92 => self.archive().await,
            92..95 => self.speak_for_what_is_lost().await,
            95..97 => self.pause_or_resume().await,
            _ => {
                let seconds = [1, 5, 30, 120][self.random.below(4)];
                self.w.advance(seconds);
            }
        }
    }

    /// A key, once in `one_in` times.
    fn sometimes(&mut self, one_in: usize, prefix: &str, keys: usize) -> Option<String> {
        self.random.one_in(one_in).then(|| format!("{prefix}{}", self.random.below(keys)))
    }

    fn random_new(&mut self) -> (NewDelivery, Row) {
        let kind = [Kind::File, Kind::Record, Kind::Record][self.random.below(3)];
        let app = APPS[self.random.below(3)];
        let now = self.w.now();
        let row = Row {
            kind,
            app,
            status: Status::Pending,
            priority: self.random.below(3) as i32 - 1,
            run_at: if self.random.one_in(5) { now + Duration::from_secs(20) } else { now },
            attempts: 0,
            max_attempts: 1 + self.random.below(3) as u32,
            rescues: 0,
            snoozes: 0,
            order_key: self.sometimes(3, "o", 3),
            dedup_key: self.sometimes(4, "d", 60),
            lease: None,
        };
        let given = NewDelivery {
            priority: row.priority,
            run_at: Some(row.run_at),
            max_attempts: row.max_attempts,
            order_key: row.order_key.clone(),
            dedup_key: row.dedup_key.clone(),
            ..new(kind, app)
        };
        (given, row)
    }

    /// Checks a push against the model and takes it in.
    fn pushed(&mut self, id: DeliveryId, row: Row) {
        let known = self.model.rows.iter().find(|(_, other)| {
            row.dedup_key.is_some()
                && (other.kind, other.app, &other.dedup_key) == (row.kind, row.app, &row.dedup_key)
        });
        match known {
            Some((known, _)) => assert_eq!(id, *known, "a duplicate is the known one"),
            None => assert!(self.model.rows.insert(id, row).is_none(), "{id} was given twice"),
        }
    }

    async fn push(&mut self) {
        let all: Vec<(NewDelivery, Row)> = (0..=self.random.below(4)).map(|_| self.random_new()).collect();
        let given = all.iter().map(|(new, _)| new.clone()).collect();
        let pushed = self.ledger().push("test", given).await.unwrap();
        for (pushed, (_, row)) in pushed.into_iter().zip(all) {
            self.pushed(pushed.id(), row);
        }
    }

    async fn claim(&mut self) {
        let (kind, app) = (KINDS[self.random.below(2)], APPS[self.random.below(3)]);
        let (max, holder) = (1 + self.random.below(4), HOLDERS[self.random.below(3)]);
        let claimed = self.ledger().claim(ask(kind, app, max, holder)).await.unwrap();
        // The lot of a claim is the end of its token.
        let aged = claimed.first().is_some_and(|one| held(one).token.0.ends_with(['0', '1']));
        assert_eq!(ids(&claimed), self.model.claimable(kind, app, self.w.now(), max, aged));
        let until = self.w.now() + LEASE;
        for delivery in claimed {
            let row = self.model.rows.get_mut(&delivery.id).unwrap();
            row.status = Status::Processing;
            row.attempts += 1;
            row.lease = Some((held(&delivery).token, holder, until));
        }
    }

    async fn complete(&mut self) {
        let Some(id) = self.any(&[Status::Processing]) else { return };
        let next: Vec<(NewDelivery, Row)> = (0..self.random.below(3)).map(|_| self.random_new()).collect();
        let held = self.model.held(id);
        let given = next.iter().map(|(new, _)| new.clone()).collect();
        let followed = self.ledger().complete(completion(&held, given)).await.unwrap();
        let row = self.model.unlease(id);
        row.status = self.w.stands(row.kind, Status::Completed);
        for (id, (_, row)) in followed.into_iter().zip(next) {
            self.pushed(id, row);
        }
    }

    async fn fail(&mut self) {
        let Some(id) = self.any(&[Status::Processing]) else { return };
        let verdict = [Verdict::Retry, Verdict::Retry, Verdict::Later, Verdict::Final][self.random.below(4)];
        let held = self.model.held(id);
        let failed = self.ledger().fail(failure(&held, verdict)).await.unwrap();
        let now = self.w.now();
        let row = self.model.unlease(id);
        let tries = match verdict {
            Verdict::Later => {
                row.attempts -= 1;
                row.snoozes += 1;
                Some(row.snoozes)
            }
            Verdict::Retry if row.attempts < row.max_attempts => Some(row.attempts),
            _ => None,
        };
        row.status = if tries.is_some() { Status::Pending } else { Status::Failed };
        assert_eq!((failed.status, failed.run_at.is_some()), (row.status, tries.is_some()));
        if let (Some(tries), Some(run_at)) = (tries, failed.run_at) {
            let full = (1000i128 << (tries - 1).min(20)).min(900_000);
            let wait = run_at.duration_since(now).as_millis();
            assert!((full / 2..=full).contains(&wait), "{wait} of {full}");
            row.run_at = run_at;
        }
    }

    async fn release(&mut self) {
        let Some(id) = self.any(&[Status::Processing]) else { return };
        let held = self.model.held(id);
        assert_eq!(self.ledger().release(vec![held], None).await.unwrap(), 1);
        let row = self.model.unlease(id);
        row.status = Status::Pending;
        row.attempts -= 1;
    }

    async fn renew(&mut self) {
        let Some(id) = self.any(&[Status::Processing]) else { return };
        let held = self.model.held(id);
        assert!(self.ledger().renew(vec![held.clone()], LEASE).await.unwrap().is_empty());
        let until = self.w.now() + LEASE;
        let token = held.token.clone();
        let lanes = self.model.lanes;
        for (other, row) in &mut self.model.rows {
            let Some(lease) = &mut row.lease else { continue };
            // What is claimed by lanes has one lease for all of its claim.
            if *other == id || lanes && row.kind == Kind::Record && lease.0 == token {
                lease.2 = until;
            }
        }
    }

    async fn rescue(&mut self) {
        let lost = if self.random.one_in(2) { vec![HOLDERS[self.random.below(3)]] } else { vec![] };
        let now = self.w.now();
        let taken =
            |row: &Row| row.lease.as_ref().is_some_and(|(_, who, until)| *until <= now || lost.contains(who));
        let mut expected: Vec<DeliveryId> =
            self.model.rows.iter().filter(|(_, row)| taken(row)).map(|(id, _)| *id).collect();
        let lost = lost.iter().map(|name| HolderId((*name).into())).collect();
        let rescued = self.ledger().rescue("rescuer", lost).await.unwrap();
        let mut found: Vec<DeliveryId> = rescued.iter().map(|r| r.id).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        for rescued in rescued {
            let row = self.model.unlease(rescued.id);
            row.status = if row.rescues >= RESCUES_MAX { Status::Failed } else { Status::Pending };
            row.rescues += 1;
            row.attempts -= 1;
            assert_eq!(rescued.status, row.status);
        }
    }

    async fn cancel(&mut self) {
        let Some(id) = self.any(&Status::ALL) else { return };
        let result = self.ledger().cancel("ann", id).await;
        match self.model.rows[&id].status {
            Status::Pending | Status::Processing => {
                result.unwrap();
                self.model.unlease(id).status = Status::Failed;
            }
            _ => assert_eq!(refused(result), ErrorKind::IllegalTransition),
        }
    }

    async fn retry(&mut self) {
        let wanted = if self.random.one_in(4) { &Status::ALL[..] } else { &[Status::Failed] };
        let Some(id) = self.any(wanted) else { return };
        let result = self.ledger().retry("ann", id).await;
        let now = self.w.now();
        let row = self.model.rows.get_mut(&id).unwrap();
        if row.status == Status::Failed {
            result.unwrap();
            *row = Row {
                status: Status::Pending,
                attempts: 0,
                rescues: 0,
                snoozes: 0,
                run_at: now,
                ..row.clone()
            };
        } else {
            assert_eq!(refused(result), ErrorKind::IllegalTransition);
        }
    }

    async fn replay(&mut self) {
        let Some(id) = self.any(&Status::ALL) else { return };
        let again = self.ledger().replay("ann", id).await.unwrap();
        let row = Row {
            status: Status::Pending,
            attempts: 0,
            rescues: 0,
            snoozes: 0,
            run_at: self.w.now(),
            dedup_key: None,
            lease: None,
            ..self.model.rows[&id].clone()
        };
        self.pushed(again, row);
    }

    async fn archive(&mut self) {
        let all = self.model.with_status(&[Status::Completed, Status::Failed]);
        let some: Vec<DeliveryId> = all.into_iter().filter(|_| self.random.one_in(5)).collect();
        let running = if self.random.one_in(4) { self.any(&[Status::Pending]) } else { None };
        let asked: Vec<DeliveryId> = some.iter().copied().chain(running).collect();
        let result = self.ledger().archive("ann", asked).await;
        if running.is_some() {
            assert_eq!(refused(result), ErrorKind::IllegalTransition);
            return;
        }
        assert_eq!(result.unwrap(), some.len());
        for id in some {
            self.model.rows.get_mut(&id).unwrap().status = Status::Archived;
        }
    }

    async fn speak_for_what_is_lost(&mut self) {
        let Some(held) = self.random.pick(&self.model.lost).cloned() else { return };
        let ledger = self.ledger();
        stale(ledger.complete(completion(&held, vec![new(Kind::File, "a")])).await);
        stale(ledger.fail(failure(&held, Verdict::Retry)).await);
        assert_eq!(ledger.release(vec![held.clone()], None).await.unwrap(), 0);
        assert!(!ledger.holds(&held).await.unwrap());
        assert_eq!(ledger.renew(vec![held.clone()], LEASE).await.unwrap(), [held]);
    }

    async fn pause_or_resume(&mut self) {
        let app = APPS[self.random.below(3)];
        if self.model.paused.remove(app) {
            assert!(self.ledger().resume("ann", app).await.unwrap());
        } else {
            self.ledger().pause("ann", app).await.unwrap();
            self.model.paused.insert(app);
        }
    }

    /// The whole ledger is what the model says.
    async fn compare(&mut self, when: &str) {
        let filter = handover_ledger::Filter { archived: true, limit: usize::MAX, ..Default::default() };
        let there = self.ledger().list(filter).await.unwrap();
        assert_eq!(there.len(), self.model.rows.len(), "{when}");
        for delivery in there {
            let row = &self.model.rows[&delivery.id];
            let lease = delivery.lease_token.zip(delivery.leased_by).zip(delivery.lease_until);
            let lease = lease.map(|((token, who), until)| (token, who.0, until));
            let expected = row.lease.clone().map(|(token, who, until)| (token, who.to_owned(), until));
            let says = |d: &Row| (d.status, d.attempts, d.rescues, d.snoozes, d.run_at, d.priority);
            assert_eq!(
                (
                    delivery.status,
                    delivery.attempts,
                    delivery.rescues,
                    delivery.snoozes,
                    delivery.run_at,
                    delivery.priority
                ),
                says(row),
                "{when}: {}",
                delivery.id
            );
            assert_eq!(lease, expected, "{when}: {}", delivery.id);
        }
        self.w.check_counts().await;
        let now = self.w.now();
        let future = |time: &Timestamp| *time > now;
        let pending =
            self.model.rows.values().filter(|r| r.status == Status::Pending).map(|r| r.run_at).filter(future);
        let leases = self.model.rows.values().filter_map(|r| r.lease.as_ref().map(|l| l.2)).filter(future);
        let next = pending.chain(leases).min();
        // Of a claim of which some has ended it may be that one's end: too early, and never too late.
        let said = self.ledger().next_due().await.unwrap();
        let early = |said: &Timestamp| future(said) && next.is_some_and(|next| *said < next);
        assert!(said == next || said.as_ref().is_some_and(early), "{when}: {said:?}, and {next:?} is due");
    }

    /// Every delivery's history is one path along legal arrows, to where it stands.
    async fn check_history(&mut self) {
        for (id, row) in self.model.rows.clone() {
            let audit = self.ledger().audit(id).await.unwrap();
            assert_eq!(audit[0].from, None);
            for pair in audit.windows(2) {
                assert_eq!(pair[1].from, Some(pair[0].to), "{id}: {audit:?}");
                assert!(pair[0].to.may_become(pair[1].to), "{id}: {audit:?}");
                assert!(pair[0].at <= pair[1].at);
            }
            assert_eq!(audit.last().map(|entry| entry.to), Some(row.status));
        }
    }
}
