//! When records that go on by file become one: `gather: { rows: 1000, size: 10MiB, every: 5s }` at a link.

use super::report::Report;
use handover_core::units;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// So many rows at most, so that a file's records fit into one transaction and into memory.
const ROWS_MAX: u32 = 100_000;
/// So large at most.
const SIZE_MAX: u64 = 256 * 1024 * 1024;

/// When gathered records become a file: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gather {
    /// With so many records.
    pub rows: usize,
    /// With so many bytes, which it is not to exceed; one record alone may be larger.
    pub size: u64,
    /// When the oldest record has waited so long.
    pub every: Duration,
}

impl Default for Gather {
    fn default() -> Self {
        Self { rows: 1_000, size: 10 * 1024 * 1024, every: Duration::from_secs(5) }
    }
}

/// `gather:` as it is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Gather")]
pub(crate) struct RawGather {
    /// A file is full with so many records; by default 1000.
    #[schemars(range(min = 1, max = 100000))]
    pub(crate) rows: Option<u32>,
    /// A file is full with so many bytes, which it does not exceed; by default 10MiB, at most 256MiB.
    #[serde(default, with = "units::size::option")]
    #[schemars(with = "Option<String>")]
    pub(crate) size: Option<u64>,
    /// What has waited so long becomes a file, however little it is; by default 5s.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    pub(crate) every: Option<Duration>,
}

impl RawGather {
    /// What it means; what is wrong goes to the report.
    pub(crate) fn checked(&self, report: &mut Report<'_>, path: &[&str]) -> Gather {
        let usual = Gather::default();
        if self.rows.is_some_and(|rows| !(1..=ROWS_MAX).contains(&rows)) {
            report.value(&[path, &["rows"]].concat(), format!("`rows` must be 1 to {ROWS_MAX}"));
        }
        if self.size.is_some_and(|size| !(1..=SIZE_MAX).contains(&size)) {
            report
                .value(&[path, &["size"]].concat(), "`size` must be more than nothing and at most 256MiB")
                .help("a file-exporter can make larger files smaller, and a program can join them");
        }
        Gather {
            rows: self.rows.map_or(usual.rows, |rows| usize::try_from(rows).unwrap_or(usual.rows).max(1)),
            size: self.size.unwrap_or(usual.size),
            every: self.every.unwrap_or(usual.every),
        }
    }
}
