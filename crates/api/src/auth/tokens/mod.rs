//! Access tokens of OAuth 2 (RFC 6750), as JSON Web Tokens that a provider has signed (RFC 9068).
//!
//! - [`jws`]: the text taken apart, and what its header may say. [`jwk`]: the provider's keys, and a signature held against one.
//!   [`claims`]: what a token says, and whether that is for us and for now. [`provider`]: the keys, fetched in the background.
//!
//! Invariants: only what is signed by a key of the provider, by an algorithm with a public key that fits it, is believed, and
//! nothing in a token says where a key is. A token whose signature has been checked is known again by its digest until it ends
//! or the provider's keys change, so that a caller's requests cost one check. A token is never logged. It cannot be revoked: it
//! ends when it says.
//!
//! A crash forgets what was known: keys are fetched again.

mod claims;
mod jwk;
mod jws;
mod provider;
use super::{Caller, Credential, Scope, unauthorized};
use crate::fault::Fault;
use claims::{Claims, Grant};
use handover_core::limits::API_TOKENS_KNOWN_MAX;
use handover_core::{Clock, Result};
use handover_runtime::config::OAuth;
use jws::Jws;
use provider::{Keyring, Provider};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::debug;

/// In so long keys that could not be fetched may have been.
const AGAIN: Duration = Duration::from_secs(5);

/// Why a token is refused, in words without quotation marks, which a challenge may hold.
type Refusal = &'static str;

/// What the provider's scopes mean here.
#[derive(Debug)]
pub(super) struct ScopeWords(Vec<(Scope, Vec<String>)>);

impl ScopeWords {
    fn new(config: &OAuth) -> Self {
        let known = config.scopes.iter();
        Self(known.filter_map(|(ours, theirs)| Some((ours.parse().ok()?, theirs.clone()))).collect())
    }

    /// Which of ours these are.
    fn ours(&self, theirs: &[String]) -> Vec<Scope> {
        let granted = self.0.iter().filter(|(_, words)| words.iter().any(|word| theirs.contains(word)));
        granted.map(|(ours, _)| *ours).collect()
    }

    /// The provider's words, one of which a token needs for a scope of ours.
    pub(super) fn that_mean(&self, ours: Scope) -> String {
        let words = self.0.iter().filter(|(scope, _)| *scope == ours).flat_map(|(_, words)| words);
        words.map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// Whether a text holds what looks like a token: JSON in base64 begins with `eyJ`, and two dots part three such pieces.
pub(super) fn holds_token(text: &str) -> bool {
    let piece = |text: &str| {
        text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).count()
    };
    text.match_indices("eyJ").any(|(at, _)| {
        let rest = &text[at..];
        let Some(second) = rest[piece(rest)..].strip_prefix('.') else { return false };
        piece(rest) > 10 && piece(second) > 10 && second[piece(second)..].starts_with('.')
    })
}

/// Tokens that were checked, by their digests.
#[derive(Default)]
struct Known {
    /// The keys that they were checked with.
    keyring: u64,
    grants: HashMap<[u8; 32], Arc<Grant>>,
}

/// The tokens of one provider.
pub(crate) struct Tokens {
    config: OAuth,
    words: Arc<ScopeWords>,
    clock: Arc<dyn Clock>,
    provider: Arc<Provider>,
    known: Mutex<Known>,
    /// Ends with this.
    _fetching: JoinSet<()>,
}

impl Tokens {
    /// Begins to fetch the provider's keys; it ends when this is dropped.
    ///
    /// # Errors
    /// Where the system's certificates cannot be read.
    pub(crate) fn start(config: OAuth, clock: Arc<dyn Clock>) -> Result<Self> {
        let (provider, fetching) = Provider::start(&config)?;
        let words = Arc::new(ScopeWords::new(&config));
        Ok(Self { config, words, clock, provider, known: Mutex::default(), _fetching: fetching })
    }

    /// Whose tokens they are.
    pub(crate) fn config(&self) -> &OAuth {
        &self.config
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// 401 where it is not to be believed, with why; 503 where the provider's keys are not known.
    pub(crate) async fn caller(&self, token: &str) -> Result<Caller, Fault> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let keyring = self.provider.keyring().ok_or_else(not_now)?;
        if let Some(grant) = self.known_grant(&digest, keyring.number) {
            claims::check_time(&grant, self.clock.now(), self.config.leeway).map_err(refuse)?;
            return Ok(self.caller_of(&grant));
        }
        let jws = Jws::read(token, &self.config.algorithms).map_err(refuse)?;
        // A key that is new at the provider: its name is, or a token that names none is signed by none that is known.
        let known = keyring.has(&jws) && (jws.kid.is_some() || keyring.verify(&jws).is_ok());
        let keyring = match known {
            true => keyring,
            false => self.provider.newer().await.ok_or_else(not_now)?,
        };
        let grant = Arc::new(self.check(&jws, &keyring).map_err(refuse)?);
        self.know(digest, keyring.number, grant.clone());
        Ok(self.caller_of(&grant))
    }

    fn check(&self, jws: &Jws<'_>, keyring: &Keyring) -> Result<Grant, Refusal> {
        keyring.verify(jws)?;
        let grant = Claims::read(&jws.claims)?.check(&self.config)?;
        claims::check_time(&grant, self.clock.now(), self.config.leeway)?;
        Ok(grant)
    }

    fn caller_of(&self, grant: &Grant) -> Caller {
        Caller {
            name: grant.name.clone(),
            credential: Credential::Token { ends: grant.ends, words: self.words.clone() },
            scopes: self.words.ours(&grant.scopes),
            apps: grant.apps.clone(),
        }
    }

    fn known_grant(&self, digest: &[u8; 32], keyring: u64) -> Option<Arc<Grant>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.grants.get(digest).filter(|_| known.keyring == keyring).cloned()
    }

    fn know(&self, digest: [u8; 32], keyring: u64, grant: Arc<Grant>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.keyring != keyring {
            *known = Known { keyring, grants: HashMap::new() };
        }
        if known.grants.len() >= API_TOKENS_KNOWN_MAX {
            let now = self.clock.now();
            known.grants.retain(|_, grant| grant.ends > now);
        }
        if known.grants.len() >= API_TOKENS_KNOWN_MAX {
            known.grants.clear();
        }
        known.grants.insert(digest, grant);
    }
}

fn refuse(why: Refusal) -> Fault {
    debug!("an access token is refused: {why}");
    unauthorized(why)
}

fn not_now() -> Fault {
    let message = "access tokens cannot be checked now: their provider's keys could not be fetched";
    Fault::unavailable("TOKENS_UNCHECKED", message, AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_token_is_known_within_a_text() {
        let token = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0AAA.c2lnbmF0dXJl";
        for text in [token.to_owned(), format!("state={token}"), format!("{token}&x")] {
            assert!(holds_token(&text), "{text}");
        }
        for text in ["eyJ.eyJ.x", "eyJhbGciOiJFZERTQSJ9", "a.b.c", "", "eyJhbGciOiJFZERTQSJ9.x"] {
            assert!(!holds_token(text), "{text}");
        }
    }
}
