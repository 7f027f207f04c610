//! The demo's files, which are part of this program: the project, and the flights, one file a day.

use super::super::init::write_new;
use handover_core::{Error, Result};
use handover_runtime::config::FILE_NAME;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

macro_rules! flights {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/flights/", $name))
    };
}

/// The schema, which is written first: by it a demo is known, even one that was broken off.
const SCHEMA: (&str, &[u8]) = ("schemas/flights.json", flights!("schemas/flights.json"));

const PROJECT: [(&str, &[u8]); 4] = [
    ("reference/airlines.csv", flights!("reference/airlines.csv")),
    ("reference/airports.csv", flights!("reference/airports.csv")),
    (".gitignore", flights!(".gitignore")),
    (FILE_NAME, flights!("handover.yaml")),
];

/// The flights of the first quarter of 2013, in the order of their days.
const FLIGHTS: &[u8] = flights!("flights-2013-q1.csv.zst");

/// What was made.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Files of a day.
    pub(super) days: u64,
    /// Rows in them.
    pub(super) rows: u64,
}

/// Whether a demo was made or begun in this folder.
pub(super) fn is_demo(dir: &Path) -> bool {
    std::fs::read(dir.join(SCHEMA.0)).is_ok_and(|bytes| bytes == SCHEMA.1)
}

/// Makes what is missing.
pub(super) fn make(dir: &Path) -> Result<Made> {
    write_new(&dir.join(SCHEMA.0), SCHEMA.1)?;
    for (name, content) in PROJECT {
        write_new(&dir.join(name), content)?;
    }
    let mut made = Made::default();
    for (name, content) in days()? {
        let rows = content.iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
        if write_new(&dir.join("incoming").join(&name), &content)? {
            made.days += 1;
            made.rows += rows;
        }
    }
    Ok(made)
}

/// The files of the days, by name, each with the header.
fn days() -> Result<BTreeMap<String, Vec<u8>>> {
    let broken = |e| Error::internal("the flights in this program cannot be read").because(e);
    let mut text = Vec::new();
    zstd::Decoder::new(FLIGHTS).and_then(|mut decoder| decoder.read_to_end(&mut text)).map_err(broken)?;
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let mut days: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for line in lines {
        let mut fields =
            line.split(|byte| *byte == b',').map(|field| std::str::from_utf8(field).unwrap_or_default());
        let mut next = || fields.next().and_then(|field| field.parse::<u32>().ok()).unwrap_or_default();
        let name = format!("flights_{:04}-{:02}-{:02}.csv", next(), next(), next());
        days.entry(name).or_insert_with(|| header.to_vec()).extend_from_slice(line);
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quarter_is_ninety_days_and_no_row_is_lost() {
        let days = days().unwrap();
        assert_eq!(days.len(), 90);
        let rows: usize = days.values().map(|day| day.iter().filter(|b| **b == b'\n').count() - 1).sum();
        assert_eq!(rows, 80_789);
        assert_eq!(days.keys().next().unwrap(), "flights_2013-01-01.csv");
        assert_eq!(days.keys().last().unwrap(), "flights_2013-03-31.csv");
    }
}
