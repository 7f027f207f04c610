//! API keys.

use super::PostgresLedger;
use super::error::Attempt;
use super::query::each;
use super::row::{get, time as time_of, time_or_none};
use super::tx::{Tx, in_transaction, text, texts, time, times};
use crate::keys::{ApiKey, Keys, exists, no_such_key};
use async_trait::async_trait;
use handover_core::{Error, Result};
use jiff::Timestamp;

#[async_trait]
impl Keys for PostgresLedger {
    async fn add_key(&self, key: ApiKey) -> Result<()> {
        in_transaction!(self, |tx| add(tx, &key))
    }

    async fn keys(&self) -> Result<Vec<ApiKey>> {
        let query = "SELECT id, name, digest, scopes, apps, created_at, created_by, expires_at, revoked_at, last_used_at, \
                     replaced_by FROM integration.api_keys ORDER BY created_at, id";
        each(&self.read("list the keys", query, &[]).await?, |row| {
            Ok(ApiKey {
                id: get(row, 0)?,
                name: get(row, 1)?,
                digest: get(row, 2)?,
                scopes: get(row, 3)?,
                apps: get(row, 4)?,
                created_at: time_of(row, 5)?,
                created_by: get(row, 6)?,
                expires_at: time_or_none(row, 7)?,
                revoked_at: time_or_none(row, 8)?,
                last_used_at: time_or_none(row, 9)?,
                replaced_by: get(row, 10)?,
            })
        })
    }

    async fn revoke_key(&self, id: &str, at: Timestamp, replaced_by: Option<String>) -> Result<()> {
        in_transaction!(self, |tx| revoke(tx, id, at, &replaced_by))
    }

    async fn used_keys(&self, used: Vec<(String, Timestamp)>) -> Result<()> {
        if used.is_empty() {
            return Ok(());
        }
        in_transaction!(self, |tx| note_use(tx, &used))
    }

    async fn secret(&self, name: &str, proposed: &str) -> Result<String> {
        in_transaction!(self, |tx| secret(tx, name, proposed))
    }
}

async fn add(tx: &mut Tx<'_>, key: &ApiKey) -> Attempt<()> {
    let insert = "INSERT INTO integration.api_keys (id, name, digest, scopes, apps, created_at, created_by, expires_at, \
                  revoked_at, last_used_at, replaced_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                  ON CONFLICT DO NOTHING RETURNING 1";
    let values = [
        text(&key.id),
        text(&key.name),
        text(&key.digest),
        texts(&key.scopes),
        texts(&key.apps),
        time(&key.created_at),
        text(&key.created_by),
        time(&key.expires_at),
        time(&key.revoked_at),
        time(&key.last_used_at),
        text(&key.replaced_by),
    ];
    match tx.rows("add a key", insert, &values).await?.is_empty() {
        true => Err(exists(&key.id).into()),
        false => Ok(()),
    }
}

async fn revoke(tx: &mut Tx<'_>, id: &str, at: Timestamp, replaced_by: &Option<String>) -> Attempt<()> {
    let update = "UPDATE integration.api_keys SET revoked_at = least(revoked_at, $2), \
                  replaced_by = coalesce($3, replaced_by) WHERE id = $1 RETURNING 1";
    match tx.rows("revoke a key", update, &[text(&id), time(&at), text(replaced_by)]).await?.is_empty() {
        true => Err(no_such_key(id).into()),
        false => Ok(()),
    }
}

/// In the order of the ids, so that two who note the same keys do not wait for each other in a circle.
async fn note_use(tx: &mut Tx<'_>, used: &[(String, Timestamp)]) -> Attempt<()> {
    let (ids, at): (Vec<&str>, Vec<Timestamp>) = used.iter().map(|(id, at)| (id.as_str(), *at)).unzip();
    let update = "WITH used AS (SELECT id, max(at) AS at FROM unnest($1, $2) AS u (id, at) GROUP BY id), \
                  ours AS (SELECT k.id FROM integration.api_keys AS k JOIN used USING (id) ORDER BY k.id FOR NO KEY UPDATE OF k) \
                  UPDATE integration.api_keys AS k SET last_used_at = greatest(k.last_used_at, used.at) \
                  FROM used JOIN ours USING (id) WHERE k.id = used.id";
    tx.rows("note the use of keys", update, &[texts(&ids), times(&at)]).await.map(|_| ())
}

async fn secret(tx: &mut Tx<'_>, name: &str, proposed: &str) -> Attempt<String> {
    // The row of who was first is locked, seen and given, also where both came at once.
    let insert = "INSERT INTO integration.secrets AS s (name, secret) VALUES ($1, $2) \
                  ON CONFLICT (name) DO UPDATE SET secret = s.secret RETURNING secret";
    let rows = tx.rows("make a secret", insert, &[text(&name), text(&proposed)]).await?;
    let row = rows.first().ok_or_else(|| Error::internal("the secret that was made is not there"))?;
    get(row, 0)
}
