//! What this project measured of itself: the figures that advice rests on, as they stand in bench/RESULTS.md.

use serde::Serialize;

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// What it counts.
    pub what: &'static str,
    /// The number.
    pub value: f64,
    /// How it is written in bench/RESULTS.md.
    pub written: &'static str,
    /// The section there.
    pub section: &'static str,
    /// How the row begins in which it stands.
    #[serde(skip)]
    pub row: &'static str,
}

/// Files that one app takes, one hop, a second.
pub const FILES: Figure = Figure {
    what: "files a second through one app",
    value: 1_090.0,
    written: "1,090",
    section: "Small files",
    row: "| Handover, one hop",
};
/// From a file's rename to the first byte that the program reads.
pub const FILE_LATENCY_P50_MS: Figure = Figure {
    what: "ms from a file's rename to the program's first byte, p50",
    value: 7.8,
    written: "7.8",
    section: "Latency",
    row: "| Handover (promised",
};
/// The same, 99 of 100.
pub const FILE_LATENCY_P99_MS: Figure = Figure {
    what: "ms from a file's rename to the program's first byte, p99",
    value: 10.3,
    written: "10.3",
    section: "Latency",
    row: "| Handover (promised",
};
/// Rows of one large file.
pub const FILE_ROWS: Figure = Figure {
    what: "rows of one file, imported, validated, enriched and exported",
    value: 3_367_760.0,
    written: "3,367,760",
    section: "Flights, a year ten times over",
    row: "3,367,760 rows",
};
/// How long they took.
pub const FILE_ROWS_S: Figure = Figure {
    what: "seconds that they took",
    value: 4.37,
    written: "4.37",
    section: "Flights, a year ten times over",
    row: "| Handover |",
};
/// Records on PostgreSQL.
pub const RECORDS_POSTGRES: Figure = Figure {
    what: "records claimed and completed a second on PostgreSQL",
    value: 57_400.0,
    written: "57,400",
    section: "Records through PostgreSQL, beside known queues",
    row: "| Handover, as usual",
};
/// The same by lanes.
pub const RECORDS_LANES: Figure = Figure {
    what: "records claimed and completed a second on PostgreSQL, `claim: lanes`",
    value: 84_400.0,
    written: "84,400",
    section: "Records through PostgreSQL, beside known queues",
    row: "| Handover, `claim: lanes`",
};
/// One record on PostgreSQL, 99 of 100.
pub const RECORD_POSTGRES_P99_MS: Figure = Figure {
    what: "ms for a single record on PostgreSQL, p99",
    value: 6.7,
    written: "6.7",
    section: "Records through PostgreSQL, beside known queues",
    row: "| Handover, as usual",
};
/// Records in the embedded ledger.
pub const RECORDS_EMBEDDED: Figure = Figure {
    what: "records claimed and completed a second, embedded",
    value: 63_900.0,
    written: "63,900",
    section: "Records through PostgreSQL, beside known queues",
    row: "| Handover, embedded",
};
/// One record in the embedded ledger, 99 of 100.
pub const RECORD_EMBEDDED_P99_MS: Figure = Figure {
    what: "ms for a single record, embedded, p99",
    value: 2.8,
    written: "2.8",
    section: "Records through PostgreSQL, beside known queues",
    row: "| Handover, embedded",
};
/// Jobs on PostgreSQL.
pub const JOBS_POSTGRES: Figure = Figure {
    what: "jobs submitted by HTTP a second, on PostgreSQL",
    value: 7_731.0,
    written: "7,731",
    section: "The API",
    row: "| `POST /jobs` a second",
};
/// Jobs with the embedded ledger.
pub const JOBS_EMBEDDED: Figure = Figure {
    what: "jobs submitted by HTTP a second, embedded",
    value: 12_568.0,
    written: "12,568",
    section: "The API",
    row: "| `POST /jobs` a second",
};
/// From submission to a running stream program.
pub const JOB_START_P50_MS: Figure = Figure {
    what: "ms from submission to the start of a running stream program, p50",
    value: 1.05,
    written: "1.05 ms",
    section: "The API",
    row: "| submit to start",
};

/// All of them.
pub const ALL: [Figure; 13] = [
    FILES,
    FILE_LATENCY_P50_MS,
    FILE_LATENCY_P99_MS,
    FILE_ROWS,
    FILE_ROWS_S,
    RECORDS_POSTGRES,
    RECORDS_LANES,
    RECORD_POSTGRES_P99_MS,
    RECORDS_EMBEDDED,
    RECORD_EMBEDDED_P99_MS,
    JOBS_POSTGRES,
    JOBS_EMBEDDED,
    JOB_START_P50_MS,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A number of the advice that nobody measured, or that is measured anew and stands there no more, fails here.
    #[test]
    fn every_figure_stands_in_the_results() {
        let results = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/RESULTS.md"));
        for figure in ALL {
            let head = format!("\n## {}\n", figure.section);
            let from = results.find(&head).unwrap_or_else(|| panic!("no section: {}", figure.section));
            let section = &results[from + head.len()..];
            let section = &section[..section.find("\n## ").unwrap_or(section.len())];
            let row = section.lines().find(|line| line.starts_with(figure.row));
            let row = row.unwrap_or_else(|| panic!("no row {:?} in {}", figure.row, figure.section));
            let standing = row
                .split([' ', '|', '(', ')', '*'])
                .any(|word| word.trim_end_matches([',', ':']) == figure.written.split(' ').next().unwrap());
            assert!(standing && row.contains(figure.written), "{} is not in: {row}", figure.written);
            let digits: String = figure.written.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
            assert_eq!(digits.parse::<f64>().unwrap(), figure.value, "{figure:?}");
        }
    }
}
