//! Who has logged in at the dashboard: a signed cookie in place of the key.
//!
//! The cookie holds the key's id and when it ends, signed by a secret that the ledger keeps: it goes on over restarts and in every
//! process, and is worth what the key is worth at the moment, because the key is looked up anew with each request. The key
//! itself is not in it. It is taken for pages alone, never for the API, so that no page of another site can act by it there.
//!
//! Invariants: what was not signed by this ledger's secret is nobody; so is what has ended, and whose key is revoked or
//! expired. Signatures are compared in constant time.

use super::keys::{PATIENCE, silent};
use super::{Caller, IfAway, Keys, unauthorized};
use crate::fault::Fault;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use handover_core::id::hex;
use handover_core::{Error, Result};
use handover_ledger::Ledger;
use http::{HeaderMap, header};
use jiff::Timestamp;
use ring::hmac;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// The cookie's name.
const COOKIE: &str = "handover_session";
/// So long a session lasts.
const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Under which name the ledger keeps the secret.
const SECRET: &str = "sessions";
/// What a signature is for, so that it is worth nothing elsewhere.
const PURPOSE: &str = "handover session 1";

/// The sessions of a ledger.
pub(crate) struct Sessions {
    ledger: Arc<dyn Ledger>,
    keys: Arc<Keys>,
    secret: OnceCell<hmac::Key>,
}

impl Sessions {
    pub(crate) fn new(ledger: Arc<dyn Ledger>, keys: Arc<Keys>) -> Self {
        Self { ledger, keys, secret: OnceCell::new() }
    }

    async fn secret(&self) -> Result<&hmac::Key> {
        self.secret
            .get_or_try_init(async || {
                let proposed = crate::random::bytes::<32>();
                let proposed = proposed.map_err(|e| {
                    Error::internal("the machine gives no random bytes").because(e.to_string())
                })?;
                let proposed = hex(&proposed);
                let told = tokio::time::timeout(PATIENCE, self.ledger.secret(SECRET, &proposed)).await;
                let secret = told.unwrap_or_else(|_| Err(silent()))?;
                Ok(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
            })
            .await
    }

    /// The cookie for who has shown this key, as the value of `Set-Cookie`. With `secure` it is sent over TLS alone.
    ///
    /// # Errors
    /// Where the ledger does not give the secret.
    pub(crate) async fn begin(&self, key: &str, now: Timestamp, secure: bool) -> Result<String> {
        let ends = now.as_second() + LASTS.as_secs().cast_signed();
        let signed = hmac::sign(self.secret().await?, signed(key, ends).as_bytes());
        let value = format!("{key}.{ends}.{}", URL_SAFE_NO_PAD.encode(signed));
        Ok(cookie(&value, LASTS.as_secs(), secure))
    }

    /// Who a request's cookie says asks; none where it has none.
    ///
    /// # Errors
    /// 401 where the cookie is worth nothing (any more).
    pub(crate) async fn caller(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
        if_away: IfAway,
    ) -> Result<Option<Arc<Caller>>, Fault> {
        let secret = match shown(headers).next() {
            Some(_) => self.secret().await?,
            None => return Ok(None),
        };
        // Another site of the same domain may have put one of this name in front.
        let Some(key) = shown(headers).find_map(|value| key_in(secret, value, now)) else {
            return Err(unauthorized("this session has ended: log in again"));
        };
        self.keys.caller_by_id(key, if_away).await.map(Some)
    }
}

/// What ends a session in its browser, as the value of `Set-Cookie`.
pub(crate) fn ended(secure: bool) -> String {
    cookie("", 0, secure)
}

fn cookie(value: &str, seconds: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

fn signed(key: &str, ends: i64) -> String {
    format!("{PURPOSE}\n{key}\n{ends}")
}

/// The values of the cookie in a request.
fn shown(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// The id of the key for which a value was signed, where it was and has not ended.
fn key_in<'v>(secret: &hmac::Key, value: &'v str, now: Timestamp) -> Option<&'v str> {
    let (rest, signature) = value.rsplit_once('.')?;
    let (key, ends) = rest.rsplit_once('.')?;
    let ends: i64 = ends.parse().ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    hmac::verify(secret, signed(key, ends).as_bytes(), &signature).ok()?;
    (now.as_second() < ends).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_worth_what_was_signed_until_it_ends() {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let value = |key: &str, ends: i64, by: &hmac::Key| {
            let signature = hmac::sign(by, signed("abc", 100).as_bytes());
            format!("{key}.{ends}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let fine = value("abc", 100, &secret);
        assert_eq!(key_in(&secret, &fine, at(99)), Some("abc"));
        assert_eq!(key_in(&secret, &fine, at(100)), None, "it has ended");
        for forged in [
            value("abd", 100, &secret),
            value("abc", 101, &secret),
            value("abc", 100, &hmac::Key::new(hmac::HMAC_SHA256, b"another")),
            fine[..fine.len() - 2].to_owned(),
            "abc.100.".to_owned(),
            "abc.100".to_owned(),
            String::new(),
        ] {
            assert_eq!(key_in(&secret, &forged, at(1)), None, "{forged}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b; handover_session=one".parse().unwrap());
        headers.append(header::COOKIE, "handover_session=two; handover_sessions=three".parse().unwrap());
        assert_eq!(shown(&headers).collect::<Vec<_>>(), ["one", "two"]);
    }
}
