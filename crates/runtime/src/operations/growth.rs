//! How the disk and what lies on it grow, and when the disk is full: a robust fit over the sizes of the last week.
//!
//! The fit is Theil's and Sen's: the median of all slopes between two measures, which a night's clearing or one large file does not
//! upset. Where there is too little history nothing is forecast, and that is said.

use super::health::age;
use crate::project::Project;
use handover_core::Result;
use handover_core::units::{format_duration, format_size};
use handover_ledger::Size;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::time::Duration;

/// So much of the past counts.
pub const WINDOW: SignedDuration = SignedDuration::from_hours(7 * 24);
/// With less of it nothing is said.
const SPAN_MIN: Duration = Duration::from_secs(24 * 3600);
/// Nor with fewer measures.
const MEASURES_MIN: usize = 6;
/// So many measures are held against each other.
const MEASURES_MAX: usize = 200;
/// A disk that is full after that is not worth a date.
const FORECAST_MAX: f64 = 3650.0;
const DAY_SECONDS: f64 = 86_400.0;

/// How something grows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grows {
    /// What.
    pub what: String,
    /// Its bytes when it was measured last.
    pub bytes: u64,
    /// How many files or rows it had, where that was counted.
    pub entries: Option<u64>,
    /// So many bytes a day more; less than nothing where it shrinks; none where there is too little history.
    pub a_day: Option<i64>,
}

/// How everything grows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// By name; without the disk itself.
    pub parts: Vec<Grows>,
    /// So many bytes a day the free room shrinks; none where there is too little history.
    pub disk_a_day: Option<i64>,
    /// When the disk is full, where it grows.
    pub fills_at: Option<Timestamp>,
    /// How many records stand in their table, and how many more they are a day, where that was measured.
    pub staging: Option<(u64, Option<i64>)>,
    /// The same of what is archived.
    pub archived: Option<(u64, Option<i64>)>,
}

impl Growth {
    /// The disk's growth in a sentence.
    pub fn sentence(&self, now: Timestamp) -> String {
        match (self.disk_a_day, self.fills_at) {
            (None, _) => "too little history to tell when it fills up".to_owned(),
            (Some(grows), Some(at)) => {
                let left = format_duration(Duration::from_secs(age(at, now).as_secs() / 3600 * 3600));
                format!("{} more a day: full in {left}", format_size(grows.unsigned_abs()))
            }
            (Some(grows), None) if grows > 0 => format!("{} more a day", format_size(grows.unsigned_abs())),
            (Some(_), None) => "it does not fill up".to_owned(),
        }
    }
}

/// Looks how everything grew of late.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn growth(project: &Project, now: Timestamp) -> Result<Growth> {
    with_sizes(project, now).await.map(|(growth, _)| growth)
}

/// The same, with the sizes that it is told from: of the last [`WINDOW`], by name and then by time.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn with_sizes(project: &Project, now: Timestamp) -> Result<(Growth, Vec<Size>)> {
    let since = now.checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
    let sizes = project.ledger.sizes("", since).await?;
    Ok((of(&sizes, now), sizes))
}

/// The same of these sizes, which stand by name and then by time.
fn of(sizes: &[Size], now: Timestamp) -> Growth {
    let mut parts = Vec::new();
    let (mut disk_a_day, mut fills_at, mut staging, mut archived) = (None, None, None, None);
    for series in sizes.chunk_by(|one, next| one.what == next.what) {
        let Some(last) = series.last() else { continue };
        let slope = slope(series);
        match last.what.as_str() {
            "disk:free" => {
                disk_a_day = slope.map(|slope| -whole(slope));
                fills_at = slope.filter(|slope| *slope < 0.0).and_then(|slope| full(last, -slope, now));
            }
            "staging" => staging = Some((amount(last), slope.map(whole))),
            "archived" => archived = Some((amount(last), slope.map(whole))),
            "disk:total" | "inodes:free" => {}
            what => parts.push(Grows {
                what: what.to_owned(),
                bytes: last.bytes,
                entries: last.entries,
                a_day: slope.map(whole),
            }),
        }
    }
    Growth { parts, disk_a_day, fills_at, staging, archived }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "it is a rounded figure; beyond all bounds it is the last there is"
)]
fn whole(number: f64) -> i64 {
    number.round() as i64
}

/// When what is left is used up, at so many bytes a day.
#[allow(clippy::cast_precision_loss, reason = "a forecast is no more exact than this")]
fn full(last: &Size, a_day: f64, now: Timestamp) -> Option<Timestamp> {
    let days = last.bytes as f64 / a_day;
    let left = SignedDuration::try_from_secs_f64(days * DAY_SECONDS).ok().filter(|_| days < FORECAST_MAX)?;
    last.at.checked_add(left).ok().map(|at| at.max(now))
}

/// What of it grows: its bytes, but of the records in their table and of what is archived their number.
pub fn amount(size: &Size) -> u64 {
    if is_counted(&size.what) { size.entries.unwrap_or(0) } else { size.bytes }
}

/// Whether it has a number that grows, and no size of its own.
pub fn is_counted(what: &str) -> bool {
    matches!(what, "staging" | "archived")
}

/// How much more a day, by Theil and Sen.
#[allow(clippy::cast_precision_loss, reason = "a forecast is no more exact than this")]
fn slope(series: &[Size]) -> Option<f64> {
    let (first, last) = (series.first()?, series.last()?);
    if series.len() < MEASURES_MIN || age(last.at, first.at) < SPAN_MIN {
        return None;
    }
    let step = series.len().div_ceil(MEASURES_MAX);
    let points: Vec<(f64, f64)> = series
        .iter()
        .step_by(step)
        .map(|one| (one.at.duration_since(first.at).as_secs_f64() / DAY_SECONDS, amount(one) as f64))
        .collect();
    let mut slopes = Vec::new();
    for (nth, (at, bytes)) in points.iter().enumerate() {
        let later = points[nth + 1..].iter().filter(|(later, _)| later > at);
        slopes.extend(later.map(|(later, more)| (more - bytes) / (later - at)));
    }
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn hourly(what: &str, hours: u32, bytes: impl Fn(u32) -> u64) -> Vec<Size> {
        let began: Timestamp = "2025-11-24T00:00:00Z".parse().unwrap();
        let at = |hour: u32| began + SignedDuration::from_hours(hour.into());
        (0..hours)
            .map(|hour| Size { what: what.into(), at: at(hour), bytes: bytes(hour), entries: None })
            .collect()
    }

    #[test]
    fn a_disk_that_fills_evenly_is_full_when_it_is_said_to_be() {
        // 24 MB a day less, from 1 GB on.
        let sizes = hourly("disk:free", 100, |hour| 1_000 * MB - u64::from(hour) * MB);
        let now = sizes.last().unwrap().at;
        let found = of(&sizes, now);
        assert_eq!(found.disk_a_day, Some(24_000_000));
        let left = found.fills_at.unwrap().duration_since(now);
        assert_eq!(left.as_hours(), 901);
        assert!(found.sentence(now).contains("more a day: full in 37d 13h"), "{}", found.sentence(now));
    }

    #[test]
    fn one_night_and_one_large_file_do_not_upset_it() {
        let folder = hourly("folder:a", 120, |hour| {
            u64::from(hour) * MB + if hour == 60 { 50_000 * MB } else { 0 }
                - if (80..83).contains(&hour) { 70 * MB } else { 0 }
        });
        let found = of(&folder, folder.last().unwrap().at);
        assert_eq!((found.parts[0].a_day, found.fills_at), (Some(24_000_000), None));
    }

    #[test]
    fn too_little_history_is_said_and_an_emptying_disk_is_never_full() {
        let short = hourly("disk:free", 20, |hour| 1_000 * MB - u64::from(hour) * MB);
        let found = of(&short, short[19].at);
        assert_eq!((found.disk_a_day, found.fills_at), (None, None));
        assert!(found.sentence(short[19].at).contains("too little history"));
        let emptying = hourly("disk:free", 100, |hour| 1_000 * MB + u64::from(hour) * MB);
        let found = of(&emptying, emptying[0].at);
        assert_eq!((found.disk_a_day, found.fills_at), (Some(-24_000_000), None));
        assert!(found.sentence(emptying[0].at).contains("does not fill up"));
        // A clock that went back gives no date in the past.
        let late = of(&hourly("disk:free", 100, |hour| 100 * MB - u64::from(hour) * MB), Timestamp::MAX);
        assert_eq!(late.fills_at, Some(Timestamp::MAX));
    }
}
