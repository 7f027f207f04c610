//! Making keys: the door that mounts the pages knows how, this crate does not.

use async_trait::async_trait;
use handover_core::Result;
use handover_ledger::ApiKey;
use jiff::Timestamp;

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct WantedKey {
    /// What it is for.
    pub name: String,
    /// What it may do, as it is written.
    pub scopes: Vec<String>,
    /// For which apps; none is all.
    pub apps: Option<Vec<String>>,
    /// From when on it is worth nothing.
    pub expires_at: Option<Timestamp>,
    /// Who makes it.
    pub by: String,
}

/// Who makes keys.
#[async_trait]
pub trait Keyring: Send + Sync {
    /// The scopes that there are, with what each lets one do.
    fn scopes(&self) -> Vec<(&'static str, &'static str)>;

    /// Makes a key and puts it into the ledger. The secret is there this once.
    ///
    /// # Errors
    /// Where a scope is none, or the ledger does not answer.
    async fn make(&self, wanted: WantedKey) -> Result<(String, ApiKey)>;
}
