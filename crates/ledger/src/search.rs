//! Searching with bounded work: the tables are asked in parts, and what they found is put together.
//!
//! A part is a table, and one status of it or any. Each is read from its newest row backwards, by an index that gives that
//! order, and no further than so many rows: its floor. What was found below the highest floor is left for the next page, as
//! other parts may have more there. On a crash nothing is left: it only reads.

use crate::api::{Filter, Searched};
use handover_core::{Delivery, DeliveryId, Kind, Status};

/// The tables that a search asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Files and jobs.
    Deliveries,
    /// Records.
    Records,
    /// What was archived.
    Archive,
}

/// What one query of a search reads.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) table: Table,
    /// The filter of this part alone: at most one status, and one row more than asked for.
    pub(crate) filter: Filter,
}

impl Part {
    /// Whether all that it asks for is usually few, and is found by its status, but not newest first.
    pub(crate) fn is_few(&self) -> bool {
        self.table != Table::Archive
            && matches!(self.filter.status, Some(Status::Pending | Status::Processing))
    }

    /// The status that it asks for, where an index of that status alone gives its rows newest first.
    pub(crate) fn set_aside(&self) -> Option<Status> {
        let status = self.filter.status.filter(|_| self.table != Table::Archive)?;
        matches!(status, Status::Failed | Status::Archived).then_some(status)
    }

    /// Whether every row fits, so that no more are looked at than are found.
    pub(crate) fn is_all(&self) -> bool {
        let filter = &self.filter;
        let texts = [&filter.app, &filter.source, &filter.by, &filter.flow, &filter.text, &filter.path];
        let times = [filter.since, filter.until, filter.ended_before];
        texts.iter().all(|text| text.is_none())
            && times.iter().all(Option::is_none)
            && (filter.parent, filter.replay_of, filter.kind, filter.status) == (None, None, None, None)
            && filter.seen_by.is_none()
    }
}

/// The parts of a search: every row that it may find is in one of them.
pub(crate) fn parts(filter: &Filter) -> Vec<Part> {
    let mut statuses: Vec<Status> = filter.statuses.clone();
    if let Some(status) = filter.status {
        if !statuses.is_empty() && !statuses.contains(&status) {
            return Vec::new();
        }
        statuses = vec![status];
    }
    let live: &[Table] = match filter.kind {
        None => &[Table::Deliveries, Table::Records],
        Some(Kind::Record) => &[Table::Records],
        Some(Kind::File | Kind::Job) => &[Table::Deliveries],
    };
    let mut parts = Vec::new();
    let mut part = |table, status| {
        let filter =
            Filter { status, statuses: Vec::new(), limit: filter.limit.saturating_add(1), ..filter.clone() };
        parts.push(Part { table, filter });
    };
    for table in live {
        match statuses.is_empty() {
            true => part(*table, None),
            false => {
                Status::ALL.into_iter().filter(|s| statuses.contains(s)).for_each(|s| part(*table, Some(s)))
            }
        }
    }
    if filter.archived && statuses.is_empty() || statuses.contains(&Status::Archived) {
        part(Table::Archive, None);
    }
    parts
}

/// What the parts found, as one page; `floors` are how far those looked that did not come to their end.
pub(crate) fn joined(mut found: Vec<Delivery>, floors: &[DeliveryId], limit: usize) -> Searched {
    let floor = floors.iter().max().copied();
    found.retain(|delivery| floor.is_none_or(|floor| delivery.id >= floor));
    found.sort_by_key(|delivery| std::cmp::Reverse(delivery.id));
    // A row that moves from one table to another between two queries is seen in both.
    found.dedup_by_key(|delivery| delivery.id);
    let more = found.len() > limit;
    found.truncate(limit);
    let below = if more { found.last().map(|last| last.id) } else { floor };
    Searched { deliveries: found, below }
}

/// A text as a pattern of LIKE that finds it anywhere, with `\\` as the escape; and the same as it stands within JSON.
pub(crate) fn patterns(text: &str) -> [String; 2] {
    let in_json = serde_json::Value::from(text).to_string();
    [text, &in_json[1..in_json.len() - 1]].map(|text| {
        let mut pattern = String::with_capacity(text.len() + 2);
        pattern.push('%');
        for c in text.chars() {
            // No text of a ledger has it, and to SQLite a pattern ends there.
            let c = if c == '\0' { char::REPLACEMENT_CHARACTER } else { c };
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_as_it_stands() {
        assert_eq!(patterns("50%_a"), ["%50\\%\\_a%", "%50\\%\\_a%"]);
        assert_eq!(patterns("a\"b\\")[1], r#"%a\\"b\\\\%"#);
    }

    #[test]
    fn only_where_every_row_fits_no_floor_is_needed() {
        let is_all = |filter: Filter| parts(&filter).iter().all(Part::is_all);
        let before = Some(DeliveryId(9));
        assert!(is_all(Filter { before, after: before, archived: true, limit: 5, ..Filter::default() }));
        for filter in [
            Filter { status: Some(Status::Completed), ..Filter::default() },
            Filter { statuses: vec![Status::Completed], ..Filter::default() },
            Filter { kind: Some(Kind::File), ..Filter::default() },
            Filter { app: Some("a".into()), ..Filter::default() },
            Filter { text: Some("a".into()), ..Filter::default() },
            Filter { seen_by: Some(vec![]), ..Filter::default() },
            Filter { until: Some(jiff::Timestamp::UNIX_EPOCH), ..Filter::default() },
            Filter { parent: before, ..Filter::default() },
        ] {
            assert!(!is_all(filter.clone()), "{filter:?}");
        }
    }

    #[test]
    fn a_status_that_contradicts_the_others_finds_nothing() {
        let filter =
            Filter { status: Some(Status::Failed), statuses: vec![Status::Pending], ..Filter::default() };
        assert!(parts(&filter).is_empty());
        let filter = Filter {
            statuses: vec![Status::Archived, Status::Failed],
            kind: Some(Kind::Record),
            ..Filter::default()
        };
        let parts: Vec<_> = parts(&filter).iter().map(|p| (p.table, p.filter.status)).collect();
        assert_eq!(
            parts,
            [
                (Table::Records, Some(Status::Failed)),
                (Table::Records, Some(Status::Archived)),
                (Table::Archive, None)
            ]
        );
    }
}
