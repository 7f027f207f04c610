//! Who asks: by an API key ([`keys`]) or an access token of OAuth 2 ([`tokens`]), and what that one may do.
//!
//! Invariant: neither a key nor a token is logged or answered.

pub(crate) mod keys;
mod ring;
pub(crate) mod session;
mod tokens;

pub(crate) use keys::{IfAway, Keys, random};
pub use keys::{NewKey, Wanted, make};
pub(crate) use ring::Ring;
pub(crate) use tokens::Tokens;

use crate::fault::Fault;
use handover_core::{Error, Result};
use handover_monitor::Visitor;
use handover_runtime::config::Auth;
use http::{HeaderMap, HeaderName, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::sync::Arc;
use tokens::ScopeWords;

/// The header that may show a key.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

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

/// By what it is known who asks.
#[derive(Debug, Clone)]
enum Credential {
    /// Nothing was asked for.
    None,
    /// A key, by its id.
    Key(String),
    /// An access token, which ends then.
    Token { ends: Timestamp, words: Arc<ScopeWords> },
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who, for audits, logs and limits: `key:ID`, `token:SUBJECT`, `client:ID` of a token without a subject, or `api` where anyone on this machine may ask. A key that was made
    /// in another's place goes on under the id of the first: its jobs, its idempotency keys and its quotas are the same.
    pub(crate) name: String,
    credential: Credential,
    scopes: Vec<Scope>,
    apps: Option<Vec<String>>,
}

impl Caller {
    /// Anyone on this machine, where no keys are asked for.
    pub(crate) fn anyone() -> Self {
        Self { name: "api".into(), credential: Credential::None, scopes: vec![Scope::Admin], apps: None }
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
        let (what, words) = match &self.credential {
            Credential::Token { words, .. } => ("token", words.that_mean(scope)),
            _ => ("key", scope.as_str().to_owned()),
        };
        let message = format!("this {what} may not do that: it needs the scope {}", scope.as_str());
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{words}\"");
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
        let what = if matches!(self.credential, Credential::Token { .. }) { "token" } else { "key" };
        Err(Fault::new(StatusCode::FORBIDDEN, "FORBIDDEN", format!("this {what} is not for the app {app}")))
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

    /// The id of its key, if it is one.
    pub(crate) fn key(&self) -> Option<&str> {
        match &self.credential {
            Credential::Key(id) => Some(id),
            _ => None,
        }
    }

    /// The same, as pages know it.
    pub(crate) fn visitor(&self, session: bool) -> Visitor {
        Visitor {
            name: self.name.clone(),
            read: self.may(Scope::Read),
            operate: self.may(Scope::Operate),
            admin: self.may(Scope::Admin),
            apps: self.apps.clone(),
            session,
        }
    }

    /// Whether it could still ask: its key has not been revoked, its token has not ended. Where the ledger does not say, it could.
    pub(crate) async fn is_still_worth(&self, keys: &Keys, now: Timestamp) -> bool {
        match &self.credential {
            Credential::None => true,
            Credential::Key(id) => keys.is_worth(id).await,
            Credential::Token { ends, .. } => now < *ends,
        }
    }
}

/// Whose key or token a request shows.
///
/// # Errors
/// 401 without one, or with one that is worth nothing: which of them is not told of a key. 503 where tokens cannot be checked now.
pub(crate) async fn caller(
    auth: Auth,
    keys: &Keys,
    tokens: Option<&Tokens>,
    headers: &HeaderMap,
    if_away: IfAway,
) -> Result<Arc<Caller>, Fault> {
    match (shown(headers)?, tokens) {
        (None, _) => Err(missing(auth)),
        (Some(Shown::Bearer(token)), Some(tokens)) if !token.starts_with(keys::LEAD) => {
            Box::pin(tokens.caller(token)).await.map(Arc::new)
        }
        (Some(Shown::Bearer(key) | Shown::Key(key)), _) if auth == Auth::Keys => {
            keys.caller(key, if_away).await
        }
        _ => Err(unauthorized("keys are not taken here: an access token is")),
    }
}

/// Whether a text holds a key, or what looks like a token.
pub(crate) fn holds_secret(text: &str) -> bool {
    keys::holds_key(text) || tokens::holds_token(text)
}

/// Whether a request shows a key or a token at all.
pub(crate) fn shows_any(headers: &HeaderMap) -> bool {
    headers.contains_key(API_KEY) || headers.contains_key(header::AUTHORIZATION)
}

/// What a request shows.
enum Shown<'r> {
    /// In `Authorization: Bearer` (RFC 6750): a key or a token.
    Bearer(&'r str),
    /// In `X-API-Key`: a key.
    Key(&'r str),
}

fn shown(headers: &HeaderMap) -> Result<Option<Shown<'_>>, Fault> {
    let one = |name: HeaderName| {
        let mut values = headers.get_all(&name).iter();
        let first = values.next();
        match values.next() {
            Some(_) => Err(Fault::bad_request("BAD_REQUEST", format!("{name} is given twice"))),
            None => Ok(first.map(|value| value.to_str().unwrap_or_default())),
        }
    };
    let header = one(API_KEY)?.map(Shown::Key);
    // Where both are there, one is for a proxy on the way: a bearer is ours.
    match one(header::AUTHORIZATION)? {
        None => Ok(header),
        Some(text) => match text.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => {
                Ok(Some(Shown::Bearer(key.trim())))
            }
            _ if header.is_some() => Ok(header),
            _ => Err(unauthorized("Authorization must be `Bearer` and a key or a token")),
        },
    }
}

/// 401 for who shows nothing.
fn missing(auth: Auth) -> Fault {
    let message = match auth {
        Auth::Tokens => "show an access token of the provider: `Authorization: Bearer …`",
        _ => "show an API key: `Authorization: Bearer ho_…`; `handover keys create` makes one",
    };
    challenged(message, "Bearer realm=\"handover\"")
}

/// 401 for who shows what will not do; what is wrong with it stands in the challenge, and so holds no quotation mark.
fn unauthorized(wrong: &str) -> Fault {
    let challenge =
        format!("Bearer realm=\"handover\", error=\"invalid_token\", error_description=\"{wrong}\"");
    challenged(wrong, &challenge)
}

/// 401, with a challenge of RFC 6750.
fn challenged(message: &str, challenge: &str) -> Fault {
    Fault::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message).with(header::WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_hold_what_they_say() {
        let caller = |scopes: &[Scope]| Caller {
            name: "x".into(),
            credential: Credential::None,
            scopes: scopes.to_vec(),
            apps: Some(vec!["a".into()]),
        };
        assert!(caller(&[Scope::Operate]).may(Scope::Read) && !caller(&[Scope::Operate]).may(Scope::Submit));
        assert!(Scope::ALL.into_iter().all(|scope| caller(&[Scope::Admin]).may(scope)));
        assert_eq!(caller(&[Scope::Read]).require(Scope::Submit).unwrap_err().status(), 403);
        assert!(caller(&[]).is_for("a") && !caller(&[]).is_for("b"));
    }
}
