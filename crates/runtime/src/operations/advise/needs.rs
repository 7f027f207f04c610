//! What a link needs, and how such a need is written.

use handover_core::{Error, Result, units};
use serde::Serialize;
use std::str::FromStr;
use std::time::Duration;

/// A record is taken to have so many bytes, where a volume is said in bytes: as in the measurements.
const RECORD_BYTES: f64 = 200.0;

/// What is asked about a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// How much goes along it.
    Volume,
    /// How soon.
    Latency,
    /// Whether old data is run again.
    Replay,
    /// Whether somebody looks into what waits and what was.
    Query,
    /// Whether others than this machine's programs take part.
    External,
    /// How much may be set up for it.
    Setup,
}

impl Need {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Self; 6] =
        [Self::Volume, Self::Latency, Self::Replay, Self::Query, Self::External, Self::Setup];

    /// Its word, which is the option's too.
    pub fn word(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Latency => "latency",
            Self::Replay => "replay",
            Self::Query => "query",
            Self::External => "external",
            Self::Setup => "setup",
        }
    }

    /// The question, with the form of an answer.
    pub fn question(self) -> &'static str {
        match self {
            Self::Volume => "How many records or rows go along the link (2000000/day, 50/s, 10GB/day)?",
            Self::Latency => "How long may one take from its maker to its reader (500ms, 10s, 1h)?",
            Self::Replay => "Will data of the past be run again (yes, no)?",
            Self::Query => {
                "Will people or programs ask for single records, what waits and what became of it (yes, no)?"
            }
            Self::External => "How do programs of others take part (no, files, sql, http)?",
            Self::Setup => "What may be set up for it (nothing: the binary alone; any)?",
        }
    }

    /// An answer that makes this need count most.
    pub(super) fn at_its_most(self) -> Needs {
        let mut needs = Needs::default();
        match self {
            Self::Volume => needs.volume = Some(Volume { per_second: 50_000.0 }),
            Self::Latency => needs.latency = Some(Duration::from_millis(20)),
            Self::Replay => needs.replay = Some(true),
            Self::Query => needs.query = Some(true),
            Self::External => needs.external = Some(External::Http),
            Self::Setup => needs.setup = Some(Setup::Nothing),
        }
        needs
    }
}

/// What a link needs; what is not said does not matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Needs {
    pub volume: Option<Volume>,
    #[serde(serialize_with = "shown")]
    pub latency: Option<Duration>,
    pub replay: Option<bool>,
    pub query: Option<bool>,
    pub external: Option<External>,
    pub setup: Option<Setup>,
}

fn shown<S: serde::Serializer>(
    latency: &Option<Duration>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    latency.map(units::format_duration).serialize(serializer)
}

impl Needs {
    /// Whether anything is said of this one.
    pub fn says(&self, need: Need) -> bool {
        match need {
            Need::Volume => self.volume.is_some(),
            Need::Latency => self.latency.is_some(),
            Need::Replay => self.replay.is_some(),
            Need::Query => self.query.is_some(),
            Need::External => self.external.is_some(),
            Need::Setup => self.setup.is_some(),
        }
    }

    /// Takes an answer; nothing, or `?`, says that it does not matter.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for what is no answer to it.
    pub fn answer(&mut self, need: Need, text: &str) -> Result<()> {
        let text = text.trim();
        if text.is_empty() || text == "?" {
            return Ok(());
        }
        match need {
            Need::Volume => self.volume = Some(text.parse()?),
            Need::Latency => self.latency = Some(units::parse_duration(text)?),
            Need::Replay => self.replay = Some(yes(text)?),
            Need::Query => self.query = Some(yes(text)?),
            Need::External => self.external = Some(text.parse()?),
            Need::Setup => self.setup = Some(text.parse()?),
        }
        Ok(())
    }
}

/// Reads `yes` or `no`.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] for any other text.
pub fn yes(text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "true" => Ok(true),
        "no" | "n" | "false" => Ok(false),
        _ => Err(Error::config(format!("{text:?} is neither yes nor no"))),
    }
}

/// How much goes along a link, at an even rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Volume {
    /// Records or rows a second.
    pub per_second: f64,
}

impl FromStr for Volume {
    type Err = Error;

    /// `2000000/day`, `50/s`, `2M/day`, `10GB/day`; a number by itself is for a day.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = || {
            Error::config(format!("{text:?} is no volume"))
                .hint("write records or bytes in a time: 2000000/day, 2M/day, 50/s, 10GB/day")
        };
        let (amount, time) = text.split_once('/').unwrap_or((text, "day"));
        let seconds = match time.trim().to_ascii_lowercase().as_str() {
            "s" | "sec" | "second" => 1.0,
            "min" | "minute" => 60.0,
            "h" | "hour" => 3_600.0,
            "d" | "day" => 86_400.0,
            _ => return Err(refuse()),
        };
        let amount = amount.trim().replace(['_', ','], "");
        let records = if amount.ends_with(['B', 'b']) {
            #[allow(clippy::cast_precision_loss, reason = "advice needs no more than a few digits")]
            let bytes = units::parse_size(&amount).map_err(|_| refuse())? as f64;
            bytes / RECORD_BYTES
        } else {
            let (digits, factor) = match amount.strip_suffix(['k', 'K']) {
                Some(digits) => (digits, 1e3),
                None => {
                    amount.strip_suffix(['m', 'M']).map_or((amount.as_str(), 1.0), |digits| (digits, 1e6))
                }
            };
            digits.parse::<f64>().map_err(|_| refuse())? * factor
        };
        let per_second = records / seconds;
        if per_second.is_finite() && per_second >= 0.0 { Ok(Self { per_second }) } else { Err(refuse()) }
    }
}

/// How programs of others take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum External {
    /// They do not.
    No,
    /// By files, in a folder.
    Files,
    /// By SQL.
    Sql,
    /// By HTTP.
    Http,
}

impl FromStr for External {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "no" | "n" => Ok(Self::No),
            "files" | "file" => Ok(Self::Files),
            "sql" => Ok(Self::Sql),
            "http" | "yes" | "y" => Ok(Self::Http),
            _ => {
                Err(Error::config(format!("{text:?} is no way to take part"))
                    .hint("say no, files, sql or http"))
            }
        }
    }
}

/// What may be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Setup {
    /// The binary and its configuration alone.
    Nothing,
    /// Whatever it takes.
    Any,
}

impl FromStr for Setup {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "nothing" | "none" | "minimal" => Ok(Self::Nothing),
            "any" | "anything" => Ok(Self::Any),
            _ => Err(Error::config(format!("{text:?} does not say what may be set up"))
                .hint("say nothing, or any")),
        }
    }
}
