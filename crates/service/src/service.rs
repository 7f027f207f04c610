//! One service app: a request goes to one of its upstreams, and to another, or again, where that does no harm.
//!
//! Tried again is what cannot have been acted upon (no connection came about), and what may be done twice: GET, HEAD, OPTIONS,
//! PUT, DELETE, and anything with an `Idempotency-Key`; only while nothing of its body was read, or all of it is kept, as often as
//! `retries` says, within `timeout`. What may have been acted upon is tried again out of a budget. An outage that has just begun is waited out; in a longer
//! one the answer is [`Failure::Unavailable`] at once.
//!
//! Invariant: no lock is held while anything is waited for. Nothing is kept, so a crash leaves nothing.

use crate::alarm::Alarm;
use crate::balance::{Balance, Tried};
use crate::body::{Body, Kept};
use crate::budget::Budget;
use crate::failure::Failure;
use crate::head::Head;
use crate::received::Received;
use crate::settings::{Group, Settings};
use crate::tls::Secured;
use crate::upstream::{Broke, Sort, Upstream, is_overwhelmed};
use http::{Request, Response};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// An outage so young is waited out.
const PATIENCE: Duration = Duration::from_secs(2);
/// While all are down it is looked so often whether one is back, at least.
const LOOK: Duration = Duration::from_millis(100);
/// Before it is tried again at another upstream there is a pause of up to this.
const PAUSE_ELSEWHERE: Duration = Duration::from_millis(10);
/// Before it is tried again at the same one there is a pause of this, and each time three times as long.
const PAUSE_SAME: Duration = Duration::from_millis(100);
/// A request goes so often to connections that turn out to be closed.
const STALE_MAX: u32 = 3;

/// One service app.
pub struct Service {
    settings: Settings,
    balances: Vec<Balance>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    budget: Mutex<Budget>,
    /// An upstream is back.
    pub(crate) back: Notify,
    pub(crate) watched: std::sync::atomic::AtomicBool,
}

impl Service {
    pub(crate) fn new(settings: Settings) -> Self {
        let secured = Arc::new(Secured::new(settings.tls.clone().unwrap_or_default()));
        let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
        let mut balances = Vec::new();
        for group in &settings.groups {
            let mut of_group = Vec::new();
            for address in &group.upstreams {
                let known = upstreams.iter().find(|one| one.address == *address).cloned();
                let new =
                    || Upstream::new(address.clone(), settings.http2, Some(secured.clone())).map(Arc::new);
                let Some(upstream) = known.or_else(new) else { continue };
                if !upstreams.iter().any(|one| Arc::ptr_eq(one, &upstream)) {
                    upstreams.push(upstream.clone());
                }
                of_group.push(upstream);
            }
            balances.push(Balance::new(group.version.clone(), of_group));
        }
        Self {
            settings,
            balances,
            upstreams,
            budget: Mutex::new(Budget::new(Instant::now())),
            back: Notify::new(),
            watched: false.into(),
        }
    }

    /// What is declared of it.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn balances(&self) -> &[Balance] {
        &self.balances
    }

    /// Which of its groups a path is for, and the path for that: `/v2/orders` is `/orders` for the group `v2`.
    pub fn group<'s, 'p>(&'s self, path: &'p str) -> Option<(&'s Group, &'p str)> {
        let groups = &self.settings.groups;
        if let [only] = groups.as_slice()
            && only.version.is_none()
        {
            return Some((only, path));
        }
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let versioned = groups.iter().find(|group| group.version.as_deref() == Some(first));
        if let Some(group) = versioned {
            let rest = path.trim_start_matches('/').strip_prefix(first).unwrap_or_default();
            return Some((group, rest));
        }
        groups.iter().find(|group| group.version.is_none()).map(|group| (group, path))
    }

    /// Sends a request to an upstream of a group. Its URI is a path and a query, which go behind the upstream's own path; its
    /// headers go as they are, so hop-by-hop ones must have gone.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(&self, group: &Group, request: Request<Body>) -> Result<Response<Received>, Failure> {
        let (parts, body) = request.into_parts();
        self.ask(group, &parts.into(), Some(body), Instant::now(), &mut Alarm::default()).await
    }

    /// The same, of a head and a body, or of none. Its time counts from `began` on; `deadline` is what it is taken with, and may have
    /// been another's.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn ask(
        &self,
        group: &Group,
        head: &Head,
        body: Option<Body>,
        began: Instant,
        deadline: &mut Alarm,
    ) -> Result<Response<Received>, Failure> {
        let known = self.balances.iter().find(|one| one.version == group.version);
        let Some(balance) = known.filter(|one| !one.upstreams.is_empty()) else {
            return Err(self.misconfigured("it has no upstream".to_owned()));
        };
        let repeats = head.repeats();
        let retries = self.settings.retries;
        let again = repeats && retries > 0;
        deadline.set(began + self.settings.timeout);
        let mut call = Call {
            service: self,
            balance,
            head,
            kept: body.map_or(Kept::Nothing, |body| Kept::new(body, again)),
            again,
            repeats,
            retries,
            tried: Tried::default(),
            stale: 0,
            deadline,
        };
        call.made().await
    }

    fn no_answer(&self, why: String, not_begun: bool) -> Failure {
        Failure::NoAnswer { app: self.settings.name.clone(), why, not_begun }
    }

    pub(crate) fn misconfigured(&self, why: String) -> Failure {
        Failure::Config { app: self.settings.name.clone(), why }
    }

    fn may_spend(&self, balance: &Balance) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.take(Instant::now(), balance.asked())
    }
}

/// One request on its way, however often it is tried.
struct Call<'a> {
    service: &'a Service,
    balance: &'a Balance,
    head: &'a Head,
    kept: Kept,
    /// Whether it may be tried again after it was sent.
    again: bool,
    repeats: bool,
    /// How many tries are left.
    retries: u32,
    tried: Tried,
    stale: u32,
    deadline: &'a mut Alarm,
}

impl Call<'_> {
    async fn made(&mut self) -> Result<Response<Received>, Failure> {
        loop {
            let Some(nth) = self.balance.choose(self.tried, self.repeats) else {
                Box::pin(self.until_one_is_back()).await?;
                continue;
            };
            if let Outcome::Answered(answer) = self.one_try(nth).await? {
                return Ok(answer);
            }
        }
    }

    /// One try.
    async fn one_try(&mut self, nth: usize) -> Result<Outcome, Failure> {
        let upstream = self.balance.upstreams.get(nth).ok_or_else(|| self.no_answer("it has gone", true))?;
        let asking = upstream.begin();
        let sent = self.kept.send().ok_or(Failure::Caller)?;
        let mut on = None;
        let outcome = tokio::select! {
            biased;
            outcome = upstream.exchange(self.head, sent, &mut on) => outcome,
            () = expired(self.deadline, &self.kept, self.service.settings.timeout) => {
                if self.kept.awaits_caller() {
                    return Err(Failure::CallerPaused { within: self.service.settings.timeout });
                }
                upstream.waited_in_vain(on);
                let timed_out = self.timed_out();
                asking.failed(&timed_out.to_string());
                return Err(timed_out);
            }
        };
        match outcome {
            Ok(answer) => {
                let status = answer.status();
                if asking.answered(status) {
                    self.service.back.notify_waiters();
                }
                self.tried.add(nth);
                if !self.goes_elsewhere(status) {
                    return Ok(Outcome::Answered(answer));
                }
                drop(answer);
                Box::pin(self.pause(PAUSE_ELSEWHERE)).await?;
                Ok(Outcome::Again)
            }
            Err(_) if self.kept.broke_off() => Err(Failure::Caller),
            // It may have closed the connection while the request was on its way: no failure of the upstream.
            Err(broke) if broke.sort == Sort::Stale && self.stale < STALE_MAX => {
                self.stale += 1;
                match (self.again || broke.not_begun) && self.repeats && self.kept.is_whole() {
                    true => Ok(Outcome::Again),
                    false => Err(self.no_answer(&broke.why, false)),
                }
            }
            Err(broke) if broke.sort == Sort::Config => Err(self.service.misconfigured(broke.why)),
            Err(broke) if broke.sort == Sort::Untrusted => {
                self.tried.add(nth);
                if self.retries > 0 && self.balance.has_another(self.tried) {
                    asking.failed(&broke.why);
                    return Box::pin(self.after(broke)).await;
                }
                asking.told(&broke.why);
                Err(Failure::Untrusted { app: self.service.settings.name.clone(), why: broke.why })
            }
            Err(broke) => {
                asking.failed(&broke.why);
                self.tried.add(nth);
                Box::pin(self.after(broke)).await
            }
        }
    }

    /// What is tried again after it failed, when the pause is over.
    async fn after(&mut self, Broke { why, not_begun, .. }: Broke) -> Result<Outcome, Failure> {
        let may = self.retries > 0
            && self.kept.is_whole()
            && (not_begun || (self.repeats && self.service.may_spend(self.balance)));
        if !may {
            return Err(self.no_answer(&why, not_begun));
        }
        let nth = self.service.settings.retries - self.retries;
        self.retries -= 1;
        let pause = match self.balance.has_another(self.tried) {
            true => PAUSE_ELSEWHERE,
            false => PAUSE_SAME.saturating_mul(3u32.saturating_pow(nth.min(6))),
        };
        self.pause(pause).await?;
        Ok(Outcome::Again)
    }

    /// Whether it goes to another upstream, because this one says that it cannot answer now.
    fn goes_elsewhere(&mut self, status: http::StatusCode) -> bool {
        let may = is_overwhelmed(status)
            && self.retries > 0
            && self.kept.is_whole()
            && self.again
            && self.balance.has_another(self.tried)
            && self.service.may_spend(self.balance);
        if may {
            self.retries -= 1;
        }
        may
    }

    /// Waits for so long, and up to half as much again.
    async fn pause(&mut self, about: Duration) -> Result<(), Failure> {
        let spread = self.balance.random() % 512;
        let pause = about + about.mul_f64(spread as f64 / 1024.0);
        tokio::select! {
            biased;
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.deadline.ended() => Err(self.timed_out()),
        }
    }

    /// Waits until an upstream may be asked, where all have failed just now.
    async fn until_one_is_back(&mut self) -> Result<(), Failure> {
        let settings = &self.service.settings;
        let usual = settings.health.as_ref().map_or(PATIENCE, |health| health.every);
        let again = self.balance.again(usual);
        let waits = settings.retries > 0 && self.balance.down_for().is_some_and(|down| down < PATIENCE);
        let unavailable = || Failure::Unavailable { app: settings.name.clone(), again };
        if !waits {
            return Err(unavailable());
        }
        tokio::select! {
            () = self.service.back.notified() => Ok(()),
            () = tokio::time::sleep(again.clamp(Duration::from_millis(1), LOOK)) => Ok(()),
            () = self.deadline.ended() => Err(unavailable()),
        }
    }

    fn no_answer(&self, why: &str, not_begun: bool) -> Failure {
        self.service.no_answer(why.to_owned(), not_begun)
    }

    fn timed_out(&self) -> Failure {
        let settings = &self.service.settings;
        Failure::TimedOut { app: settings.name.clone(), within: settings.timeout }
    }
}

/// What came of one try.
enum Outcome {
    Answered(Response<Received>),
    Again,
}

/// Until the time for an answer is over; it begins anew with each piece of the body that is taken.
async fn expired(deadline: &mut Alarm, kept: &Kept, timeout: Duration) {
    loop {
        deadline.ended().await;
        match kept.taken_before().and_then(|before| timeout.checked_sub(before)) {
            Some(left) if !left.is_zero() => deadline.set(Instant::now() + left),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(versions: &[Option<&str>]) -> Service {
        let group = |version: &Option<&str>| Group {
            version: version.map(str::to_owned),
            upstreams: vec!["http://127.0.0.1:9000".parse().unwrap()],
        };
        Service::new(Settings {
            name: "billing".into(),
            groups: versions.iter().map(group).collect(),
            timeout: Duration::from_secs(1),
            retries: 0,
            health: None,
            tls: None,
            http2: false,
            post: "/".into(),
            openapi: None,
        })
    }

    #[tokio::test]
    async fn a_path_goes_to_its_version() {
        let of = |service: &Service, path: &str| {
            service.group(path).map(|(group, rest)| (group.version.clone(), rest.to_owned()))
        };
        let plain = service(&[None]);
        assert_eq!(of(&plain, "/v2/orders"), Some((None, "/v2/orders".into())));
        let both = service(&[None, Some("v2")]);
        assert_eq!(of(&both, "/v2/orders"), Some((Some("v2".into()), "/orders".into())));
        assert_eq!(of(&both, "/v2"), Some((Some("v2".into()), String::new())));
        assert_eq!(of(&both, "/v22/x"), Some((None, "/v22/x".into())));
        assert_eq!(both.upstreams.len(), 1, "one address is one upstream, in however many groups");
        assert_eq!(of(&service(&[Some("v2")]), "/orders"), None);
    }
}
