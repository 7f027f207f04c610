//! Making keys for the dashboard's page of keys.

use super::{Scope, Wanted, make};
use async_trait::async_trait;
use handover_core::{Clock, Result};
use handover_ledger::{ApiKey, Ledger};
use handover_monitor::keyring::{Keyring, WantedKey};
use std::sync::Arc;

/// Who makes them.
pub(crate) struct Ring {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
}

impl Ring {
    pub(crate) fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, clock }
    }
}

#[async_trait]
impl Keyring for Ring {
    fn scopes(&self) -> Vec<(&'static str, &'static str)> {
        let about = |scope: Scope| match scope {
            Scope::Read => "look, and fetch files",
            Scope::Submit => "submit jobs, push and pull records, upload files",
            Scope::Operate => "look, retry, replay, cancel",
            Scope::Admin => "everything",
        };
        Scope::ALL.map(|scope| (scope.as_str(), about(scope))).to_vec()
    }

    async fn make(&self, wanted: WantedKey) -> Result<(String, ApiKey)> {
        let WantedKey { name, scopes, apps, expires_at, by } = wanted;
        let scopes = scopes.iter().map(|scope| scope.parse()).collect::<Result<_>>()?;
        let made = make(Wanted { name, scopes, apps, expires_at }, self.clock.now(), &by)?;
        self.ledger.add_key(made.key.clone()).await?;
        Ok((made.secret, made.key))
    }
}
