//! API keys: how they are made, read, checked, and what they may do.
//!
//! A key is `ho_ID_SECRET`: the id is public, the secret has 160 bits and is shown once. The ledger keeps the SHA-256 of the
//! whole; digests are compared in constant time. A process keeps the keys in memory and reads them anew when they may have
//! changed: a revoked key is worth nothing within [`FRESH`] in every process.

use crate::fault::Fault;
use handover_core::id::hex;
use handover_core::{Clock, Error, Result};
use handover_ledger::{ApiKey, Ledger};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;
use tracing::warn;

/// So old at most is what a process knows of keys.
pub(crate) const FRESH: Duration = Duration::from_secs(2);
/// For an unknown key the ledger is asked at most so often.
const UNKNOWN_APART: Duration = Duration::from_millis(200);
/// When keys were used is written so often.
const USE_NOTED: Duration = Duration::from_secs(30);
/// What every key begins with, so that a person, or a scanner for leaked secrets, knows one.
const LEAD: &str = "ho_";
const ID_CHARS: usize = 10;
const SECRET_CHARS: usize = 32;
/// Digits and lower-case letters without those that look alike: 32 of them, five bits each.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What a key may do. `admin` may all; `operate` may read too; `submit` sees what it submitted itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See apps, jobs, deliveries, and fetch files.
    Read,
    /// Submit jobs, push and pull records, upload files.
    Submit,
    /// Cancel, retry, replay.
    Operate,
    /// All of it.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 4] = [Scope::Read, Scope::Submit, Scope::Operate, Scope::Admin];

    /// The scope as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| {
            Error::config(format!("{text:?} is not a scope"))
                .hint("a scope is read, submit, operate or admin")
        })
    }
}

/// A key that was just made: the only time that it is there as a whole.
#[derive(Debug)]
pub struct NewKey {
    /// The key itself.
    pub secret: String,
    /// What the ledger keeps of it.
    pub key: ApiKey,
}

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// For which apps; none is all.
    pub apps: Option<Vec<String>>,
    /// From when on it is worth nothing.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key; the caller puts it into the ledger.
///
/// # Errors
/// Where the machine gives no random bytes.
pub fn make(wanted: Wanted, now: Timestamp, by: &str) -> Result<NewKey> {
    let (id, secret) = (random(ID_CHARS)?, random(SECRET_CHARS)?);
    let secret = format!("{LEAD}{id}_{secret}");
    let key = ApiKey {
        digest: digest(&secret),
        id,
        name: wanted.name,
        scopes: wanted.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        apps: wanted.apps,
        created_at: now,
        created_by: by.to_owned(),
        expires_at: wanted.expires_at,
        revoked_at: None,
        last_used_at: None,
        replaced_by: None,
    };
    Ok(NewKey { secret, key })
}

/// So many random characters.
pub(crate) fn random(count: usize) -> Result<String> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::internal("the machine gives no random bytes").because(e.to_string()))?;
    Ok(written(&bytes).collect())
}

/// Random bytes as characters that nobody confuses.
pub(crate) fn written(bytes: &[u8]) -> impl Iterator<Item = char> {
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)]))
}

fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Whether [`written`] writes this.
fn is_written(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z') && !matches!(byte, b'i' | b'l' | b'o' | b'u')
}

/// The id in a key; none where it is no key.
fn id_in(secret: &str) -> Option<&str> {
    let (id, rest) = secret.strip_prefix(LEAD)?.split_once('_')?;
    let fine = |text: &str, length| text.len() == length && text.bytes().all(is_written);
    (fine(id, ID_CHARS) && fine(rest, SECRET_CHARS)).then_some(id)
}

/// Whether a text holds a key.
pub(crate) fn holds_key(text: &str) -> bool {
    let length = LEAD.len() + ID_CHARS + 1 + SECRET_CHARS;
    text.match_indices(LEAD)
        .any(|(at, _)| text.get(at..at + length).is_some_and(|part| id_in(part).is_some()))
}

/// Whether a key has neither expired nor been revoked.
fn is_worth(key: &ApiKey, now: Timestamp) -> bool {
    [key.expires_at, key.revoked_at].into_iter().flatten().all(|end| end > now)
}

/// A key, and the first of those of which each was made in the place of the one before.
struct Kept {
    key: ApiKey,
    first: String,
}

/// Keys by their ids.
type ById = HashMap<String, Kept>;

fn by_id(keys: Vec<ApiKey>) -> ById {
    let before: HashMap<String, String> =
        keys.iter().filter_map(|key| Some((key.replaced_by.clone()?, key.id.clone()))).collect();
    let first_of = |id: &str| {
        let mut first = id;
        // No longer than there are keys: a circle could only have been made by hand.
        for _ in 0..before.len() {
            match before.get(first) {
                Some(before) => first = before,
                None => break,
            }
        }
        first.to_owned()
    };
    keys.into_iter().map(|key| (key.id.clone(), Kept { first: first_of(&key.id), key })).collect()
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who, for audits, logs and limits: `key:ID`, or `api` where anyone on this machine may ask. A key that was made in another's
    /// place goes on under the id of the first: its jobs, its idempotency keys and its quotas are the same.
    pub(crate) name: String,
    /// The id of the key itself.
    pub(crate) key_id: Option<String>,
    scopes: Vec<Scope>,
    apps: Option<Vec<String>>,
}

impl Caller {
    /// Anyone on this machine, where no keys are asked for.
    pub(crate) fn anyone() -> Self {
        Self { name: "api".into(), key_id: None, scopes: vec![Scope::Admin], apps: None }
    }

    /// Whether it may do this.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        let has = |scope| self.scopes.contains(&scope);
        has(Scope::Admin) || has(scope) || (scope == Scope::Read && has(Scope::Operate))
    }

    /// Fails with 403 where it may not.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Fault> {
        if self.may(scope) {
            return Ok(());
        }
        let message = format!("this key may not do that: it needs the scope {}", scope.as_str());
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", scope.as_str());
        Err(Fault::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
            .with(header::WWW_AUTHENTICATE, &challenge))
    }

    /// Whether it is for this app.
    pub(crate) fn is_for(&self, app: &str) -> bool {
        self.apps.as_ref().is_none_or(|apps| apps.iter().any(|one| one == app))
    }

    /// The same, failing with 403.
    pub(crate) fn require_app(&self, app: &str) -> Result<(), Fault> {
        if self.is_for(app) {
            return Ok(());
        }
        Err(Fault::new(StatusCode::FORBIDDEN, "FORBIDDEN", format!("this key is not for the app {app}")))
    }

    /// The app that it is for, where that is one alone.
    pub(crate) fn only_app(&self) -> Option<String> {
        match self.apps.as_deref() {
            Some([app]) => Some(app.clone()),
            _ => None,
        }
    }

    /// Whether it is for all apps.
    pub(crate) fn is_for_all(&self) -> bool {
        self.apps.is_none()
    }
}

/// The keys, as this process knows them.
pub(crate) struct Keys {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    reading: tokio::sync::Mutex<()>,
    used: Mutex<HashMap<String, Timestamp>>,
}

#[derive(Default)]
struct Known {
    keys: Arc<ById>,
    read: Option<Instant>,
}

impl Known {
    fn newer_than(&self, began: Instant) -> Option<Arc<ById>> {
        self.read.filter(|read| *read >= began).map(|_| self.keys.clone())
    }
}

impl Keys {
    pub(crate) fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Self {
        Self {
            ledger,
            clock,
            known: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            used: Mutex::default(),
        }
    }

    fn fresh(&self) -> Option<Arc<ById>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.read.filter(|read| read.elapsed() < FRESH).map(|_| known.keys.clone())
    }

    async fn all(&self) -> Result<Arc<ById>> {
        if let Some(keys) = self.fresh() {
            return Ok(keys);
        }
        let _one = self.reading.lock().await;
        match self.fresh() {
            Some(keys) => Ok(keys),
            None => self.read().await,
        }
    }

    /// The keys as they are from now on. One look serves all who ask meanwhile, and looks are so far apart that whoever shows
    /// keys that are none costs little.
    async fn newer(&self) -> Result<Arc<ById>> {
        let began = Instant::now();
        let age = self.known.lock().unwrap_or_else(PoisonError::into_inner).read.map(|read| read.elapsed());
        if let Some(rest) = age.and_then(|age| UNKNOWN_APART.checked_sub(age)) {
            tokio::time::sleep(rest).await;
        }
        let _one = self.reading.lock().await;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).newer_than(began);
        match known {
            Some(keys) => Ok(keys),
            None => self.read().await,
        }
    }

    /// Whether the key of this id is worth anything (any more); where the ledger does not say, it is.
    pub(crate) async fn is_worth(&self, id: &str) -> bool {
        let Ok(keys) = self.all().await else { return true };
        keys.get(id).is_some_and(|kept| is_worth(&kept.key, self.clock.now()))
    }

    async fn read(&self) -> Result<Arc<ById>> {
        let began = Instant::now();
        let keys = Arc::new(by_id(self.ledger.keys().await?));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) =
            Known { keys: keys.clone(), read: Some(began) };
        Ok(keys)
    }

    /// Whose key a request shows.
    ///
    /// # Errors
    /// 401 without one, or with one that is worth nothing: which of them is not told.
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Fault> {
        let secret = shown(headers)?.ok_or_else(|| unauthorized(None))?;
        let invalid = || unauthorized(Some("this key is not (or no longer) valid"));
        let mut keys = self.all().await?;
        // One that was made a moment ago, in another process.
        if id_in(secret).is_some_and(|id| !keys.contains_key(id)) {
            keys = self.newer().await?;
        }
        let found = id_in(secret).and_then(|id| keys.get(id));
        // The same work whether there is such a key or not.
        let (given, kept) = (digest(secret), found.map_or("", |kept| kept.key.digest.as_str()));
        let equal = bool::from(given.as_bytes().ct_eq(kept.as_bytes()));
        let Kept { key, first } = found.filter(|_| equal).ok_or_else(invalid)?;
        let now = self.clock.now();
        if !is_worth(key, now) {
            return Err(invalid());
        }
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(key.id.clone(), now);
        Ok(Caller {
            name: format!("key:{first}"),
            key_id: Some(key.id.clone()),
            scopes: key.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            apps: key.apps.clone(),
        })
    }

    /// Writes down when keys were used, now and then, until it is dropped.
    pub(crate) async fn note_uses(self: Arc<Self>) {
        loop {
            tokio::time::sleep(USE_NOTED).await;
            self.write_uses().await;
        }
    }

    /// Writes down when keys were used since the last time.
    pub(crate) async fn write_uses(&self) {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if !used.is_empty()
            && let Err(e) = self.ledger.used_keys(used.into_iter().collect()).await
        {
            warn!("cannot note when API keys were used: {e}");
        }
    }
}

/// The key that a request shows, in `Authorization: Bearer` (RFC 6750) or `X-API-Key`.
fn shown(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next();
        match values.next() {
            Some(_) => Err(Fault::bad_request("BAD_REQUEST", format!("{name} is given twice"))),
            None => Ok(first.map(|value| value.to_str().unwrap_or_default())),
        }
    };
    let header = one("x-api-key")?;
    // Where both are there, one is for a proxy on the way: a bearer is ours.
    match one("authorization")? {
        None => Ok(header),
        Some(text) => match text.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(key.trim())),
            _ if header.is_some() => Ok(header),
            _ => Err(unauthorized(Some("Authorization must be `Bearer` and a key"))),
        },
    }
}

fn unauthorized(wrong: Option<&str>) -> Fault {
    let (message, challenge) = match wrong {
        None => (
            "show an API key: `Authorization: Bearer ho_…`; `handover keys create` makes one",
            "Bearer realm=\"handover\"",
        ),
        Some(wrong) => (wrong, "Bearer realm=\"handover\", error=\"invalid_token\""),
    };
    Fault::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message).with(header::WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted { name: "test".into(), scopes: vec![Scope::Submit], apps: None, expires_at: None }
    }

    #[test]
    fn what_is_written_is_of_the_alphabet() {
        assert!((0..=255).all(|byte| is_written(byte) == ALPHABET.contains(&byte)));
    }

    #[test]
    fn a_key_is_known_by_its_id_and_kept_as_a_digest() {
        let made = make(wanted(), Timestamp::UNIX_EPOCH, "me").unwrap();
        assert_eq!(id_in(&made.secret), Some(made.key.id.as_str()));
        assert!(!format!("{:?}", made.key).contains(&made.secret[LEAD.len() + ID_CHARS + 1..]));
        assert_eq!(made.key.digest, digest(&made.secret));
        for wrong in ["", "ho_", "ho_abc_def", &made.secret[1..], &made.secret.to_uppercase()] {
            assert_eq!(id_in(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn scopes_hold_what_they_say() {
        let caller = |scopes: &[Scope]| Caller {
            name: "x".into(),
            key_id: None,
            scopes: scopes.to_vec(),
            apps: Some(vec!["a".into()]),
        };
        assert!(caller(&[Scope::Operate]).may(Scope::Read) && !caller(&[Scope::Operate]).may(Scope::Submit));
        assert!(Scope::ALL.into_iter().all(|scope| caller(&[Scope::Admin]).may(scope)));
        assert_eq!(caller(&[Scope::Read]).require(Scope::Submit).unwrap_err().status(), 403);
        assert!(caller(&[]).is_for("a") && !caller(&[]).is_for("b"));
    }
}
