//! Entering: rows are made here and nowhere else. The rows of one call go to the server as arrays, one array a column.

use super::error::Attempt;
use super::row::{get, kept};
use super::tx::{Tx, Value, numbers, small_numbers, text, texts, time, times};
use crate::api::{Pushed, Queue};
use handover_core::{DeliveryId, Error, NewDelivery};
use jiff::Timestamp;
use std::collections::HashSet;
use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};

/// One statement takes so many rows at most, and begins no row after so many bytes of data.
const ROWS_MAX: usize = 5_000;
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// More rows than this are copied in, where they can be.
const COPY_FROM: usize = 100;

/// JSON that is text already.
#[derive(Debug)]
pub(super) struct Json(pub(super) String);

impl ToSql for Json {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }

    to_sql_checked!();
}

/// Results as they are kept; none where there is none of them.
pub(super) fn results<'a>(
    all: impl Iterator<Item = Option<&'a serde_json::Value>>,
) -> Option<Vec<Option<Json>>> {
    some(all.map(|one| one.map(|result| Json(kept(result)))))
}

/// An array, unless it holds nothing.
pub(super) fn some<T>(all: impl Iterator<Item = Option<T>>) -> Option<Vec<Option<T>>> {
    let all: Vec<Option<T>> = all.collect();
    all.iter().any(Option::is_some).then_some(all)
}

/// What is pushed: a delivery, and why it is born failed, where it is.
pub(super) type Born<'a> = (&'a NewDelivery, Option<String>);

/// Pushes, in order. One with a number that is there already is the same delivery, as is one with the same key.
pub(super) async fn push(tx: &mut Tx<'_>, actor: &str, new: &[Born<'_>]) -> Attempt<Vec<Pushed>> {
    if new.iter().any(|(new, _)| new.max_attempts == 0) {
        return Err(Error::config("a delivery needs at least one attempt").into());
    }
    let mut pushed = Vec::with_capacity(new.len());
    let mut rest = new;
    while !rest.is_empty() {
        let (run, after) = rest.split_at(run(rest));
        pushed.extend(push_run(tx, actor, run).await?);
        rest = after;
    }
    Ok(pushed)
}

/// How many of the first go to the same table in one statement.
fn run(rest: &[Born<'_>]) -> usize {
    let queue = rest.first().map(|(new, _)| Queue::from(new.kind));
    let mut bytes = 0;
    let mut given = HashSet::new();
    let same = rest.iter().take(ROWS_MAX).take_while(|(new, _)| {
        let fits = bytes < BYTES_MAX;
        bytes += size(&new.data);
        // One statement would not see that the same number came before.
        let first = new.id.is_none_or(|id| given.insert(id));
        fits && first && Some(Queue::from(new.kind)) == queue
    });
    same.count().max(1)
}

/// About how many bytes a value has as text; for bounds, so nothing is written for it.
pub(super) fn size(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::String(text) => text.len() + 2,
        serde_json::Value::Array(all) => all.iter().map(|one| size(one) + 1).sum::<usize>() + 2,
        serde_json::Value::Object(all) => {
            all.iter().map(|(key, one)| key.len() + size(one) + 4).sum::<usize>() + 2
        }
        _ => 8,
    }
}

async fn push_run(tx: &mut Tx<'_>, actor: &str, new: &[Born<'_>]) -> Attempt<Vec<Pushed>> {
    let Some(queue) = new.first().map(|(new, _)| Queue::from(new.kind)) else { return Ok(Vec::new()) };
    if new.iter().any(|(new, why)| new.target_app.is_some() && why.is_none()) {
        tx.makes_work(new.iter().filter_map(|(new, _)| new.target_app.as_deref()));
    }
    let plain = |(new, why): &Born<'_>| new.id.is_none() && new.dedup_key.is_none() && why.is_none();
    if new.len() > COPY_FROM && new.iter().all(plain) {
        let new: Vec<&NewDelivery> = new.iter().map(|(new, _)| *new).collect();
        return super::bulk::copy(tx, queue, actor, &new).await;
    }
    let columns = Columns::of(new.iter().map(|(new, _)| *new));
    let given = some(new.iter().map(|(new, _)| new.id.map(|id| id.0)));
    let errors = some(new.iter().map(|(_, why)| why.as_deref()));
    let now = tx.ledger().now();
    let call = format!(
        "SELECT ids, fresh FROM integration._push_{}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
         $17, false)",
        queue.named()
    );
    let mut values = vec![text(&actor)];
    values.extend(columns.values());
    values.extend([numbers(&given), texts(&errors), time(&now)]);
    let row = tx.row("push deliveries", &call, &values).await?;
    let (ids, fresh): (Vec<i64>, Vec<bool>) = (get(&row, 0)?, get(&row, 1)?);
    let pushed = ids.into_iter().zip(fresh).map(|(id, fresh)| match fresh {
        true => Pushed::New(DeliveryId(id)),
        false => Pushed::Duplicate(DeliveryId(id)),
    });
    Ok(pushed.collect())
}

/// The columns that a new delivery has, as arrays; none where all have the usual.
pub(super) struct Columns<'a> {
    sources: Vec<&'a str>,
    targets: Vec<Option<&'a str>>,
    data: Vec<Json>,
    kinds: Vec<&'a str>,
    flows: Option<Vec<Option<&'a str>>>,
    priorities: Option<Vec<Option<i32>>>,
    run_at: Option<Vec<Option<Timestamp>>>,
    max_attempts: Vec<i64>,
    dedup_keys: Option<Vec<Option<&'a str>>>,
    order_keys: Option<Vec<Option<&'a str>>>,
    parents: Option<Vec<Option<i64>>>,
    replay_of: Option<Vec<Option<i64>>>,
    traces: Option<Vec<Option<&'a str>>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(new: impl Iterator<Item = &'a NewDelivery> + Clone) -> Self {
        let all = || new.clone();
        Self {
            sources: all().map(|new| new.source_app.as_str()).collect(),
            targets: all().map(|new| new.target_app.as_deref()).collect(),
            data: all().map(|new| Json(new.data.to_string())).collect(),
            kinds: all().map(|new| new.kind.as_str()).collect(),
            flows: some(all().map(|new| new.flow.as_deref())),
            priorities: some(all().map(|new| Some(new.priority).filter(|p| *p != 0))),
            run_at: some(all().map(|new| new.run_at)),
            max_attempts: all().map(|new| i64::from(new.max_attempts)).collect(),
            dedup_keys: some(all().map(|new| new.dedup_key.as_deref())),
            order_keys: some(all().map(|new| new.order_key.as_deref())),
            parents: some(all().map(|new| new.parent_id.map(|id| id.0))),
            replay_of: some(all().map(|new| new.replay_of.map(|id| id.0))),
            traces: some(all().map(|new| new.trace.as_deref())),
        }
    }

    /// Thirteen of them.
    pub(super) fn values(&self) -> [Value<'_>; 13] {
        [
            texts(&self.sources),
            texts(&self.targets),
            (&self.data, Type::JSON_ARRAY),
            texts(&self.kinds),
            texts(&self.flows),
            small_numbers(&self.priorities),
            times(&self.run_at),
            numbers(&self.max_attempts),
            texts(&self.dedup_keys),
            texts(&self.order_keys),
            numbers(&self.parents),
            numbers(&self.replay_of),
            texts(&self.traces),
        ]
    }
}
