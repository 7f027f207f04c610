//! How the records of each app stand: what was handed over is what has ended and what has not. Counts that the ledger
//! keeps as it goes, so it is cheap however long the past.

use handover_core::{Kind, Status};
use handover_ledger::AppCount;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How the records of an app stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RecordCount {
    /// The app; empty for those that go to none.
    pub app: String,
    /// All that were ever handed to it.
    pub total: u64,
    /// They wait.
    pub pending: u64,
    /// They are being worked on.
    pub processing: u64,
    /// They are done.
    pub completed: u64,
    /// They failed.
    pub failed: u64,
    /// They ended and are in the archive.
    pub archived: u64,
}

impl fmt::Display for RecordCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = super::times::number;
        write!(
            f,
            "{}: {} = {} done + {} failed",
            self.app,
            number(self.total),
            number(self.completed),
            number(self.failed)
        )?;
        write!(f, " + {} waiting", number(self.pending))?;
        if self.processing > 0 {
            write!(f, " + {} being worked on", number(self.processing))?;
        }
        if self.archived > 0 {
            write!(f, " + {} archived", number(self.archived))?;
        }
        Ok(())
    }
}

/// The balance of each app that ever had records.
pub fn balance(counts: &[AppCount]) -> Vec<RecordCount> {
    let mut apps: BTreeMap<&str, RecordCount> = BTreeMap::new();
    for count in counts.iter().filter(|count| count.kind == Kind::Record && count.count > 0) {
        let records = apps.entry(&count.app).or_default();
        records.app.clone_from(&count.app);
        records.total += count.count;
        let stands = match count.status {
            Status::Pending => &mut records.pending,
            Status::Processing => &mut records.processing,
            Status::Completed => &mut records.completed,
            Status::Failed => &mut records.failed,
            Status::Archived => &mut records.archived,
        };
        *stands += count.count;
    }
    apps.into_values().collect()
}
