//! API keys: how they are made, read, checked, and what they may do.
//!
//! A key is `ho_ID_SECRET`: the id is public, the secret has 160 bits and is shown once. The ledger keeps the SHA-256 of the
//! whole; digests are compared in constant time. A process keeps the keys in memory and reads them anew when they may have
//! changed: a revoked key is worth nothing within [`FRESH`] in every process. Where the ledger does not tell them within
//! [`PATIENCE`] nobody is known, and is told so; but who only asks whether all is well ([`IfAway::LastKnown`]) is known by what it
//! told last, for [`LAST_KNOWN`]: that is when the answer is needed most.

use super::{Caller, Credential, Scope, unauthorized};
use crate::fault::Fault;
use foldhash::fast::RandomState;
use handover_core::id::{hex, unhex};
use handover_core::{Clock, Error, ErrorKind, Result};
use handover_ledger::{ApiKey, Ledger};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;
use tracing::warn;

/// So old at most is what a process knows of keys.
pub(crate) const FRESH: Duration = Duration::from_secs(2);
/// So long the ledger may take to tell them.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Where it did not, it is asked again after so long, and who asks meanwhile does not wait.
const AWAY_APART: Duration = Duration::from_secs(1);
/// So long those are taken that it told last, from who only asks whether all is well.
const LAST_KNOWN: Duration = Duration::from_secs(15 * 60);
/// For an unknown key the ledger is asked at most so often.
const UNKNOWN_APART: Duration = Duration::from_millis(200);
/// When keys were used is written so often.
const USE_NOTED: Duration = Duration::from_secs(30);
/// What every key begins with, so that a person, or a scanner for leaked secrets, knows one.
pub(super) const LEAD: &str = "ho_";
const ID_CHARS: usize = 10;
const SECRET_CHARS: usize = 32;
/// Digits and lower-case letters without those that look alike: 32 of them, five bits each.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

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

/// A digest in a few pieces: comparing those in constant time costs an eighth of what comparing bytes does.
fn words(digest: [u8; 32]) -> [u64; 4] {
    let (eights, _) = digest.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_le_bytes(eights[at]))
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

/// A key, and who has it.
struct Kept {
    key: ApiKey,
    /// The bytes of its digest; none matches where that is none.
    digest: Option<[u8; 32]>,
    caller: Arc<Caller>,
    /// The second in which its use was noted last.
    noted: AtomicI64,
}

impl Kept {
    /// `first` is the first of those of which each was made in the place of the one before.
    fn new(first: &str, key: ApiKey) -> Self {
        let caller = Arc::new(Caller {
            name: format!("key:{first}"),
            credential: Credential::Key(key.id.clone()),
            scopes: key.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            apps: key.apps.clone(),
        });
        Self { digest: unhex(&key.digest), key, caller, noted: AtomicI64::new(i64::MIN) }
    }
}

/// Keys by their ids.
type ById = HashMap<String, Kept, RandomState>;

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
    keys.into_iter().map(|key| (key.id.clone(), Kept::new(&first_of(&key.id), key))).collect()
}

/// What holds for who asks while the ledger does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfAway {
    /// Nobody is known.
    Refuse,
    /// Who was known before still is, until [`LAST_KNOWN`].
    LastKnown,
}

pub(super) fn silent() -> Error {
    Error::new(ErrorKind::Io, format!("the ledger does not tell who asks within {} s", PATIENCE.as_secs()))
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
    /// When the ledger last failed to tell them, where it has not since.
    away: Option<Instant>,
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
        // In a box, as is all that most requests do not come to: they keep no room for it.
        let read = Box::pin(async {
            let _one = self.reading.lock().await;
            match self.fresh() {
                Some(keys) => Ok(keys),
                None => self.read().await,
            }
        });
        read.await
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

    /// The keys, as the ledger tells them now, or told them last.
    async fn all_or_last(&self, if_away: IfAway) -> Result<Arc<ById>> {
        let away = match self.all().await {
            Err(away) if if_away == IfAway::LastKnown => away,
            told => return told,
        };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.read.filter(|read| read.elapsed() < LAST_KNOWN).map(|_| known.keys.clone()).ok_or(away)
    }

    /// Whether the key of this id is worth anything (any more); where the ledger does not say, it is.
    pub(crate) async fn is_worth(&self, id: &str) -> bool {
        let Ok(keys) = self.all().await else { return true };
        keys.get(id).is_some_and(|kept| is_worth(&kept.key, self.clock.now()))
    }

    async fn read(&self) -> Result<Arc<ById>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waited while it did not answer would wait as long again, one after the other.
        if known().away.is_some_and(|away| away.elapsed() < AWAY_APART) {
            return Err(silent());
        }
        let began = Instant::now();
        let told = match tokio::time::timeout(PATIENCE, self.ledger.keys()).await {
            Ok(told) => told,
            Err(_) => Err(silent()),
        };
        match told {
            Ok(keys) => {
                let keys = Arc::new(by_id(keys));
                *known() = Known { keys: keys.clone(), read: Some(began), away: None };
                Ok(keys)
            }
            Err(e) => {
                known().away = Some(Instant::now());
                Err(e)
            }
        }
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// 503 where the ledger does not answer, 401 with one that is worth nothing.
    pub(crate) async fn caller(&self, secret: &str, if_away: IfAway) -> Result<Arc<Caller>, Fault> {
        let invalid = || unauthorized("this key is not (or no longer) valid");
        let mut keys = self.all_or_last(if_away).await?;
        // What is known need not be looked at letter by letter: its digest says whether it is the key.
        let id = secret.get(LEAD.len()..LEAD.len() + ID_CHARS);
        let mut found = id.and_then(|id| keys.get(id));
        // One that was made a moment ago, in another process.
        if found.is_none() && id_in(secret).is_some() {
            keys = Box::pin(self.newer()).await?;
            found = id.and_then(|id| keys.get(id));
        }
        // The same work whether there is such a key or not.
        let given = words(Sha256::digest(secret.as_bytes()).into());
        let kept = found.and_then(|kept| kept.digest);
        let equal = bool::from(given.ct_eq(&words(kept.unwrap_or_default()))) && kept.is_some();
        let kept = found.filter(|_| equal).ok_or_else(invalid)?;
        self.caller_of(kept).ok_or_else(invalid)
    }

    /// Who has the key of this id, which they have shown before.
    ///
    /// # Errors
    /// 401 where it is worth nothing any more.
    pub(crate) async fn caller_by_id(&self, id: &str, if_away: IfAway) -> Result<Arc<Caller>, Fault> {
        let mut keys = self.all_or_last(if_away).await?;
        if !keys.contains_key(id) {
            keys = self.newer().await?;
        }
        let caller = keys.get(id).and_then(|kept| self.caller_of(kept));
        caller.ok_or_else(|| unauthorized("the key of this session is no longer valid"))
    }

    /// Who has this key, where it is worth anything; that it was used is noted.
    fn caller_of(&self, kept: &Kept) -> Option<Arc<Caller>> {
        let now = self.clock.now();
        if !is_worth(&kept.key, now) {
            return None;
        }
        // Once a second is often enough.
        if kept.noted.swap(now.as_second(), Ordering::Relaxed) != now.as_second() {
            self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(kept.key.id.clone(), now);
        }
        Some(kept.caller.clone())
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
}
