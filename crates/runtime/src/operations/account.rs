//! The account of a flow: of all rows that ever entered it, where they went, compared in one place.
//!
//! Rows in = rows out + rejected + left out + failed + waiting + deleted, from the first app to the last, through files, records and files
//! again. What goes in is counted where it enters (imports, replays, what others hand over); everything else where it happened, so
//! that the sum tells whether a row was lost. What a program made of records is known by the records that it handed on: the ledger counts
//! them as they come (`pushed`) and as they go, so that one that is not there any more was deleted, or is missing. It reads the whole
//! ledger. Rows that retention deleted are in no part of the sum: where there are some, a difference accuses nobody, and how many went is
//! said.

use crate::config::{App, Enters, Flow, Runs};
use crate::project::Project;
use handover_core::{AppName, Kind, Result, Status};
use handover_ledger::Conserved;
use handover_ledger::links::{LinkRows, Links};
use serde::Serialize;
use std::fmt;

/// What became of the rows that came to one app.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Step {
    /// The app.
    pub app: String,
    /// Rows that enter the flow here.
    pub entered: u64,
    /// Rows that it has done.
    pub done: u64,
    /// Rows that it rejected, or that could not become records.
    pub rejected: u64,
    /// Rows that it left out: as configured, or because its program handed nothing on.
    pub left_out: u64,
    /// Rows that its program made beyond those that it got.
    pub made: u64,
    /// Rows of what failed.
    pub failed: u64,
    /// Rows that wait for it, or that it works on.
    pub waiting: u64,
    /// Records that were to go to it, and that somebody deleted, for good or so that they can be restored. One whose row had gone on
    /// before is not among them.
    pub deleted: u64,
}

/// What became of all rows of a flow.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// The flow.
    pub flow: String,
    /// Its apps, in their order.
    pub steps: Vec<Step>,
    /// Rows that entered, or were made by a program.
    pub rows_in: u64,
    /// Rows that came out at its end.
    pub rows_out: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// Rows left out.
    pub left_out: u64,
    /// Rows that failed.
    pub failed: u64,
    /// Rows that wait.
    pub waiting: u64,
    /// Records that somebody deleted; retention's are not among them.
    pub deleted: u64,
    /// Deliveries of files that its apps got or made, and that retention has deleted, with all that was known of their rows.
    pub files_expired: u64,
    /// Records of the same sort.
    pub records_expired: u64,
    /// Whether every row is accounted for.
    pub balanced: bool,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = super::times::number;
        let sign = match (self.balanced, self.lost()) {
            (true, _) => " =",
            (_, true) => " is NOT",
            _ => ",",
        };
        write!(f, "{} rows in{sign} {} out", number(self.rows_in), number(self.rows_out))?;
        for (count, what) in [
            (self.rejected, "rejected"),
            (self.left_out, "left out"),
            (self.failed, "failed"),
            (self.waiting, "waiting"),
        ] {
            write!(f, " + {} {what}", number(count))?;
        }
        if self.deleted > 0 {
            write!(f, " + {} deleted", number(self.deleted))?;
        }
        let count = super::times::count;
        let (files, records) = (count(self.files_expired, "file"), count(self.records_expired, "record"));
        let expired = format!("retention deleted {files} and {records}, one for each app that had them");
        match (self.balanced, self.expired() > 0) {
            (true, false) => write!(f, ": every row is accounted for"),
            (true, true) => write!(f, ": every row that is still known is accounted for; {expired}"),
            (false, true) => write!(f, ": only what is still known is counted; {expired}"),
            (false, false) => write!(f, ": they differ"),
        }
    }
}

/// The account of this flow; none where its links part or meet, so that a row is several or none.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn account(project: &Project, flow: &Flow) -> Result<Option<Account>> {
    let Some(chain) = chain(flow) else { return Ok(None) };
    let Links { rows: all, parents } = project.ledger.links().await?;
    let sums = project.ledger.conservation().await?;
    let known = |source: &str| project.config.app(source).is_some();
    let mut steps = Vec::new();
    for (nth, name) in chain.iter().enumerate() {
        let Some(app) = project.config.app(name.as_str()) else { continue };
        let place = Place {
            app,
            from: nth.checked_sub(1).map(|before| chain[before].as_str()),
            to: chain.get(nth + 1).map(|next| next.as_str()),
            enters: project.config.doors().enters(name),
            known: &known,
            parents: parents.iter().filter(|of| of.source == name.as_str()).map(|of| of.count).sum(),
            went_on: parents.iter().filter(|of| of.source == name.as_str()).map(|of| of.gone).sum(),
            all: &all,
            sums: &sums,
        };
        steps.push(place.step());
    }
    let out = chain.last().and_then(|last| project.config.app(last.as_str())).map_or(0, |last| {
        let records = matches!(project.config.doors().enters(&last.name), Enters::Program | Enters::Stream);
        let here = all.iter().filter(|row| row.target == last.name.as_str() && done(row));
        match records && here.clone().any(|row| row.kind == Kind::Record) {
            true => here.filter(|row| row.kind == Kind::Record).map(|row| row.rows).sum(),
            false => here.filter(|row| row.kind == Kind::File).map(|row| row.rows_out).sum(),
        }
    });
    let mut account = Account::of(flow.name.clone(), steps, out);
    // What other apps make is in other flows; but whoever else hands over to this one is known only while it is there.
    let elsewhere = |source: &str| {
        project.config.app(source).is_some() && !chain.iter().any(|app| app.as_str() == source)
    };
    for sum in sums.iter().filter(|sum| !elsewhere(&sum.source)) {
        match sum.kind {
            Kind::File => account.files_expired += sum.expired,
            Kind::Record => account.records_expired += sum.expired,
            Kind::Job => {}
        }
    }
    Ok(Some(account))
}

impl Account {
    /// Whether a row was lost: it does not add up, though nothing that it counts was ever deleted by retention.
    pub fn lost(&self) -> bool {
        !self.balanced && self.expired() == 0
    }

    fn expired(&self) -> u64 {
        self.files_expired + self.records_expired
    }

    fn of(flow: String, steps: Vec<Step>, rows_out: u64) -> Self {
        let sum = |of: fn(&Step) -> u64| steps.iter().map(of).sum::<u64>();
        let rows_in = sum(|step| step.entered + step.made);
        let (rejected, left_out) = (sum(|step| step.rejected), sum(|step| step.left_out));
        let (failed, waiting) = (sum(|step| step.failed), sum(|step| step.waiting));
        let deleted = sum(|step| step.deleted);
        let balanced = rows_in == rows_out + rejected + left_out + failed + waiting + deleted;
        Self {
            flow,
            steps,
            rows_in,
            rows_out,
            rejected,
            left_out,
            failed,
            waiting,
            deleted,
            files_expired: 0,
            records_expired: 0,
            balanced,
        }
    }
}

/// The apps of a flow in which each hands over to one, and gets from one.
fn chain(flow: &Flow) -> Option<Vec<&AppName>> {
    let single = |one: fn(&crate::config::Link) -> &AppName| {
        flow.apps().iter().all(|app| flow.links.iter().filter(|link| one(link) == app).count() <= 1)
    };
    let mut heads = flow.heads();
    let (head, other) = (heads.next()?, heads.next());
    if other.is_some() || !single(|link| &link.from) || !single(|link| &link.to) {
        return None;
    }
    let mut chain = vec![head];
    while let Some(link) = flow.links.iter().find(|link| Some(&&link.from) == chain.last()) {
        chain.push(&link.to);
    }
    (chain.len() == flow.apps().len()).then_some(chain)
}

fn done(row: &LinkRows) -> bool {
    row.status == Status::Completed
}

/// One app in its flow.
struct Place<'a> {
    app: &'a App,
    from: Option<&'a str>,
    to: Option<&'a str>,
    enters: Enters,
    /// Whether an app of this name is declared.
    known: &'a dyn Fn(&str) -> bool,
    /// How many of its deliveries it made records of.
    parents: u64,
    /// How many of these were deleted after that: they were done, and their rows have gone on.
    went_on: u64,
    all: &'a [LinkRows],
    sums: &'a [Conserved],
}

/// Records of one source that are not in the ledger any more.
#[derive(Debug, Clone, Copy, Default)]
struct Gone {
    /// What somebody deleted, and not retention.
    deleted: u64,
    /// What nobody deleted either.
    missing: u64,
}

impl Place<'_> {
    /// What is gone of the records that a source handed over, where all of them went to this app.
    fn gone(&self, source: &str, to: &str) -> Gone {
        let mut records = self.all.iter().filter(|row| row.kind == Kind::Record && row.source == source);
        if !records.all(|row| row.target == to) {
            return Gone::default();
        }
        let sums = self.sums.iter().filter(|sum| sum.kind == Kind::Record && sum.source == source);
        sums.fold(Gone::default(), |gone, sum| Gone {
            deleted: gone.deleted + sum.deleted.saturating_sub(sum.expired),
            missing: gone.missing + sum.pushed.saturating_sub(sum.live + sum.archived + sum.deleted),
        })
    }

    /// Records that came from outside, by their sources, and are gone.
    fn gone_from_outside(&self) -> Gone {
        let here = self.app.name.as_str();
        let mut sources: Vec<&str> = self.here(Kind::Record).map(|row| row.source.as_str()).collect();
        sources.sort_unstable();
        sources.dedup();
        let outside = sources.into_iter().filter(|source| !(self.known)(source));
        outside.map(|source| self.gone(source, here)).fold(Gone::default(), |all, one| Gone {
            deleted: all.deleted + one.deleted,
            missing: all.missing + one.missing,
        })
    }

    fn here(&self, kind: Kind) -> impl Iterator<Item = &LinkRows> + Clone {
        self.all.iter().filter(move |row| row.target == self.app.name.as_str() && row.kind == kind)
    }

    fn step(&self) -> Step {
        let mut step = Step { app: self.app.name.to_string(), ..Step::default() };
        for row in self.here(Kind::File).chain(self.here(Kind::Record)) {
            match row.status {
                Status::Failed => step.failed += row.rows,
                Status::Pending | Status::Processing => step.waiting += row.rows,
                Status::Completed | Status::Archived => {
                    step.rejected += row.rejected;
                    step.left_out += if row.kind == Kind::File { row.filtered } else { 0 };
                }
            }
        }
        let outside = self.gone_from_outside();
        step.entered = self.entered() + outside.deleted + outside.missing;
        let from = self.from.map(|from| self.gone(from, self.app.name.as_str())).unwrap_or_default();
        step.deleted = (outside.deleted + from.deleted).saturating_sub(self.went_on);
        match self.enters {
            Enters::Program | Enters::Stream => self.worked_on(&mut step),
            Enters::Gathered(_) | Enters::Waits => self.files(&mut step),
        }
        step
    }

    /// Rows that do not come along the link before.
    fn entered(&self) -> u64 {
        if self.app.is_source() {
            return self.here(Kind::File).filter(|row| done(row)).map(|row| row.rows_in).sum();
        }
        let foreign = |row: &&LinkRows| row.replay || Some(row.source.as_str()) != self.from;
        // Records that files were split into, and files that records were gathered into, came in before.
        let (first, second) = match self.enters {
            Enters::Gathered(_) => (Kind::Record, Kind::File),
            _ => (Kind::File, Kind::Record),
        };
        let known: Vec<&str> = self.here(first).map(|row| row.source.as_str()).collect();
        let anew = |row: &&LinkRows| row.replay || !known.contains(&row.source.as_str());
        let first: u64 = self.here(first).filter(foreign).map(|row| row.rows).sum();
        first + self.here(second).filter(foreign).filter(anew).map(|row| row.rows).sum::<u64>()
    }

    /// An app that works on files. What a console program, or a service, does with rows is its own affair.
    fn files(&self, step: &mut Step) {
        let files = self.here(Kind::File).filter(|row| done(row));
        step.done = files.clone().map(|row| row.rows_in.max(row.rows)).sum();
        if matches!(self.app.runs, Runs::Program(_) | Runs::Service(_)) && !self.app.is_source() {
            let (got, gave) = (files.clone().map(|row| row.rows).sum(), files.map(|row| row.rows_out).sum());
            step.left_out += u64::saturating_sub(got, gave);
            step.made += u64::saturating_sub(gave, got);
        }
    }

    /// A program that works on records: those that files were split into, and others.
    fn worked_on(&self, step: &mut Step) {
        let records = self.here(Kind::Record);
        if self.here(Kind::File).next().is_some() && records.clone().next().is_none() {
            return self.files(step);
        }
        step.done = records.clone().filter(|row| done(row)).map(|row| row.rows).sum::<u64>() + self.went_on;
        // Of a file that is not all in, or failed in the middle, some rows are records already.
        let sources: Vec<&str> = self.here(Kind::File).map(|row| row.source.as_str()).collect();
        let split: u64 = records
            .clone()
            .filter(|row| !row.replay && sources.contains(&row.source.as_str()))
            .map(|row| row.rows)
            .sum();
        let settled: u64 = self.here(Kind::File).filter(|row| done(row)).map(|row| row.records).sum();
        let begun = split.saturating_sub(settled);
        let of_failed =
            begun.min(self.here(Kind::File).filter(|r| r.status == Status::Failed).map(|r| r.rows).sum());
        step.failed -= of_failed.min(step.failed);
        step.waiting -= (begun - of_failed).min(step.waiting);
        if let Some(to) = self.to {
            let handed = self.all.iter().filter(|row| {
                row.source == self.app.name.as_str()
                    && row.target == to
                    && row.kind == Kind::Record
                    && !row.replay
            });
            let gone = self.gone(self.app.name.as_str(), to);
            let gone = gone.deleted + gone.missing;
            // What is gone is taken for the whole of what a record became, where that is possible.
            let childless = step.done.saturating_sub(self.parents);
            let fruitful = self.parents + gone.min(childless);
            step.left_out += step.done.saturating_sub(fruitful);
            step.made += (handed.map(|row| row.rows).sum::<u64>() + gone).saturating_sub(fruitful);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let step = |entered, rejected| Step { entered, rejected, ..Step::default() };
        let fine = Account::of("f".into(), vec![step(10, 0), step(0, 2)], 8);
        assert_eq!(
            fine.to_string(),
            "10 rows in = 8 out + 2 rejected + 0 left out + 0 failed + 0 waiting: every row is accounted for"
        );
        let lost = Account::of("f".into(), vec![step(10, 0), step(0, 2)], 7);
        assert!(lost.lost() && lost.to_string().starts_with("10 rows in is NOT 7 out"), "{lost}");
        let expired = Account { records_expired: 1_200, ..lost };
        assert!(!expired.lost() && !expired.balanced);
        assert_eq!(
            expired.to_string(),
            "10 rows in, 7 out + 2 rejected + 0 left out + 0 failed + 0 waiting: only what is still known is counted; \
             retention deleted 0 files and 1,200 records, one for each app that had them"
        );
        let fine = Account { files_expired: 1, ..fine };
        assert!(
            fine.to_string()
                .contains("every row that is still known is accounted for; retention deleted 1 file and 0"),
            "{fine}"
        );
    }
}
