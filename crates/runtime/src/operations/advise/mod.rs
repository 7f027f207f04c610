//! `handover advise`: which pattern a link should have, why, and how it is written.
//!
//! Invariants: the same needs get the same advice; each reason rests on what a door does, or on a [figure](figures) that stands in
//! bench/RESULTS.md; docs/concepts/which-pattern.md shows the rules as they are here. It reads and writes nothing.

pub mod figures;
mod needs;
mod rules;
#[cfg(test)]
mod tests;

use crate::config::By;
pub use needs::{External, Need, Needs, Setup, Volume, yes};
pub use rules::table;
use serde::Serialize;

/// How well a door meets a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// It does not.
    No,
    /// It does, with effort.
    Poor,
    /// It does.
    Fair,
    /// It is made for it.
    Good,
}

impl Fit {
    fn points(self) -> u32 {
        self as u32
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Poor => "poor",
            Self::Fair => "fair",
            Self::Good => "good",
        }
    }
}

/// What is said of one need at one door.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// Which need.
    pub need: Need,
    /// How well it is met.
    pub fit: Fit,
    /// Why.
    pub why: String,
}

/// What is said of one door.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The pattern of a link through it.
    #[serde(serialize_with = "door")]
    pub by: By,
    /// 0 to 3 for each need.
    pub points: u32,
    /// Whether it meets every need.
    pub possible: bool,
    /// Need by need.
    pub judgements: Vec<Judgement>,
}

fn door<S: serde::Serializer>(by: &By, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&by.to_string())
}

/// What is recommended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// The doors, best first.
    pub doors: Vec<Judged>,
    /// The best: several where they come out equal, none where no door meets every need.
    #[serde(serialize_with = "doors")]
    pub best: Vec<By>,
    /// What would decide between several, or what would have to give where there is none.
    pub decide: Vec<String>,
    /// The lines of handover.yaml for each of the best.
    pub lines: Vec<String>,
}

fn doors<S: serde::Serializer>(doors: &[By], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(doors.iter().map(ToString::to_string))
}

/// The three, in the order in which they stand where they are equal.
pub const DOORS: [By; 3] = [By::File, By::Database, By::Api];

/// Recommends a pattern for a link with these needs.
pub fn advise(needs: &Needs) -> Advice {
    let mut doors: Vec<Judged> = DOORS.into_iter().map(|by| judge(by, needs)).collect();
    doors.sort_by_key(|judged| (!judged.possible, std::cmp::Reverse(judged.points)));
    let most = doors.first().filter(|first| first.possible).map(|first| first.points);
    let best: Vec<By> = doors
        .iter()
        .filter(|judged| judged.possible && Some(judged.points) == most)
        .map(|judged| judged.by)
        .collect();
    let decide = match &best[..] {
        [] => what_gives(&doors),
        [_] => Vec::new(),
        several => what_decides(several, needs),
    };
    let lines = best.iter().map(|by| rules::lines(*by, needs)).collect();
    Advice { doors, best, decide, lines }
}

fn judge(by: By, needs: &Needs) -> Judged {
    let judgements: Vec<Judgement> =
        Need::ALL.into_iter().filter_map(|need| rules::judge(by, need, needs)).collect();
    Judged {
        by,
        points: judgements.iter().map(|judgement| judgement.fit.points()).sum(),
        possible: judgements.iter().all(|judgement| judgement.fit != Fit::No),
        judgements,
    }
}

/// Where doors are equal: the needs of which nothing is said, and which would choose one of them.
fn what_decides(several: &[By], needs: &Needs) -> Vec<String> {
    let mut said = Vec::new();
    for need in Need::ALL.into_iter().filter(|need| !needs.says(*need)) {
        let most = need.at_its_most();
        let fits: Vec<(By, Fit)> =
            several.iter().filter_map(|by| Some((*by, rules::judge(*by, need, &most)?.fit))).collect();
        let Some(best) = fits.iter().map(|(_, fit)| *fit).max() else { continue };
        let chosen: Vec<By> = fits.iter().filter(|(_, fit)| *fit == best).map(|(by, _)| *by).collect();
        if let [only] = chosen[..] {
            said.push(format!("{}: {} would choose {only}", need.word(), rules::at_its_most(need)));
        }
    }
    said.push("else take what your program speaks already: files, rows or HTTP".to_owned());
    said
}

/// Where no door meets every need: what each fails at.
fn what_gives(doors: &[Judged]) -> Vec<String> {
    let fails = |judged: &Judged| {
        let needs = judged.judgements.iter().filter(|judgement| judgement.fit == Fit::No);
        let needs: Vec<&str> = needs.map(|judgement| judgement.need.word()).collect();
        format!("{} would do with less of: {}", judged.by, needs.join(", "))
    };
    doors.iter().map(fails).collect()
}
