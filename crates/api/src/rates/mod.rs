//! How much a caller may ask in a time: the generic cell rate algorithm, by key, by address, by key and
//! route, and by key and app.
//!
//! What is left is said in `RateLimit` and `RateLimit-Policy` (the IETF's draft draft-ietf-httpapi-ratelimit-headers-10). The
//! count of an address is each process's own ([`local`]); all others are held together by the processes on a PostgreSQL ledger
//! ([`shared`]). Memory is bounded: whoever has not asked for a while is forgotten. Nothing here waits.

mod local;
mod shared;

use crate::access;
use crate::fault::Fault;
use bytes::Bytes;
use handover_ledger::Ledger;
use handover_runtime::config::{ApiLimits, Rate};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use local::Local;
use shared::Shared;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// What is left after one was taken.
struct Left(u32);

/// Too much was asked for; in so long there is another.
struct Over {
    again: Duration,
}

/// Who counts.
enum Counted {
    /// This process by itself.
    Local(Local<String>),
    /// All processes together; this is before the caller in the limit's name.
    Shared(Arc<Shared>, String),
}

/// One limit, with its name.
struct Limit {
    name: &'static str,
    rate: Rate,
    /// What is said of it each time.
    policy: HeaderValue,
    counted: Counted,
}

/// What a caller is told of a limit.
#[derive(Debug)]
pub(crate) struct Said {
    policy: HeaderValue,
    left: HeaderValue,
}

impl Said {
    /// Adds it to an answer's headers, beside what is said there of other limits: all hold.
    pub(crate) fn put(self, headers: &mut HeaderMap) {
        headers.append(POLICY, self.policy);
        headers.append(LEFT, self.left);
    }
}

impl Limit {
    /// `whole` tells it from all others, of which several may have the same name.
    fn new(name: &'static str, whole: &str, rate: Rate, shared: Option<&Arc<Shared>>) -> Self {
        let counted = match shared {
            Some(shared) => Counted::Shared(shared.clone(), format!("{name}:{whole}|")),
            None => Counted::Local(Local::new(rate)),
        };
        Self { name, rate, policy: policy(name, rate), counted }
    }

    /// Takes one; what is said is what is left.
    fn take(&self, key: &String) -> Result<Said, Fault> {
        let taken = match &self.counted {
            Counted::Local(local) => local.take(key),
            Counted::Shared(shared, whole) => shared.take(format!("{whole}{key}"), self.rate),
        };
        match taken {
            Ok(Left(left)) => {
                let left = self::left(self.name, left, refill(self.rate, left));
                Ok(Said { policy: self.policy.clone(), left })
            }
            Err(over) => Err(refused(self.name, self.rate, &over)),
        }
    }
}

/// What is said to who asks for too much.
fn refused(name: &'static str, rate: Rate, Over { again }: &Over) -> Fault {
    let Rate { count, per } = rate;
    let message = format!("too many requests: {count} in {} are taken ({name})", seconds(per));
    let fault = Fault::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message).retry_after(*again);
    let mut headers = HeaderMap::new();
    Said { policy: policy(name, rate), left: left(name, 0, *again) }.put(&mut headers);
    fault.with_all(headers)
}

/// How long until all is there again.
fn refill(rate: Rate, left: u32) -> Duration {
    rate.per / rate.count.get() * rate.count.get().saturating_sub(left)
}

/// What is taken in which time; in seconds.
fn policy(name: &str, rate: Rate) -> HeaderValue {
    text(format!("\"{name}\";q={};w={}", rate.count, rate.per.as_secs().max(1)))
}

/// What is left, and in how many seconds all is there again.
fn left(name: &str, left: u32, until: Duration) -> HeaderValue {
    let seconds = until.as_secs() + u64::from(until.subsec_nanos() > 0);
    // Each answer has one: without the formatting machinery.
    let mut text = Vec::with_capacity(48);
    access::put(&mut text, &["\"", name, "\";r="]);
    access::put_number(&mut text, left.into(), 1);
    access::put(&mut text, &[";t="]);
    access::put_number(&mut text, seconds, 1);
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

fn text(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

fn seconds(per: Duration) -> String {
    match per.as_secs() {
        1 => "a second".to_owned(),
        60 => "a minute".to_owned(),
        3_600 => "an hour".to_owned(),
        _ => "a day".to_owned(),
    }
}

/// All limits of one configuration.
pub(crate) struct Rates {
    address: (Rate, Local<IpAddr>),
    default: Limit,
    apps: HashMap<String, Limit>,
    routes: HashMap<String, Limit>,
    shared: Option<Arc<Shared>>,
    /// Asks the ledger for what is shared; ends with this.
    _asking: JoinSet<()>,
}

impl Rates {
    /// The limits; where they are to be shared and the ledger is one that processes share, it counts them. To be called within a
    /// runtime.
    pub(crate) fn new(limits: &ApiLimits, ledger: &Arc<dyn Ledger>) -> Self {
        let shared =
            (limits.shared && ledger.budgets().is_some()).then(|| Arc::new(Shared::new(ledger.clone())));
        let mut asking = JoinSet::new();
        if let Some(shared) = &shared {
            asking.spawn(shared.clone().keep());
        }
        let of = |name: &'static str, rates: &BTreeMap<String, Rate>| {
            let limit = |(whole, rate): (&String, &Rate)| {
                (whole.clone(), Limit::new(name, whole, *rate, shared.as_ref()))
            };
            rates.iter().map(limit).collect()
        };
        Self {
            address: (limits.address, Local::new(limits.address)),
            default: Limit::new("default", "", limits.default, shared.as_ref()),
            apps: of("app", &limits.apps),
            routes: of("route", &limits.routes),
            shared,
            _asking: asking,
        }
    }

    /// Takes one of an address. An IPv6 network of 64 bits counts as one: who has one address there has them all.
    pub(crate) fn take_address(&self, address: IpAddr) -> Result<(), Fault> {
        let key = match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 => v4,
        };
        match self.address.1.take(&key) {
            Ok(_) => Ok(()),
            Err(over) => Err(refused("address", self.address.0, &over)),
        }
    }

    /// Takes one of a caller for a route (`POST /jobs`), where that has a limit of its own, and one of all; the headers say what is
    /// left of the narrower one.
    pub(crate) fn take(&self, caller: &String, address: IpAddr, route: Option<&str>) -> Result<Said, Fault> {
        // Without keys all callers are one by name, and told apart by their address.
        let named = (caller == "api").then(|| address.to_string());
        let key = named.as_ref().unwrap_or(caller);
        let by_route =
            route.and_then(|route| self.routes.get(route)).map(|limit| limit.take(key)).transpose()?;
        let of_all = self.default.take(key)?;
        Ok(by_route.unwrap_or(of_all))
    }

    /// Takes one of a caller's jobs for an app, or calls of a service app, where that has a limit of its own.
    pub(crate) fn take_app(&self, caller: &String, app: &str) -> Result<Option<Said>, Fault> {
        self.apps.get(app).map(|limit| limit.take(caller)).transpose()
    }

    /// Forgets whoever has not asked for so long that all is there again.
    pub(crate) fn tidy(&self) {
        self.address.1.tidy();
        self.shared.iter().for_each(|shared| shared.tidy());
        for limit in self.apps.values().chain(self.routes.values()).chain([&self.default]) {
            if let Counted::Local(local) = &limit.counted {
                local.tidy();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_and_then_refused() {
        let limit = Limit::new("default", "", "3/h".parse().unwrap(), None);
        let left = |said: Said| said.left.to_str().unwrap().split(';').nth(1).unwrap().to_owned();
        let (a, b) = ("a".to_owned(), "b".to_owned());
        let said: Vec<_> = (0..3).map(|_| left(limit.take(&a).unwrap())).collect();
        assert_eq!(said, ["r=2", "r=1", "r=0"]);
        let refused = limit.take(&a).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (429, "RATE_LIMITED"));
        assert_eq!(limit.take(&b).unwrap().policy, "\"default\";q=3;w=3600");
    }
}
