//! The rules of advice: how well each door meets each need, and why.

use super::figures::{self, Figure};
use super::{DOORS, External, Fit, Judgement, Need, Needs, Setup};
use crate::config::By;
use crate::operations::times::number;
use handover_core::units::format_duration;
use std::fmt::Write as _;
use std::time::Duration;

/// Up to this part of what was measured there is room for a rush, and for the programs' own work.
const AT_EASE: f64 = 0.1;
/// Up to this part it can be kept up.
const AT_MOST: f64 = 0.5;

/// A file that nothing proves to be complete is left alone for a second first; others are taken at once.
const FILE_GOOD: Duration = Duration::from_secs(5);
const FILE_FAIR: Duration = Duration::from_millis(100);
const FILE_POOR: Duration = Duration::from_millis(20);
const RECORD_GOOD: Duration = Duration::from_millis(50);
const RECORD_FAIR: Duration = Duration::from_millis(10);
const JOB_GOOD: Duration = Duration::from_millis(10);

/// The rates up to which a door is good, and fair; no limit for files, whose rows go together.
fn rates(by: By) -> Option<(f64, f64, Figure)> {
    let figure = match by {
        By::File => return None,
        By::Database => figures::RECORDS_POSTGRES,
        By::Api => figures::JOBS_POSTGRES,
    };
    Some((figure.value * AT_EASE, figure.value * AT_MOST, figure))
}

/// How well a door meets a need; none where nothing is said of it, or it does not matter.
pub(super) fn judge(by: By, need: Need, needs: &Needs) -> Option<Judgement> {
    let (fit, why) = match need {
        Need::Volume => volume(by, needs.volume?.per_second),
        Need::Latency => latency(by, needs.latency?),
        Need::Replay => needs.replay?.then(|| replay(by))?,
        Need::Query => needs.query?.then(|| query(by))?,
        Need::External => external(by, needs.external?)?,
        Need::Setup => (needs.setup? == Setup::Nothing).then(|| setup(by))?,
    };
    Some(Judgement { need, fit, why })
}

fn volume(by: By, per_second: f64) -> (Fit, String) {
    let Some((ease, most, figure)) = rates(by) else {
        let rows = figures::FILE_ROWS.value / figures::FILE_ROWS_S.value;
        let why = format!(
            "rows go together in files: {} rows took {} s through four steps, {} a second; files by themselves, {} a second",
            figures::FILE_ROWS.written,
            figures::FILE_ROWS_S.written,
            rounded(rows),
            figures::FILES.written
        );
        return (if per_second <= rows * AT_MOST { Fit::Good } else { Fit::Poor }, why);
    };
    let fit = if per_second <= ease {
        Fit::Good
    } else if per_second <= most {
        Fit::Fair
    } else {
        Fit::No
    };
    let part = match fit {
        Fit::Good => "less than a tenth of that is needed, which leaves room for a rush",
        Fit::Fair => "up to half of that is needed, which leaves little room",
        _ => "more than half of that is needed, which leaves none",
    };
    (fit, format!("{} {}: {part}", figure.written, figure.what))
}

fn latency(by: By, most: Duration) -> (Fit, String) {
    let ms = |figure: Figure| figure.written.trim_end_matches(" ms");
    match by {
        By::File if most >= FILE_GOOD => (
            Fit::Good,
            "a file is taken as soon as it is complete, within seconds whatever writes it".to_owned(),
        ),
        By::File => {
            let (p50, p99) = (ms(figures::FILE_LATENCY_P50_MS), ms(figures::FILE_LATENCY_P99_MS));
            let fit = match most {
                most if most >= FILE_FAIR => Fit::Fair,
                most if most >= FILE_POOR => Fit::Poor,
                _ => Fit::No,
            };
            (
                fit,
                format!(
                    "{p50} ms at p50, {p99} at p99, for files that are renamed in; others are left alone for a second first"
                ),
            )
        }
        By::Database => {
            let (there, here) = (ms(figures::RECORD_POSTGRES_P99_MS), ms(figures::RECORD_EMBEDDED_P99_MS));
            let fit = match most {
                most if most >= RECORD_GOOD => Fit::Good,
                most if most >= RECORD_FAIR => Fit::Fair,
                _ => Fit::Poor,
            };
            (fit, format!("a single record takes {there} ms at p99 on PostgreSQL, {here} embedded"))
        }
        By::Api => {
            let fit = if most >= JOB_GOOD { Fit::Good } else { Fit::Fair };
            let start = ms(figures::JOB_START_P50_MS);
            (
                fit,
                format!(
                    "{start} ms at p50 from submission to a program that runs already, and the caller may wait for the answer"
                ),
            )
        }
    }
}

fn replay(by: By) -> (Fit, String) {
    match by {
        By::File => (Fit::Good, "each step's files are kept: `replay --flow F --since T` runs any part again, without its maker".into()),
        By::Database => (Fit::Fair, "records are kept in the ledger's archive until retention deletes them, and replayed by id or flow".into()),
        By::Api => (Fit::Fair, "jobs are kept in the ledger's archive and replayed; what a service did beside its answer is done twice".into()),
    }
}

fn query(by: By) -> (Fit, String) {
    match by {
        By::File => (
            Fit::Poor,
            "`list`, `show` and `why` tell of files; what stands in them is for other tools".into(),
        ),
        By::Database => {
            (Fit::Good, "each record is a row: SQL asks for it while it waits and afterwards".into())
        }
        By::Api => {
            (Fit::Fair, "each job has its status, result and explanation at an address of its own".into())
        }
    }
}

fn external(by: By, external: External) -> Option<(Fit, String)> {
    let at_home = |way: &str| (Fit::Good, format!("others take part by {way}, as they do already"));
    Some(match (external, by) {
        (External::No, _) => return None,
        (External::Files, By::File) => at_home("files, which are taken when they are complete"),
        (External::Sql, By::Database) => at_home("SQL, with rights for producers and consumers"),
        (External::Http, By::Api) => at_home("HTTP, with keys, limits and a description"),
        (External::Files, By::Database) => {
            (Fit::Poor, "their files would have to be split into records first".into())
        }
        (External::Files, By::Api) => (Fit::Poor, "their files can be uploaded by HTTP".into()),
        (External::Sql, By::File) => (Fit::No, "a file cannot be asked by SQL".into()),
        (External::Sql, By::Api) => (Fit::Poor, "the API takes and gives records by HTTP, not by SQL".into()),
        (External::Http, By::File) => (Fit::Poor, "files can be uploaded and fetched by HTTP, whole".into()),
        (External::Http, By::Database) => (Fit::Fair, "records can be pushed and pulled by HTTP too".into()),
    })
}

fn setup(by: By) -> (Fit, String) {
    match by {
        By::File => (Fit::Good, "folders are enough, and any program that reads and writes".into()),
        By::Database => (
            Fit::Fair,
            "the embedded ledger is there; programs read a line a record. Other machines need PostgreSQL"
                .into(),
        ),
        By::Api => (Fit::Poor, "an address, keys, and TLS where others reach it".into()),
    }
}

/// The answer that makes a need count most, in words.
pub(super) fn at_its_most(need: Need) -> &'static str {
    match need {
        Need::Volume => "tens of thousands a second",
        Need::Latency => "hundredths of a second",
        Need::Replay | Need::Query => "yes",
        Need::External => "http",
        Need::Setup => "nothing",
    }
}

/// The lines of handover.yaml.
pub(super) fn lines(by: By, needs: &Needs) -> String {
    let mut out = String::new();
    if by == By::Database && needs.external == Some(External::Sql) {
        out.push_str("# Others speak SQL: ledger: postgres://handover@db.example/handover\n");
    }
    out.push_str("apps:\n");
    out.push_str(
        "  producer: { uses: file-importer, with: { from: ./incoming, pattern: \"*.csv\", type: orders } }\n",
    );
    if by == By::File && needs.latency.is_some_and(|latency| latency < FILE_GOOD) {
        out.push_str("  # Rename complete files into ./incoming: then they are taken at once.\n");
    }
    out.push_str(match by {
        By::File => "  consumer: { run: ./consume }                       # stdin to stdout, or {input} and {output}\n",
        By::Database if lanes(needs) => {
            "  consumer: { run: ./consume, mode: stream, claim: lanes }  # one JSON object a line; lanes for many records on PostgreSQL\n"
        }
        By::Database => "  consumer: { run: ./consume, mode: stream }         # one JSON object a line, there and back\n",
        By::Api => "  consumer: { url: \"http://127.0.0.1:9000\" }         # a service app: each delivery is posted to it\n",
    });
    let _ = writeln!(out, "flows:\n  handed-over:\n    - {{ from: producer, to: consumer, by: {by} }}");
    if by == By::Api {
        out.push_str("# Any app takes jobs at POST /api/v1/jobs, with a key of `handover keys create`.\n");
        out.push_str("api: { listen: 127.0.0.1:8080 }\n");
    }
    out
}

/// Whether so much goes along the link that claiming by lanes pays.
fn lanes(needs: &Needs) -> bool {
    needs.volume.is_some_and(|volume| volume.per_second > figures::RECORDS_POSTGRES.value * AT_EASE)
}

/// A number of which three digits count.
fn rounded(value: f64) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are small and not negative"
    )]
    let whole = value.max(0.0) as u64;
    let step = 10u64.pow(whole.checked_ilog10().unwrap_or(0).saturating_sub(2));
    number(whole / step * step)
}

/// The rules as a table of Markdown: what docs/concepts/which-pattern.md shows.
pub fn table() -> String {
    let mut out = String::from("| need | by file | by database | by api |\n|---|---|---|---|\n");
    let mut row = |name: &str, cell: &dyn Fn(By) -> String| {
        let cells: Vec<String> = DOORS.into_iter().map(cell).collect();
        let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
    };
    row("volume, records a second", &|by| match rates(by) {
        None => "good, in files of many rows".to_owned(),
        Some((ease, most, _)) => format!("good to {}, fair to {}", rounded(ease), rounded(most)),
    });
    row("latency, at least", &|by| match by {
        By::File => three(FILE_GOOD, FILE_FAIR, Some(FILE_POOR)),
        By::Database => three(RECORD_GOOD, RECORD_FAIR, None),
        By::Api => format!("good from {}, else fair", format_duration(JOB_GOOD)),
    });
    row("replay", &|by| said(replay(by)));
    row("query", &|by| said(query(by)));
    for (name, one) in [("files", External::Files), ("SQL", External::Sql), ("HTTP", External::Http)] {
        row(&format!("others take part by {name}"), &|by| external(by, one).map(said).unwrap_or_default());
    }
    row("nothing to set up", &|by| said(setup(by)));
    out
}

fn said((fit, why): (Fit, String)) -> String {
    format!("**{}**: {why}", fit.word())
}

fn three(good: Duration, fair: Duration, poor: Option<Duration>) -> String {
    let below =
        poor.map_or("else poor".to_owned(), |poor| format!("poor from {}, else no", format_duration(poor)));
    format!("good from {}, fair from {}, {below}", format_duration(good), format_duration(fair))
}
