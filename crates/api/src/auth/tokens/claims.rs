//! What a token says, and whether that is for us and for now.

use super::Refusal;
use super::jws::MALFORMED;
use handover_runtime::config::OAuth;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// The longest name of whom a token is for.
const SUBJECT_MAX_BYTES: usize = 200;

/// What a token grants that was checked.
#[derive(Debug)]
pub(super) struct Grant {
    /// `token:` and its subject, or `client:` and the client that has none.
    pub(super) name: String,
    /// The provider's words.
    pub(super) scopes: Vec<String>,
    /// For which apps; none is all.
    pub(super) apps: Option<Vec<String>>,
    begins: Timestamp,
    pub(super) ends: Timestamp,
}

/// What a token says.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn read(json: &[u8]) -> Result<Self, Refusal> {
        match crate::body::parse(json) {
            Ok(Value::Object(claims)) => Ok(Self(claims)),
            _ => Err(MALFORMED),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A claim that is a text, or a list of them.
    fn list(&self, name: &str) -> Option<Vec<&str>> {
        match self.0.get(name)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(items) => items.iter().map(Value::as_str).collect(),
            _ => None,
        }
    }

    /// The same, of which each text may be several words.
    fn words(&self, name: &str) -> Vec<String> {
        let texts = self.list(name).unwrap_or_default();
        texts.iter().flat_map(|text| text.split_ascii_whitespace()).map(str::to_owned).collect()
    }

    /// A time in seconds, which may have a fraction.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && seconds.abs() < 1e11);
        let at = seconds.and_then(|seconds| Timestamp::from_millisecond((seconds * 1e3) as i64).ok());
        at.map(Some).ok_or("a time of the token is none (exp, nbf, iat)")
    }

    /// What they grant, where they are the issuer's and for us.
    pub(super) fn check(&self, config: &OAuth) -> Result<Grant, Refusal> {
        if self.text("iss") != Some(config.issuer.as_str()) {
            return Err("the token is of another issuer (iss)");
        }
        let audience = self.list("aud").unwrap_or_default();
        if !audience.iter().any(|one| config.audience.iter().any(|ours| ours == one)) {
            return Err("the token is for another audience (aud)");
        }
        let ends = self.time("exp")?.ok_or("the token does not say when it ends (exp)")?;
        let begins = self.time("nbf")?.max(self.time("iat")?).unwrap_or(Timestamp::MIN);
        let name = self.name().ok_or("the token does not say whose it is, or not by a fine name (sub)")?;
        let mut scopes = self.words("scope");
        scopes.extend(self.words("scp"));
        let apps = config.apps_claim.as_deref().map(|claim| self.words(claim));
        Ok(Grant { name, scopes, apps, begins, ends })
    }

    /// Whose it is. A provider may let a user be named as a client is: they are two.
    fn name(&self) -> Option<String> {
        let fine = |text: &&str| {
            let bare = text.trim() == *text && !text.chars().any(char::is_control);
            bare && !text.is_empty() && text.len() <= SUBJECT_MAX_BYTES
        };
        if self.0.contains_key("sub") {
            return self.text("sub").filter(fine).map(|subject| format!("token:{subject}"));
        }
        let client = self.text("client_id").or_else(|| self.text("azp"));
        client.filter(fine).map(|client| format!("client:{client}"))
    }
}

/// Whether a grant holds now; the clocks of both machines may be so far apart.
pub(super) fn check_time(grant: &Grant, now: Timestamp, leeway: Duration) -> Result<(), Refusal> {
    let earliest = now.checked_sub(leeway).unwrap_or(Timestamp::MIN);
    let latest = now.checked_add(leeway).unwrap_or(Timestamp::MAX);
    if grant.ends <= earliest {
        return Err("the token has ended (exp)");
    }
    if grant.begins > latest {
        return Err("the token does not hold yet (nbf, iat)");
    }
    Ok(())
}
