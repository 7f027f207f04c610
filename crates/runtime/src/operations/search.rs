//! Searching: deliveries by number, file, text, app, status and time, newest first, in pages that are made in bounded time however
//! long the past.
//!
//! What has an index is found at once: a number, a file by its whole name or path, what failed or waits. A text is looked for in
//! the newest deliveries, and the answer says how far that was; the next page looks on from there. A time is turned into numbers,
//! which are given in its order: a row that bears another time than it was handed over at may be missed by a day or more.
//!
//! It only looks.

use super::why::dated_folders;
use crate::project::Project;
use handover_core::{Delivery, DeliveryId, FileName, Kind, Result};
use handover_ledger::{Filter, Ledger};
use jiff::{SignedDuration, Timestamp};

/// So many deliveries of each table are looked at for one page.
const LOOK_MAX: usize = 50_000;
/// So many, where a text is looked for in each.
const LOOK_AT_TEXT_MAX: usize = 20_000;
/// So many are read at a time: they may be large.
const AT_ONCE: usize = 25;
/// A page ends early where its deliveries come to so many bytes, about.
const PAGE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// A name is reserved, and its number with it, before the program runs that makes the file: a number may be so much older than
/// its row.
const NUMBERED_BEFORE: SignedDuration = SignedDuration::from_hours(24);
/// And so much younger: several transactions take numbers at the same time.
const NUMBERED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// What a search found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// What bears the very number, name or path that was looked for; on the first page alone.
    pub named: Vec<Delivery>,
    /// What else was found, newest first.
    pub deliveries: Vec<Delivery>,
    /// Where the next page begins; none where this is all.
    pub next: Option<DeliveryId>,
    /// Where it stopped without having found a whole page: the time of the delivery down to which all was looked at.
    pub looked_back_to: Option<Timestamp>,
}

/// A page of what fits the filter, which says how much that is at most.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn search(project: &Project, filter: &Filter) -> Result<Found> {
    let ledger = project.ledger.as_ref();
    let named = match &filter.text {
        Some(text) if filter.before.is_none() => named(project, filter, text.trim()).await?,
        _ => Vec::new(),
    };
    let Some(mut filter) = within_time(ledger, filter).await? else {
        return Ok(Found { named, ..Found::default() });
    };
    let look = if filter.text.is_some() { LOOK_AT_TEXT_MAX } else { LOOK_MAX };
    let limit = filter.limit;
    let (mut found, mut bytes) = (Found { named, ..Found::default() }, 0);
    while found.deliveries.len() < limit && bytes < PAGE_MAX_BYTES {
        filter.limit = AT_ONCE.min(limit - found.deliveries.len());
        let page = ledger.search(filter.clone(), look).await?;
        let whole = page.deliveries.len() == filter.limit;
        bytes += page.deliveries.iter().map(about_bytes).sum::<usize>();
        let new = |one: &Delivery| found.named.iter().all(|named| named.id != one.id);
        let page_of_new: Vec<Delivery> = page.deliveries.into_iter().filter(new).collect();
        found.deliveries.extend(page_of_new);
        (found.next, filter.before) = (page.below, page.below);
        if page.below.is_none() {
            break;
        }
        if !whole {
            found.looked_back_to = handed_over_at(ledger, page.below).await?;
            break;
        }
    }
    Ok(found)
}

/// What bears this number, this name, or this path.
async fn named(project: &Project, filter: &Filter, text: &str) -> Result<Vec<Delivery>> {
    let ledger = project.ledger.as_ref();
    let mut found = Vec::new();
    if let Ok(id) = text.parse::<DeliveryId>() {
        found.extend(ledger.get(id).await?);
    }
    let mut paths = Vec::new();
    if text.contains('/') {
        paths.push(text.to_owned());
    } else if let Ok(name) = text.parse::<FileName>() {
        paths.extend(dated_folders(project, &name).into_iter().map(|folder| format!("{folder}/{text}")));
    }
    for path in paths {
        let at = Filter { path: Some(path), archived: true, limit: AT_ONCE, ..Filter::default() };
        found.extend(ledger.list(at).await?);
    }
    if text.contains('.') {
        for arrival in ledger.arrivals_at(text).await?.into_iter().take(AT_ONCE) {
            found.extend(ledger.get(arrival.delivery_id).await?);
        }
    }
    found.retain(|delivery| sees(filter.seen_by.as_deref(), delivery));
    found.sort_by_key(|delivery| std::cmp::Reverse(delivery.id));
    found.dedup_by_key(|delivery| delivery.id);
    Ok(found)
}

/// Whether somebody sees a delivery who sees these apps alone: what goes to one of them, or is no job and came from one.
pub fn sees(apps: Option<&[String]>, delivery: &Delivery) -> bool {
    let Some(apps) = apps else { return true };
    let is_one = |app: &str| apps.iter().any(|one| one == app);
    // Who hands over a job is a word for whoever asked, and no app.
    delivery.target_app.as_deref().is_some_and(is_one)
        || (delivery.kind != Kind::Job && is_one(&delivery.source_app))
}

/// The filter with its times as numbers too; none where nothing can be so old.
async fn within_time(ledger: &dyn Ledger, filter: &Filter) -> Result<Option<Filter>> {
    let mut filter = filter.clone();
    if let Some(until) = filter.until {
        let Some(first) = first_from(ledger, until.saturating_add(NUMBERED_AFTER).unwrap_or(until)).await?
        else {
            return Ok(Some(filter));
        };
        filter.before = Some(filter.before.map_or(first, |before| before.min(first)));
    }
    if let Some(since) = filter.since {
        let from = since.saturating_sub(NUMBERED_BEFORE).unwrap_or(since);
        let Some(first) = first_from(ledger, from).await? else { return Ok(None) };
        filter.after = Some(DeliveryId(first.0.saturating_sub(1)));
    }
    Ok(Some(filter))
}

/// The lowest number from which on nothing was handed over before this time; none where all was.
async fn first_from(ledger: &dyn Ledger, time: Timestamp) -> Result<Option<DeliveryId>> {
    let Some(newest) = newest_below(ledger, None).await?.filter(|newest| newest.created_at >= time) else {
        return Ok(None);
    };
    // All below `low` is older, and something from there up to `high` is not.
    let (mut low, mut high) = (0, newest.id.0);
    while low < high {
        let middle = low + (high - low) / 2;
        match newest_below(ledger, Some(DeliveryId(middle + 1))).await? {
            Some(one) if one.created_at >= time => high = one.id.0,
            _ => low = middle + 1,
        }
    }
    Ok(Some(DeliveryId(high)))
}

async fn newest_below(ledger: &dyn Ledger, before: Option<DeliveryId>) -> Result<Option<Delivery>> {
    let filter = Filter { before, archived: true, limit: 1, ..Filter::default() };
    Ok(ledger.list(filter).await?.pop())
}

async fn handed_over_at(ledger: &dyn Ledger, id: Option<DeliveryId>) -> Result<Option<Timestamp>> {
    match id {
        Some(id) => Ok(ledger.get(id).await?.map(|delivery| delivery.created_at)),
        None => Ok(None),
    }
}

fn about_bytes(delivery: &Delivery) -> usize {
    delivery.data.to_string().len() + delivery.result.as_ref().map_or(0, |result| result.to_string().len())
}
