//! `handover init --from-crontab`: a crontab read, and a configuration proposed with its programs as scheduled apps.
//!
//! Invariants: nothing is run and nothing is changed; every line of the crontab is taken over, or said with its reason; what is
//! proposed is a configuration that `handover check` takes, whatever stands in the crontab; a text that looks like a secret
//! by its variable's name is not written down. It keeps nothing, so a crash leaves nothing.
//!
//! The way: [`lines`] reads lines as cron does, [`shell`] a command's words and redirections, [`command`] makes `run:` and
//! `output:` of it, [`names`] its name, [`folders`] finds what two jobs share, [`write`] the file.

mod command;
mod folders;
mod lines;
mod names;
mod shell;
#[cfg(test)]
mod tests;
mod write;

use crate::config::{Config, FILE_NAME, Schedule};
use command::{Around, Converted, convert};
use handover_core::{Error, Result};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use lines::{Job, Line};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// A crontab is at most so large.
pub const CRONTAB_MAX_BYTES: u64 = 1024 * 1024;
/// So many jobs are taken over at most.
const JOBS_MAX: usize = 1_000;
/// A program gets so long at least, and at most.
const TIMEOUT_MIN: Duration = Duration::from_secs(3_600);
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// So many runs are looked at to see how often a job runs.
const RUNS_LOOKED_AT: usize = 60;

/// How a crontab is to be read.
pub struct Reading<'a> {
    /// Whether each job names its user: where nothing is said, the jobs decide.
    pub system: Option<bool>,
    /// The time zone that cron goes by.
    pub timezone: &'a str,
    /// Whether a user of this name is known here.
    pub knows_user: &'a dyn Fn(&str) -> bool,
}

/// What is proposed.
#[derive(Debug, Clone, Serialize)]
pub struct Proposal {
    /// The text of handover.yaml; none where there is no job in the crontab.
    pub yaml: Option<String>,
    /// Whether it was read as a system crontab.
    pub system: bool,
    /// The apps, in the order of the crontab.
    pub apps: Vec<Taken>,
    /// The lines that were not taken over.
    pub left: Vec<Left>,
    /// What to know beside that.
    pub notes: Vec<String>,
}

/// A job that became an app.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    /// Its line in the crontab, from 1.
    pub line: usize,
    /// The app's name.
    pub name: String,
    /// When it runs.
    pub schedule: String,
    /// What to look at.
    pub notes: Vec<String>,
    #[serde(skip)]
    app: write::AppText,
    #[serde(skip)]
    paths: (Vec<String>, Vec<String>),
}

/// A line that was not taken over.
#[derive(Debug, Clone, Serialize)]
pub struct Left {
    /// Its line in the crontab, from 1.
    pub line: usize,
    /// What stands there, cut where it is long.
    pub text: String,
    /// Why not.
    pub reason: String,
}

/// Reads a crontab.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] where it has more jobs than one configuration should, or a NUL.
pub fn propose(crontab: &[u8], reading: &Reading<'_>) -> Result<Proposal> {
    let text = String::from_utf8_lossy(crontab);
    let system = reading.system.unwrap_or_else(|| lines::looks_like_system(&text, reading.knows_user));
    let mut reader = Reader::new(reading, system);
    for (number, line) in crontab.split(|byte| *byte == b'\n').enumerate() {
        match std::str::from_utf8(line) {
            Ok(line) => reader.line(number + 1, line),
            Err(_) => {
                let text = String::from_utf8_lossy(line).into_owned();
                reader.left(
                    number + 1,
                    &text,
                    "it is not UTF-8 text: put the command into a script, and call it",
                );
            }
        }
        if reader.apps.len() > JOBS_MAX {
            return Err(Error::config(format!("the crontab has more than {JOBS_MAX} jobs"))
                .hint("split it, and make a project of each part"));
        }
    }
    reader.end()
}

/// What has been read so far, and what holds for the next line.
struct Reader<'r> {
    reading: &'r Reading<'r>,
    system: bool,
    around: Around,
    cron_zone: Option<String>,
    /// Comments right above.
    comments: Vec<String>,
    /// Comments that belong to no job.
    loose: Vec<String>,
    apps: Vec<Taken>,
    left: Vec<Left>,
    notes: Vec<String>,
}

impl<'r> Reader<'r> {
    fn new(reading: &'r Reading<'r>, system: bool) -> Self {
        let around = Around::default();
        let (cron_zone, comments, loose) = (None, Vec::new(), Vec::new());
        let (apps, left, notes) = (Vec::new(), Vec::new(), Vec::new());
        Self { reading, system, around, cron_zone, comments, loose, apps, left, notes }
    }

    fn left(&mut self, line: usize, text: &str, reason: impl Into<String>) {
        self.left.push(Left { line, text: write::cut(text.trim()), reason: write::visible(&reason.into()) });
    }

    fn line(&mut self, number: usize, text: &str) {
        match lines::read(text, self.system) {
            Line::Blank => self.loosen(),
            Line::Comment(comment) => self.comments.push(comment),
            Line::Disabled(_) => {
                self.loosen();
                self.left(number, text, "it is commented out in the crontab");
            }
            Line::Variable(name, value) => {
                self.loosen();
                self.variable(number, name, value);
            }
            Line::Wrong(reason) => {
                self.loosen();
                self.left(number, text, reason);
            }
            Line::Job(job) => {
                let comments = std::mem::take(&mut self.comments);
                if let Err(reason) = self.job(number, job, comments) {
                    self.left(number, text, reason);
                }
            }
        }
    }

    /// The comments above belong to no job.
    fn loosen(&mut self) {
        self.loose.append(&mut write::without_template(std::mem::take(&mut self.comments)));
    }

    fn variable(&mut self, line: usize, name: String, value: String) {
        self.around.variables.retain(|(known, _)| *known != name);
        match name.as_str() {
            "SHELL" => self.around.shell = Some(value),
            "MAILTO" => {
                if !value.is_empty() {
                    self.notes.push(format!(
                        "line {line}: cron mails to {}; `notify:` in handover.yaml calls a command for each failure, and may mail",
                        write::cut(&value)
                    ));
                }
                self.around.mail_to = Some(value);
            }
            "CRON_TZ" if TimeZone::get(&value).is_ok() => self.cron_zone = Some(value),
            "CRON_TZ" => self.left(line, &format!("{name}={value}"), "it is no time zone that is known here"),
            "MAILFROM" | "CONTENT_TYPE" | "CONTENT_TRANSFER_ENCODING" | "RANDOM_DELAY" | "START_HOURS_RANGE" | "LOGNAME"
            | "USER" => self.left(line, &format!("{name}={value}"), "it is cron's own, and means nothing here"),
            secret if is_secret(secret) => self.left(
                line,
                &format!("{name}=…"),
                "it is a secret by its name and is not written into a file: give it to Handover's own environment, which every \
                 program gets (the file that `handover service install` names)",
            ),
            _ => self.around.variables.push((name, value)),
        }
    }

    fn job(&mut self, line: usize, job: Job, comments: Vec<String>) -> Result<(), String> {
        self.around.user.clone_from(&job.user);
        let mut converted = convert(&job.command, job.input.as_deref(), &self.around)?;
        let mut notes = job.notes.clone();
        notes.append(&mut converted.notes);
        if let Some(user) = &job.user {
            notes.insert(0, format!("cron ran it as {user}; here it runs as the user that Handover runs as"));
        }
        let timeout = timeout(&job.schedule);
        let name = names::free(&converted.name, &converted.more, &|name| {
            self.apps.iter().any(|app| app.name == name)
        });
        let Converted { run, shell, output, comment, writes, reads, .. } = converted;
        let (description, comments) = write::description(comments, comment);
        let timezone = self.cron_zone.clone();
        let app = write::AppText {
            comments,
            run,
            shell,
            schedule: job.schedule.clone(),
            timezone,
            timeout,
            output,
            description,
        };
        let notes = notes.iter().map(|note| write::visible(note)).collect();
        let taken = Taken { line, name, schedule: job.schedule, notes, app, paths: (writes, reads) };
        // The configuration's own reader has the last word.
        let alone = write::file(&write::Parts {
            apps: std::slice::from_ref(&taken),
            timezone: "UTC",
            ..write::Parts::default()
        });
        match check(&alone) {
            Ok(()) => self.apps.push(taken),
            Err(reason) => return Err(format!("no app can be made of it: {reason}")),
        }
        Ok(())
    }

    fn end(mut self) -> Result<Proposal> {
        self.loosen();
        let yaml = if self.apps.is_empty() {
            None
        } else {
            let flows = folders::shared(&self.apps);
            let parts = write::Parts {
                apps: &self.apps,
                left: &self.left,
                notes: &self.notes,
                loose: &self.loose,
                flows: &flows,
                timezone: self.reading.timezone,
            };
            let yaml = write::file(&parts);
            check(&yaml).map_err(|reason| {
                Error::internal(format!("what was made of the crontab is no configuration: {reason}"))
                    .hint("nothing was written; please report it with the crontab")
            })?;
            Some(yaml)
        };
        Ok(Proposal { yaml, system: self.system, apps: self.apps, left: self.left, notes: self.notes })
    }
}

/// Whether the configuration's reader takes a text; where not, what it says first.
fn check(yaml: &str) -> Result<(), String> {
    match Config::from_text(yaml, Path::new(FILE_NAME), &|_| None) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(error.problems.first().map_or_else(|| error.render(), |problem| problem.message.clone()))
        }
    }
}

/// Whether a variable holds a secret, by its name.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["PASS", "SECRET", "TOKEN", "APIKEY", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY", "CREDENTIAL"]
        .iter()
        .any(|word| name.contains(word))
}

/// How long a program may run: as long as until its next run, but an hour at least and a day at most. cron has no limit.
fn timeout(schedule: &str) -> Duration {
    let Ok(schedule) = Schedule::new(schedule, TimeZone::UTC) else { return TIMEOUT_MIN };
    let start = Timestamp::from_second(1_735_689_600).unwrap_or(Timestamp::UNIX_EPOCH);
    let runs = schedule.missed_between(start, start + SignedDuration::from_hours(24 * 400), RUNS_LOOKED_AT);
    let gaps = runs.windows(2).map(|pair| pair[1].duration_since(pair[0]).unsigned_abs());
    gaps.min().unwrap_or(TIMEOUT_MAX).clamp(TIMEOUT_MIN, TIMEOUT_MAX)
}
