//! The lines of a crontab, as cron(8) reads them.
//!
//! Invariants: each line of the text comes out once and in its order, whatever stands in it; what is no line for cron comes
//! out as [`Line::Wrong`] with the reason. Nothing here knows Handover's own rules but those of a schedule.

use crate::config::Schedule;
use jiff::tz::TimeZone;

/// What one line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing.
    Blank,
    /// A comment, without its `#`.
    Comment(String),
    /// A job that somebody turned into a comment.
    Disabled(String),
    /// `NAME = value`, without quotes.
    Variable(String, String),
    /// A job.
    Job(Job),
    /// What cron does not take, or Handover cannot.
    Wrong(String),
}

/// A job of a crontab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// Its pattern as `schedule:` takes it.
    pub(super) schedule: String,
    /// Whose program it is, in a system crontab.
    pub(super) user: Option<String>,
    /// What the shell gets.
    pub(super) command: String,
    /// What the program gets on stdin: what stands behind the first `%`, line by line.
    pub(super) input: Option<Vec<String>>,
    /// What there is to say of how it was read.
    pub(super) notes: Vec<String>,
}

/// Names of schedules that only some crons have, and what they mean.
const OTHER_NAMES: [(&str, &str); 7] = [
    ("@every_minute", "* * * * *"),
    ("@minutely", "* * * * *"),
    ("@quarterly", "0 0 1 1,4,7,10 *"),
    ("@semi-annually", "0 0 1 1,7 *"),
    ("@semi_annually", "0 0 1 1,7 *"),
    ("@bi-annually", "0 0 1 1,7 *"),
    ("@bi_annually", "0 0 1 1,7 *"),
];

const REBOOT: &str = "it runs when the machine starts, which is no time of the clock: let systemd start it \
                      (`systemctl --user edit --full --force NAME.service`), or keep this line in the crontab";

/// Whether every job of a text names a user whom `known` knows in front of its command, as system crontabs do.
pub(super) fn looks_like_system(text: &str, known: &dyn Fn(&str) -> bool) -> bool {
    let mut jobs = 0;
    for line in text.lines() {
        let Line::Job(job) = read(line, true) else { continue };
        if !job.user.as_deref().is_some_and(known) {
            return false;
        }
        jobs += 1;
    }
    jobs > 0
}

/// Reads one line.
pub(super) fn read(line: &str, system: bool) -> Line {
    let text = line.trim_matches(|c: char| c.is_ascii_whitespace());
    if text.is_empty() {
        return Line::Blank;
    }
    if text.contains('\0') {
        return Line::Wrong("it holds a NUL character".to_owned());
    }
    if let Some(comment) = text.strip_prefix('#') {
        let comment = comment.trim_start_matches('#').trim();
        return if is_job(comment) {
            Line::Disabled(comment.to_owned())
        } else {
            Line::Comment(comment.to_owned())
        };
    }
    if let Some((name, value)) = variable(text) {
        return Line::Variable(name, value);
    }
    match job(text, system) {
        Ok(job) => Line::Job(job),
        Err(reason) => Line::Wrong(reason),
    }
}

/// Whether a comment is a job that was switched off.
fn is_job(comment: &str) -> bool {
    let first = comment.split_ascii_whitespace().next().unwrap_or_default();
    let clocklike = first.starts_with('@') || first.starts_with(|c: char| c.is_ascii_digit() || c == '*');
    clocklike && job(comment, false).is_ok()
}

/// `NAME = value`; blanks around the sign, and quotes around either side, are none of it.
fn variable(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let name = unquoted(name.trim());
    let fine = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    fine.then(|| (name.to_owned(), unquoted(value.trim()).to_owned()))
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text)
}

/// The next word and what follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn job(text: &str, system: bool) -> Result<Job, String> {
    let mut notes = Vec::new();
    let (schedule, rest) = if text.starts_with('@') { named(text)? } else { five(text, &mut notes)? };
    if let Err(error) = Schedule::new(&schedule, TimeZone::UTC) {
        return Err(format!("{}: {}", error.message, error.hint));
    }
    let (user, rest) = match system.then(|| word(rest)) {
        None => (None, rest),
        Some(Some((user, rest))) => (Some(user.to_owned()), rest),
        Some(None) => return Err("it names no user and no command".to_owned()),
    };
    let (command, input) = percents(rest.trim());
    if command.trim().is_empty() {
        return Err("there is no command behind its schedule".to_owned());
    }
    Ok(Job { schedule, user, command: command.trim().to_owned(), input, notes })
}

/// `@daily` and its like.
fn named(text: &str) -> Result<(String, &str), String> {
    let (name, rest) = word(text).unwrap_or((text, ""));
    let lower = name.to_ascii_lowercase();
    if lower == "@reboot" {
        return Err(REBOOT.to_owned());
    }
    let meant = OTHER_NAMES.iter().find(|(other, _)| *other == lower).map(|(_, pattern)| *pattern);
    Ok((meant.map_or(lower, str::to_owned), rest))
}

/// The five parts of a pattern.
fn five<'t>(text: &'t str, notes: &mut Vec<String>) -> Result<(String, &'t str), String> {
    let mut rest = text;
    let mut parts = Vec::with_capacity(5);
    for _ in 0..5 {
        let Some((part, after)) = word(rest) else {
            let count = parts.len();
            return Err(format!(
                "it is neither a comment nor NAME=value, and a job has five parts of time and a command: this has {count}"
            ));
        };
        parts.push(part.to_owned());
        rest = after;
    }
    if let Some(minute) = parts[0].strip_prefix('-') {
        parts[0] = minute.to_owned();
        notes.push(
            "the `-` in front of its minute kept it out of the system's log; here it has no meaning"
                .to_owned(),
        );
    }
    if let Some(part) = parts.iter().find(|part| part.contains('~')) {
        return Err(format!("`{part}` is a time at random, which Handover does not have: choose one"));
    }
    if let Some(part) = parts.iter().find(|part| steps_from_one(part)) {
        notes.push(format!(
            "crons read `{part}` in different ways; here it begins at the number and goes on to the end of the range"
        ));
    }
    // A day must match both parts where one of them begins with a star: `+` says so here.
    let star = |part: &str| part.starts_with('*');
    let plain = |part: &str| part == "*";
    if !plain(&parts[2]) && !plain(&parts[4]) && (star(&parts[2]) || star(&parts[4])) {
        parts[4].insert(0, '+');
        notes.push(
            "as in cron, a day must match both its day of the month and its day of the week: so says the `+`"
                .to_owned(),
        );
    }
    Ok((parts.join(" "), rest))
}

/// `5/15`: a step from a single number.
fn steps_from_one(part: &str) -> bool {
    part.split(',').any(|item| {
        item.split_once('/')
            .is_some_and(|(from, _)| !from.is_empty() && from.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// A `%` ends the command, and what follows is its input, with each further `%` as a new line; `\%` is a percent sign.
fn percents(text: &str) -> (String, Option<Vec<String>>) {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'%') => {
                chars.next();
                parts.last_mut().unwrap_or(&mut String::new()).push('%');
            }
            '%' => parts.push(String::new()),
            c => parts.last_mut().unwrap_or(&mut String::new()).push(c),
        }
    }
    let command = parts.remove(0);
    (command, (!parts.is_empty()).then_some(parts))
}
