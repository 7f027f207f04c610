//! API keys.

use super::SqliteLedger;
use super::error::sql;
use super::row::{time, time_or_none};
use super::writer::{Step, Write};
use crate::keys::{ApiKey, Keys, exists, no_such_key};
use async_trait::async_trait;
use handover_core::clock::rfc3339;
use handover_core::{Error, Result};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, ToSql, params};

#[async_trait]
impl Keys for SqliteLedger {
    async fn add_key(&self, key: ApiKey) -> Result<()> {
        self.writer.run(Step::Quiet, move |w| add(w, &key)).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>> {
        self.readers.run(all).await
    }

    async fn revoke_key(&self, id: &str, at: Timestamp, replaced_by: Option<String>) -> Result<()> {
        let id = id.to_owned();
        self.writer.run(Step::Quiet, move |w| revoke(w, &id, at, replaced_by.as_deref())).await
    }

    async fn used_keys(&self, used: Vec<(String, Timestamp)>) -> Result<()> {
        if used.is_empty() {
            return Ok(());
        }
        self.writer.run(Step::Quiet, move |w| note_use(w, &used)).await
    }

    async fn secret(&self, name: &str, proposed: &str) -> Result<String> {
        let (name, proposed) = (name.to_owned(), proposed.to_owned());
        self.writer.run(Step::Quiet, move |w| secret(w, &name, &proposed)).await
    }
}

fn execute(write: &Write<'_>, doing: &'static str, text: &str, values: &[&dyn ToSql]) -> Result<usize> {
    write.sql.prepare_cached(text).and_then(|mut statement| statement.execute(values)).map_err(sql(doing))
}

fn add(write: &Write<'_>, key: &ApiKey) -> Result<()> {
    let json = |texts: &[String]| {
        serde_json::to_string(texts).map_err(|e| Error::internal("texts as JSON").because(e))
    };
    let text = "INSERT INTO api_keys (id, name, digest, scopes, apps, created_at, created_by, expires_at, revoked_at, \
                last_used_at, replaced_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING";
    let values = params![
        key.id,
        key.name,
        key.digest,
        json(&key.scopes)?,
        key.apps.as_deref().map(json).transpose()?,
        rfc3339(key.created_at),
        key.created_by,
        key.expires_at.map(rfc3339),
        key.revoked_at.map(rfc3339),
        key.last_used_at.map(rfc3339),
        key.replaced_by
    ];
    match execute(write, "add a key", text, values)? {
        0 => Err(exists(&key.id)),
        _ => Ok(()),
    }
}

fn all(connection: &Connection) -> Result<Vec<ApiKey>> {
    let text = "SELECT id, name, digest, scopes, apps, created_at, created_by, expires_at, revoked_at, last_used_at, \
                replaced_by FROM api_keys ORDER BY created_at, id";
    connection
        .prepare_cached(text)
        .and_then(|mut statement| statement.query_map([], key)?.collect())
        .map_err(sql("list the keys"))
}

fn key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let texts = |column| {
        let text = row.get_ref(column)?.as_str_or_null()?;
        text.map(serde_json::from_str::<Vec<String>>)
            .transpose()
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, e.into()))
    };
    Ok(ApiKey {
        id: row.get(0)?,
        name: row.get(1)?,
        digest: row.get(2)?,
        scopes: texts(3)?.unwrap_or_default(),
        apps: texts(4)?,
        created_at: time(row, 5)?,
        created_by: row.get(6)?,
        expires_at: time_or_none(row, 7)?,
        revoked_at: time_or_none(row, 8)?,
        last_used_at: time_or_none(row, 9)?,
        replaced_by: row.get(10)?,
    })
}

fn revoke(write: &Write<'_>, id: &str, at: Timestamp, replaced_by: Option<&str>) -> Result<()> {
    let text = "UPDATE api_keys SET revoked_at = min(coalesce(revoked_at, ?2), ?2), \
                replaced_by = coalesce(?3, replaced_by) WHERE id = ?1";
    match execute(write, "revoke a key", text, params![id, rfc3339(at), replaced_by])? {
        0 => Err(no_such_key(id)),
        _ => Ok(()),
    }
}

fn note_use(write: &Write<'_>, used: &[(String, Timestamp)]) -> Result<()> {
    let text = "UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at, '') < ?2";
    for (id, at) in used {
        execute(write, "note the use of keys", text, params![id, rfc3339(*at)])?;
    }
    Ok(())
}

fn secret(write: &Write<'_>, name: &str, proposed: &str) -> Result<String> {
    let text = "INSERT INTO secrets (name, secret) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    execute(write, "make a secret", text, params![name, proposed])?;
    let read = "SELECT secret FROM secrets WHERE name = ?1";
    write.sql.query_row(read, [name], |row| row.get(0)).map_err(sql("read a secret"))
}
