//! How much a caller may ask in a time: the generic cell rate algorithm, by key, by address, by key and
//! route, and by key and app.
//!
//! What is left is said in `RateLimit` and `RateLimit-Policy` (the IETF's draft draft-ietf-httpapi-ratelimit-headers-10). The
//! counts are of this process alone; a restart begins anew. Memory is bounded: whoever has not asked for a while is forgotten.

use crate::fault::Fault;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use handover_runtime::config::{ApiLimits, Rate};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// One limit, with its name.
struct Limit<K: Clone + std::hash::Hash + Eq> {
    name: &'static str,
    rate: Rate,
    limiter: Limiter<K>,
}

impl<K: Clone + std::hash::Hash + Eq> Limit<K> {
    fn new(name: &'static str, rate: Rate) -> Self {
        let one = rate.per / rate.count.get();
        let quota = Quota::with_period(one.max(Duration::from_nanos(1)))
            .unwrap_or(Quota::per_second(rate.count))
            .allow_burst(rate.count);
        Self { name, rate, limiter: RateLimiter::keyed(quota).with_middleware() }
    }

    /// Takes one. The headers say what is left.
    fn take(&self, key: &K) -> Result<HeaderMap, Fault> {
        match self.limiter.check_key(key) {
            Ok(left) => {
                Ok(self
                    .headers(left.remaining_burst_capacity(), self.refill(left.remaining_burst_capacity())))
            }
            Err(not) => {
                let again = not.wait_time_from(self.limiter.clock().now());
                let Rate { count, per } = self.rate;
                let message =
                    format!("too many requests: {count} in {} are taken ({})", seconds(per), self.name);
                let fault =
                    Fault::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message).retry_after(again);
                Err(fault.with_all(self.headers(0, again)))
            }
        }
    }

    /// How long until all is there again.
    fn refill(&self, left: u32) -> Duration {
        let used = self.rate.count.get().saturating_sub(left);
        self.rate.per / self.rate.count.get() * used
    }

    fn headers(&self, left: u32, until: Duration) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(2);
        let policy = format!("\"{}\";q={};w={}", self.name, self.rate.count, self.rate.per.as_secs().max(1));
        let left = format!("\"{}\";r={left};t={}", self.name, until.as_millis().div_ceil(1_000));
        for (name, text) in [(POLICY, policy), (LEFT, left)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
        headers
    }
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
    address: Limit<IpAddr>,
    default: Limit<String>,
    apps: HashMap<String, Limit<String>>,
    routes: HashMap<String, Limit<String>>,
}

impl Rates {
    pub(crate) fn new(limits: &ApiLimits) -> Self {
        Self {
            address: Limit::new("address", limits.address),
            default: Limit::new("default", limits.default),
            apps: limits.apps.iter().map(|(app, rate)| (app.clone(), Limit::new("app", *rate))).collect(),
            routes: limits
                .routes
                .iter()
                .map(|(route, rate)| (route.clone(), Limit::new("route", *rate)))
                .collect(),
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
        self.address.take(&key).map(drop)
    }

    /// Takes one of a caller for a route (`POST /jobs`), where that has a limit of its own, and one of all; the headers say what is
    /// left of the narrower one.
    pub(crate) fn take(
        &self,
        caller: &str,
        address: IpAddr,
        route: Option<&str>,
    ) -> Result<HeaderMap, Fault> {
        // Without keys all callers are one by name, and told apart by their address.
        let key = if caller == "api" { address.to_string() } else { caller.to_owned() };
        let by_route =
            route.and_then(|route| self.routes.get(route)).map(|limit| limit.take(&key)).transpose()?;
        let of_all = self.default.take(&key)?;
        Ok(by_route.unwrap_or(of_all))
    }

    /// Takes one of a caller's jobs for an app, or calls of a service app, where that has a limit of its own.
    pub(crate) fn take_app(&self, caller: &str, app: &str) -> Result<Option<HeaderMap>, Fault> {
        self.apps.get(app).map(|limit| limit.take(&caller.to_owned())).transpose()
    }

    /// Forgets whoever has not asked for so long that all is there again.
    pub(crate) fn tidy(&self) {
        self.address.limiter.retain_recent();
        self.default.limiter.retain_recent();
        self.apps.values().chain(self.routes.values()).for_each(|limit| limit.limiter.retain_recent());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_and_then_refused() {
        let limit: Limit<String> = Limit::new("default", "3/h".parse().unwrap());
        let left =
            |headers: &HeaderMap| headers[&LEFT].to_str().unwrap().split(';').nth(1).unwrap().to_owned();
        let key = "a".to_owned();
        let said: Vec<_> = (0..3).map(|_| left(&limit.take(&key).unwrap())).collect();
        assert_eq!(said, ["r=2", "r=1", "r=0"]);
        let refused = limit.take(&key).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (429, "RATE_LIMITED"));
        assert_eq!(limit.take(&"b".to_owned()).unwrap()[&POLICY], "\"default\";q=3;w=3600");
    }
}
