//! API keys: who may ask over the network, and for what. The secret itself is never here, only its digest.

use async_trait::async_trait;
use handover_core::{Error, ErrorKind, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An API key as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its public part: how it is named in lists, logs and audits.
    pub id: String,
    /// What it is for, in its maker's words.
    pub name: String,
    /// The SHA-256 of the whole key, in hexadecimal. Keys are long random texts, so that no slower digest is needed.
    #[serde(skip_serializing)]
    pub digest: String,
    /// What it may do: `read`, `submit`, `operate`, `admin`.
    pub scopes: Vec<String>,
    /// The apps that it is for; none is all.
    pub apps: Option<Vec<String>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// From when on it is worth nothing.
    pub expires_at: Option<Timestamp>,
    /// From when on it is worth nothing because somebody said so; with a rotation this lies ahead.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// The key that was made in its place.
    pub replaced_by: Option<String>,
}

/// The keys of a ledger. Every method is one transaction; every answer is durable.
///
/// # Errors
/// As [`crate::Ledger`].
#[async_trait]
pub trait Keys: Send + Sync {
    /// Adds a key. Fails with `Exists` where there is one of this id.
    async fn add_key(&self, key: ApiKey) -> Result<()>;

    /// All keys, revoked and expired ones too, oldest first.
    async fn keys(&self) -> Result<Vec<ApiKey>>;

    /// Takes the worth from a key, from `at` on; an earlier time that was said stands. `replaced_by` is kept where given. Fails
    /// with `NotFound` where there is no such key.
    async fn revoke_key(&self, id: &str, at: Timestamp, replaced_by: Option<String>) -> Result<()>;

    /// Notes when keys were last used; a later time that was noted stands. Ids that are not there are passed over.
    async fn used_keys(&self, used: Vec<(String, Timestamp)>) -> Result<()>;

    /// The secret of this name, which all processes share: `proposed` where there was none. It never changes.
    async fn secret(&self, name: &str, proposed: &str) -> Result<String>;
}

/// The error for a key whose id is taken.
pub(crate) fn exists(id: &str) -> Error {
    Error::new(ErrorKind::Exists, "there is a key of this id already")
        .on(id)
        .hint("make another: ids are random, and none is given twice")
}

/// The error for a key that is not there.
pub(crate) fn no_such_key(id: &str) -> Error {
    Error::not_found("there is no such key").on(id).hint("`handover keys list` shows the keys")
}
