//! Room on the disk: what there is, and when it fills up as it grew of late.

use super::{Looking, Verdict, age};
use crate::operations::growth::{Growth, growth};
use crate::operations::times::number;
use handover_core::units::format_size;
use handover_file::disk;
use std::path::Path;

/// With less than one part in so many free, a disk fills up soon.
const FREE_ONE_IN: u64 = 10;

/// Fewer records than this are no backlog, however fast they grow.
const STAGING_MIN: u64 = 100_000;
/// One more for each so many of them a day is growth.
const STAGING_GROWS_ONE_IN: u64 = 5;

impl Looking<'_> {
    /// Whether records heap up in their table.
    fn staging(&mut self, growth: &Growth) {
        let Some((records, a_day)) = growth.staging.filter(|(records, _)| *records > 0) else { return };
        let more = a_day.and_then(|a_day| u64::try_from(a_day).ok()).unwrap_or(0);
        let text = format!("{} records stand in their table, {} more a day", number(records), number(more));
        let grows = records >= STAGING_MIN && more >= records / STAGING_GROWS_ONE_IN;
        let todo = grows.then(|| "handover status: whose records wait, or are kept".to_owned());
        self.add("staging", if grows { Verdict::Warn } else { Verdict::Pass }, text, todo);
    }

    /// Room on the data directory's disk, and files left to make; how that grew is asked of a ledger that answers alone.
    pub(super) async fn room(&mut self, ledger_answers: bool) {
        let forecast = if ledger_answers { growth(self.project, self.now).await.ok() } else { None };
        if let Some(found) = &forecast {
            self.staging(found);
        }
        // Of a project that never ran, the folder that it will be in.
        let root =
            self.project.data.root().ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        match disk::space(root) {
            Err(e) => self.add("disk", Verdict::Fail, e.to_string(), None),
            Ok(space) => {
                let text = format!(
                    "{} of {} are free at {}",
                    format_size(space.free),
                    format_size(space.total),
                    root.display()
                );
                let inodes = space
                    .inodes_free
                    .map(|free| format!(", {} files can be made", number(free)))
                    .unwrap_or_default();
                let grows = forecast.as_ref().map(|found| format!("; {}", found.sentence(self.now)));
                let text = format!("{text}{inodes}{}", grows.unwrap_or_default());
                let fills_soon = forecast
                    .and_then(|found| found.fills_at)
                    .is_some_and(|at| age(at, self.now) < self.project.config.health.fills);
                if disk::low(&space) {
                    self.add(
                        "disk",
                        Verdict::Fail,
                        format!("{text}: nothing new is begun"),
                        Some("make room".to_owned()),
                    );
                } else if space.free < space.total / FREE_ONE_IN || fills_soon {
                    self.add(
                        "disk",
                        Verdict::Warn,
                        text,
                        Some("make room, or `handover archive --older-than 30d`".to_owned()),
                    );
                } else {
                    self.add("disk", Verdict::Pass, text, None);
                }
            }
        }
    }
}
