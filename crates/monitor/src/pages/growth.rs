//! How things grow: each with its size, how much more it is a day, and its line over the last week; of the disk, when it is full.
//!
//! What is told is measured every hour by a process that runs, and never while a page is made. Where there is too little history to
//! tell how something grows, that is said in place of a number.

use super::shown::{self, Cut, Moment};
use super::{Monitor, Wrong, spark};
use handover_ledger::Size;
use handover_runtime::operations::growth::{self, Growth, WINDOW};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::cmp::Reverse;

/// So many are shown, the largest first.
const ROWS_MAX: usize = 20;
/// A line has so many points, about.
const POINTS_MAX: usize = 48;
/// What stands on the database's page before its tables.
const OF_THE_LEDGER: [(&str, &str); 3] = [
    ("ledger", "the whole ledger"),
    ("staging", "records in their table"),
    ("archived", "archived deliveries"),
];

/// How things of one sort grow.
#[derive(Debug)]
pub(super) struct Growing {
    /// What they are called.
    pub(super) of: &'static str,
    pub(super) window: String,
    /// When the last of them was measured.
    pub(super) measured: Option<Moment>,
    pub(super) rows: Vec<Row>,
    /// Whether any of them says what it holds.
    pub(super) holds: bool,
    /// How many more there are.
    pub(super) more: usize,
    pub(super) disk: Option<Disk>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: Cut,
    /// What it holds: files, or rows.
    pub(super) entries: String,
    pub(super) now: String,
    /// None where there is too little history.
    pub(super) a_day: Option<String>,
    /// Empty where it was measured once.
    pub(super) line: String,
    /// The line in words.
    pub(super) says: String,
}

/// The disk of the data directory.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) free: String,
    pub(super) total: String,
    pub(super) sentence: String,
    pub(super) line: String,
    pub(super) says: String,
}

/// The sizes of one thing, in their order.
type Series<'a> = &'a [Size];

/// What series are told with.
struct Teller<'a> {
    growth: &'a Growth,
    sizes: &'a [Size],
    zone: &'a TimeZone,
    now: Timestamp,
}

impl Growing {
    /// The ledger, and the tables of one on a server.
    pub(super) async fn of_the_ledger(monitor: &Monitor) -> Result<Self, Wrong> {
        Self::told(monitor, |teller| teller.ledger()).await
    }

    /// The folders of the data directory, and its disk.
    pub(super) async fn of_the_files(monitor: &Monitor) -> Result<Self, Wrong> {
        Self::told(monitor, |teller| teller.files()).await
    }

    async fn told(monitor: &Monitor, tell: fn(&Teller<'_>) -> Self) -> Result<Self, Wrong> {
        let (known, project) = (monitor.growth().await?, monitor.project());
        let (growth, sizes) = &*known;
        Ok(tell(&Teller { growth, sizes, zone: &project.config.timezone, now: project.clock.now() }))
    }
}

impl<'a> Teller<'a> {
    fn ledger(&self) -> Growing {
        let whole = OF_THE_LEDGER.into_iter().filter_map(|(what, name)| Some((name, self.series(what)?)));
        self.growing("Of the ledger", whole.chain(self.below("table:")).collect(), None)
    }

    fn files(&self) -> Growing {
        self.growing("Folder", self.below("folder:"), self.disk())
    }

    /// All of one thing; none where it was never measured.
    fn series(&self, what: &str) -> Option<Series<'a>> {
        self.all().find(|series| series.first().is_some_and(|one| one.what == what))
    }

    fn all(&self) -> impl Iterator<Item = Series<'a>> {
        self.sizes.chunk_by(|one, next| one.what == next.what)
    }

    /// All whose name begins so, by the rest of it, the largest first.
    fn below(&self, prefix: &str) -> Vec<(&'a str, Series<'a>)> {
        let named = |series: Series<'a>| Some((series.first()?.what.strip_prefix(prefix)?, series));
        let mut found: Vec<_> = self.all().filter_map(named).collect();
        found.sort_by_key(|(name, series)| (Reverse(series.last().map(growth::amount)), *name));
        found
    }

    fn growing(&self, of: &'static str, found: Vec<(&str, Series<'_>)>, disk: Option<Disk>) -> Growing {
        let rows: Vec<Row> =
            found.iter().take(ROWS_MAX).filter_map(|(name, series)| self.row(name, series)).collect();
        let measured = found.iter().filter_map(|(_, series)| series.last()).map(|one| one.at).max();
        Growing {
            of,
            window: window(),
            measured: measured.map(|at| shown::past(at, self.zone, self.now)),
            more: found.len().saturating_sub(ROWS_MAX),
            holds: rows.iter().any(|row| !row.entries.is_empty()),
            rows,
            disk,
        }
    }

    fn row(&self, name: &str, series: Series<'_>) -> Option<Row> {
        let last = series.last()?;
        let (counted, most) = (growth::is_counted(&last.what), series.iter().map(growth::amount).max()?);
        let say = |amount: u64| if counted { shown::number(amount) } else { shown::size(amount) };
        let of_what = if last.what.starts_with("folder:") { "file" } else { "row" };
        Some(Row {
            name: shown::cut(name, 64),
            entries: last.entries.filter(|_| !counted).map(|n| shown::count(n, of_what)).unwrap_or_default(),
            now: say(growth::amount(last)),
            a_day: self.a_day(&last.what).map(|a_day| change(a_day, say)),
            line: self.line(series, most, growth::amount),
            says: in_words(name, series, say),
        })
    }

    /// How much more it is a day, of whatever is told of it.
    fn a_day(&self, what: &str) -> Option<i64> {
        match what {
            "staging" => self.growth.staging?.1,
            "archived" => self.growth.archived?.1,
            _ => self.growth.parts.iter().find(|part| part.what == what)?.a_day,
        }
    }

    fn disk(&self) -> Option<Disk> {
        let free = self.series("disk:free")?;
        let (left, total) = (free.last()?.bytes, self.series("disk:total")?.last()?.bytes);
        let used = |size: &Size| total.saturating_sub(size.bytes);
        let window = window();
        Some(Disk {
            free: shown::size(left),
            total: shown::size(total),
            sentence: self.growth.sentence(self.now),
            line: self.line(free, total, used),
            says: format!(
                "used of the disk over {window}: from {} to {} of {}",
                shown::size(used(free.first()?)),
                shown::size(used(free.last()?)),
                shown::size(total)
            ),
        })
    }

    /// The line over the whole window; the lower edge is nothing, the upper one `most`. Empty where there is one point alone.
    fn line(&self, series: Series<'_>, most: u64, amount: impl Fn(&Size) -> u64) -> String {
        let begins = self.now.saturating_sub(WINDOW).unwrap_or(Timestamp::MIN);
        let across = |size: &Size| size.at.duration_since(begins).as_secs_f64() / WINDOW.as_secs_f64();
        let step = series.len().div_ceil(POINTS_MAX).max(1);
        // From the last one backwards, so that the line ends with it.
        let mut points: Vec<_> = series.iter().rev().step_by(step).collect();
        points.reverse();
        match points.len() {
            0 | 1 => String::new(),
            _ => spark::line(points.into_iter().map(|size| (across(size), spark::part(amount(size), most)))),
        }
    }
}

/// How far back is looked: `7 days`.
fn window() -> String {
    handover_runtime::operations::times::length(WINDOW)
}

/// More, or less: `+24.0 MB`, `−3`.
fn change(a_day: i64, say: impl Fn(u64) -> String) -> String {
    let sign = match a_day {
        0 => return "no change".to_owned(),
        1.. => '+',
        _ => '\u{2212}',
    };
    format!("{sign}{}", say(a_day.unsigned_abs()))
}

fn in_words(name: &str, series: Series<'_>, say: impl Fn(u64) -> String) -> String {
    let ends =
        series.first().zip(series.last()).map(|(first, last)| (growth::amount(first), growth::amount(last)));
    let (first, last) = ends.unwrap_or_default();
    let most = series.iter().map(growth::amount).max().unwrap_or(0);
    let peak = if most > first.max(last) { format!(", at most {}", say(most)) } else { String::new() };
    format!("{name} over {}: from {} to {}{peak}", window(), say(first), say(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    const MB: u64 = 1_000_000;

    fn now() -> Timestamp {
        "2025-11-24T00:00:00Z".parse().unwrap()
    }

    /// Measured every hour until now.
    fn hourly(what: &str, hours: u32, of: impl Fn(u64) -> (u64, Option<u64>)) -> Vec<Size> {
        let size = |nth: u32| {
            let (bytes, entries) = of(u64::from(nth));
            let at = now() - SignedDuration::from_hours(i64::from(hours - 1 - nth));
            Size { what: what.into(), at, bytes, entries }
        };
        (0..hours).map(size).collect()
    }

    fn told(sizes: &[Size], growth: &Growth, tell: fn(&Teller<'_>) -> Growing) -> Growing {
        tell(&Teller { growth, sizes, zone: &TimeZone::UTC, now: now() })
    }

    fn grows(what: &str, a_day: Option<i64>) -> handover_runtime::operations::growth::Grows {
        handover_runtime::operations::growth::Grows { what: what.into(), bytes: 0, entries: None, a_day }
    }

    fn growth() -> Growth {
        Growth {
            parts: vec![
                grows("folder:a", Some(-3)),
                grows("folder:b", Some(24_000_000)),
                grows("ledger", Some(0)),
            ],
            disk_a_day: Some(24_000_000),
            fills_at: Some(now() + SignedDuration::from_hours(48)),
            staging: Some((7, Some(1_200))),
            archived: Some((9, None)),
        }
    }

    #[test]
    fn folders_stand_by_size_each_with_its_line_and_the_same_in_words() {
        let mut sizes = hourly("disk:free", 169, |hour| ((1_000 - hour) * MB, None));
        sizes.extend(hourly("disk:total", 169, |_| (2_000 * MB, None)));
        sizes.extend(hourly("folder:a", 3, |hour| ([9, 12, 8][hour as usize] * MB, Some(1))));
        sizes.extend(hourly("folder:b", 169, |hour| (hour * MB, Some(1_500))));
        let found = told(&sizes, &growth(), |teller| teller.files());
        let names: Vec<&str> = found.rows.iter().map(|row| row.name.text.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let [b, a] = found.rows.as_slice() else { unreachable!() };
        assert_eq!(
            (b.now.as_str(), b.entries.as_str(), b.a_day.as_deref()),
            ("168.0 MB", "1,500 files", Some("+24.0 MB"))
        );
        assert_eq!((a.entries.as_str(), a.a_day.as_deref()), ("1 file", Some("\u{2212}3 B")));
        assert_eq!(a.says, "a over 7 days: from 9.0 MB to 8.0 MB, at most 12.0 MB");
        // Over the whole week from nothing to the most, and of the last hours the end alone.
        assert!(b.line.starts_with("M0.0 24.0L") && b.line.ends_with("L120.0 2.0"), "{}", b.line);
        assert!(b.line.matches('L').count() < POINTS_MAX && b.line.matches('L').count() > POINTS_MAX / 2);
        assert!(a.line.starts_with("M118.6 "), "{}", a.line);
        let disk = found.disk.unwrap();
        assert_eq!((disk.free.as_str(), disk.total.as_str()), ("832.0 MB", "2.0 GB"));
        assert_eq!(disk.sentence, "24.0 MB more a day: full in 2d");
        assert_eq!(disk.says, "used of the disk over 7 days: from 1.0 GB to 1.2 GB of 2.0 GB");
        assert_eq!(found.measured.unwrap().ago, "now");
    }

    #[test]
    fn the_ledger_counts_records_and_measures_tables() {
        let mut sizes = hourly("archived", 2, |hour| (0, Some(hour)));
        sizes.extend(hourly("ledger", 2, |_| (5 * MB, None)));
        sizes.extend(hourly("staging", 2, |_| (0, Some(12_345))));
        sizes.extend(hourly("table:small", 1, |_| (1, Some(1))));
        sizes.extend(hourly("table:tall", 1, |_| (2, Some(2))));
        let found = told(&sizes, &growth(), |teller| teller.ledger());
        let seen: Vec<_> = found
            .rows
            .iter()
            .map(|row| (row.name.text.as_str(), row.now.as_str(), row.a_day.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [
                ("the whole ledger", "5.0 MB", Some("no change")),
                ("records in their table", "12,345", Some("+1,200")),
                ("archived deliveries", "1", None),
                ("tall", "2 B", None),
                ("small", "1 B", None),
            ]
        );
        assert!(found.rows[3].line.is_empty(), "one measure is no line");
        assert!(found.disk.is_none() && found.holds, "tables hold rows");
    }

    #[test]
    fn nothing_measured_and_a_clock_that_jumped_are_no_trouble() {
        let found = told(&[], &growth(), |teller| teller.files());
        assert!(found.rows.is_empty() && found.disk.is_none() && found.measured.is_none());
        let mut sizes = hourly("folder:a", 30, |hour| (hour, Some(1)));
        sizes.iter_mut().for_each(|size| size.at += SignedDuration::from_hours(1_000));
        let found = told(&sizes, &growth(), |teller| teller.files());
        assert!(found.rows[0].line.split(['M', 'L']).skip(1).all(|point| point.starts_with("120.0 ")));
        let many: Vec<Size> =
            (0..30).flat_map(|n| hourly(&format!("folder:{n}"), 1, |_| (1, None))).collect();
        let found = told(&many, &growth(), |teller| teller.files());
        assert_eq!((found.rows.len(), found.more), (ROWS_MAX, 10));
    }
}
