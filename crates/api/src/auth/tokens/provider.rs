//! The provider's keys: found by its discovery document, fetched in the background, kept through its outages.
//!
//! Invariants: no request fetches. One task does, one fetch at a time: when the keys are old, and, at most once in
//! [`APART`] however many ask, where a token is signed by a key that is not known. Keys that cannot be fetched anew serve on
//! for as long as the configuration says, from when they were to be; without any, nothing is believed. What is fetched has a bound in size and time, comes
//! from the address that is configured or that the provider's document names, and redirects are not followed.

use super::Refusal;
use super::jwk::{self, Key};
use super::jws::Jws;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use handover_core::units::format_duration;
use handover_core::{Error, ErrorKind, Result};
use handover_runtime::config::OAuth;
use handover_service::client::{Http, USER_AGENT, connect};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

/// So long one answer of the provider may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// So large a document of it may be.
const DOCUMENT_MAX_BYTES: usize = 512 * 1024;
/// So long a request waits for a fetch that may bring its key.
const WAIT: Duration = Duration::from_secs(3);

/// Between two fetches passes so long at least, but for the first that follow a failure.
const APART: Duration = Duration::from_secs(5);
/// Keys are fetched anew after so long, unless the provider says after how long.
const USUAL: Duration = Duration::from_secs(300);
/// And never sooner than that, nor later, whatever it says.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));
/// After a failure it is tried again in so long, and each time in twice that, up to [`BOUNDS`]' first.
const AGAIN: Duration = Duration::from_secs(1);

/// Keys as they were fetched.
#[derive(Debug)]
pub(super) struct Keyring {
    /// Another number for other keys.
    pub(super) number: u64,
    keys: Vec<Key>,
}

impl Keyring {
    /// Whether a key is known that may have signed this.
    pub(super) fn has(&self, jws: &Jws<'_>) -> bool {
        self.keys.iter().any(|key| key.is_for(jws))
    }

    /// Whether it is signed by one of these keys. A token that does not name its key is believed where one key alone may have signed
    /// it.
    pub(super) fn verify(&self, jws: &Jws<'_>) -> Result<(), Refusal> {
        let mut fitting = self.keys.iter().filter(|key| key.is_for(jws));
        match (fitting.next(), fitting.next()) {
            (None, _) => Err("the token is signed by a key that its issuer does not have (kid)"),
            (Some(_), Some(_)) => Err("the token does not say which of several keys signed it (kid)"),
            (Some(key), None) if key.has_signed(jws) => Ok(()),
            _ => Err("the signature of the token is wrong"),
        }
    }
}

struct Held {
    keyring: Arc<Keyring>,
    /// When they are to be fetched anew: so long they are fresh, and from then on stale.
    due: Instant,
}

impl Held {
    /// How much longer they serve.
    fn serves(&self, stale: Duration) -> Duration {
        (self.due + stale).saturating_duration_since(Instant::now())
    }
}

/// The provider, as this process knows it.
pub(super) struct Provider {
    held: ArcSwapOption<Held>,
    stale: Duration,
    /// A token is signed by a key that is not known.
    asked: Notify,
    /// Whether a fetch is under way or may begin at once, and how many have ended.
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    resting: bool,
    ended: u64,
}

impl Provider {
    /// Begins to fetch; it ends when the task is dropped.
    ///
    /// # Errors
    /// Where the system's certificates cannot be read.
    pub(super) fn start(config: &OAuth) -> Result<(Arc<Self>, JoinSet<()>)> {
        let provider = Arc::new(Self {
            held: ArcSwapOption::empty(),
            stale: config.stale,
            asked: Notify::new(),
            progress: watch::Sender::new(Progress::default()),
        });
        let fetcher = Fetcher { http: connect()?, config: config.clone(), found: config.jwks.clone() };
        let mut fetching = JoinSet::new();
        fetching.spawn(keep(provider.clone(), fetcher));
        Ok((provider, fetching))
    }

    /// The keys, where there are any that may serve.
    pub(super) fn keyring(&self) -> Option<Arc<Keyring>> {
        let held = self.held.load();
        held.as_ref().filter(|held| !held.serves(self.stale).is_zero()).map(|held| held.keyring.clone())
    }

    /// The keys after a fetch, where one is under way or may begin now; else as they are.
    pub(super) async fn newer(&self) -> Option<Arc<Keyring>> {
        let mut progress = self.progress.subscribe();
        let before = *progress.borrow_and_update();
        self.asked.notify_one();
        if !before.resting {
            let ended = progress.wait_for(|now| now.ended > before.ended);
            let _ = tokio::time::timeout(WAIT, ended).await;
        }
        self.keyring()
    }

    /// Takes keys that were fetched, and are to be again in so long.
    fn take(&self, keys: Vec<Key>, due: Duration) {
        let before = self.held.load_full();
        let keyring = match before {
            Some(held) if held.keyring.keys == keys => held.keyring.clone(),
            before => Arc::new(Keyring { number: before.map_or(1, |held| held.keyring.number + 1), keys }),
        };
        self.held.store(Some(Arc::new(Held { keyring, due: Instant::now() + due })));
    }
}

/// Fetches the keys, without end.
async fn keep(provider: Arc<Provider>, mut fetcher: Fetcher) {
    let mut failures = 0_u32;
    loop {
        let fetched = fetcher.fetch().await;
        let issuer = &fetcher.config.issuer;
        let due = match fetched {
            Ok((keys, fresh)) => {
                if failures > 0 || provider.held.load().is_none() {
                    info!("the keys of {issuer} are known: {} of them", keys.len());
                }
                failures = 0;
                let due = fresh.unwrap_or(USUAL).clamp(BOUNDS.0, BOUNDS.1);
                provider.take(keys, due);
                due
            }
            Err(e) => {
                if failures == 0 {
                    warn!("cannot fetch the keys of {issuer}: {e}; {}", provider.meanwhile());
                }
                failures = failures.saturating_add(1);
                (AGAIN * (1 << failures.min(10).saturating_sub(1))).min(BOUNDS.0)
            }
        };
        provider.progress.send_modify(|now| *now = Progress { resting: true, ended: now.ended + 1 });
        let rest = APART.min(due);
        tokio::time::sleep(rest).await;
        provider.progress.send_modify(|now| now.resting = false);
        let asked = provider.asked.notified();
        tokio::select! {
            () = tokio::time::sleep(due.saturating_sub(rest)) => {}
            () = asked => {}
        }
    }
}

impl Provider {
    /// What goes on while keys cannot be fetched.
    fn meanwhile(&self) -> String {
        match self.held.load().as_ref() {
            None => "until they are, access tokens are refused with 503; it is tried again".to_owned(),
            Some(held) => {
                let left = format_duration(Duration::from_secs(held.serves(self.stale).as_secs()));
                format!("those that are known serve for another {left}; it is tried again")
            }
        }
    }
}

/// What is read of the document that describes a provider.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

struct Fetcher {
    http: Http,
    config: OAuth,
    /// Where the keys are, as it was configured or found the last time.
    found: Option<Uri>,
}

impl Fetcher {
    /// The keys, and how long they are fresh where the provider says so.
    async fn fetch(&mut self) -> Result<(Vec<Key>, Option<Duration>)> {
        if self.config.jwks.is_none() {
            match self.discover().await {
                Ok(found) => self.found = Some(found),
                // Where it was found before, the keys may still be had.
                Err(e) if self.found.is_none() => return Err(e),
                Err(_) => {}
            }
        }
        let from = self.found.clone().ok_or_else(|| Error::internal("no address of keys"))?;
        let (bytes, fresh) = self.get(&from).await?;
        let keys = jwk::read(&bytes).map_err(|e| Error::bad_data("no set of keys").on(&from).because(e))?;
        if keys.is_empty() {
            return Err(Error::bad_data("a set of keys, none of which can check a signature here").on(&from));
        }
        Ok((keys, fresh))
    }

    /// Where the provider says that its keys are: by OpenID Connect Discovery, or RFC 8414.
    async fn discover(&self) -> Result<Uri> {
        let issuer = self.config.issuer.trim_end_matches('/');
        let path = issuer.parse::<Uri>().map(|uri| uri.path().trim_end_matches('/').to_owned());
        let path = path.unwrap_or_default();
        let host = issuer.strip_suffix(&path).unwrap_or(issuer);
        let first = format!("{issuer}/.well-known/openid-configuration");
        let second = format!("{host}/.well-known/oauth-authorization-server{path}");
        let (bytes, _) = match self.get(&uri(&first)?).await {
            Err(e) if e.kind() == ErrorKind::NotFound => self.get(&uri(&second)?).await?,
            other => other?,
        };
        let broken =
            |why: String| Error::bad_data("a discovery document that will not do").on(&first).because(why);
        let found: Discovered = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        if found.issuer != self.config.issuer {
            let why =
                format!("it is of the issuer {:?}, and `issuer` is {:?}", found.issuer, self.config.issuer);
            return Err(broken(why));
        }
        let keys = uri(&found.jwks_uri)?;
        // What may be plain HTTP is on this machine, as the issuer then is.
        if keys.scheme_str() != Some("https") && !self.config.issuer.starts_with("http://") {
            return Err(broken(format!("its keys are at {keys}, which is not https")));
        }
        Ok(keys)
    }

    /// A document, and how long it says that it is fresh.
    async fn get(&self, from: &Uri) -> Result<(Bytes, Option<Duration>)> {
        let failed = |why: String| Error::new(ErrorKind::Io, "no answer").on(from).because(why);
        let request = Request::get(from.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Full::default())
            .map_err(|e| failed(e.to_string()))?;
        let whole = async {
            let answer = self.http.request(request).await.map_err(|e| failed(told(&e)))?;
            let (head, body) = answer.into_parts();
            match head.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Err(Error::not_found("there is nothing").on(from)),
                status => return Err(failed(format!("the answer was {status}"))),
            }
            let read = Limited::new(body, DOCUMENT_MAX_BYTES).collect().await;
            Ok((read.map_err(|e| failed(e.to_string()))?.to_bytes(), max_age(&head.headers)))
        };
        tokio::time::timeout(TIMEOUT, whole)
            .await
            .map_err(|_| failed(format!("it took longer than {}", format_duration(TIMEOUT))))?
    }
}

fn uri(text: &str) -> Result<Uri> {
    text.parse().map_err(|_| Error::bad_data("no address").on(text))
}

/// An error with those that it comes from.
fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", told(source)),
        None => error.to_string(),
    }
}

/// How long an answer says that it is fresh (RFC 9111).
fn max_age(headers: &http::HeaderMap) -> Option<Duration> {
    let said = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|value| value.split(',')).find_map(|part| match part.trim().split_once('=') {
        Some((name, seconds)) if name.eq_ignore_ascii_case("max-age") => {
            seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
        }
        None if part.trim().eq_ignore_ascii_case("no-store") => Some(Duration::ZERO),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(stale: Duration) -> Provider {
        Provider {
            held: ArcSwapOption::empty(),
            stale,
            asked: Notify::new(),
            progress: watch::Sender::new(Progress::default()),
        }
    }

    #[test]
    fn keys_are_stale_from_when_they_were_to_be_fetched_anew() {
        let provider = provider(Duration::ZERO);
        assert!(provider.keyring().is_none());
        provider.take(Vec::new(), Duration::from_secs(3_600));
        assert!(provider.keyring().is_some(), "the provider is well: they are fresh");
        provider.take(Vec::new(), Duration::ZERO);
        assert!(provider.keyring().is_none(), "they are not, and stale ones do not serve");
    }
}
