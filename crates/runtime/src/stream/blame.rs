//! What the end of a stream program means for the records that it had.
//!
//! A program that dies with several records may have died of any: they are given again one at a time, oldest first, and
//! the one that kills a program that has answered others is to blame. A program that has never answered anything may
//! be broken itself, so nobody is blamed until another record was answered; where several records in a row kill it, it is: these
//! come again later, and all others go back as they were.
//!
//! There is no I/O here, so a crash leaves nothing.

use super::process::{Process, Stopped};
use crate::config::App;
use crate::delivery::{Failed, Summary};
use crate::program::{Ended, How, Verdict};
use handover_core::limits::RECORD_MAX_BYTES;
use handover_core::{Error, ErrorKind, Kind, Result, units};
use std::time::Duration;

/// What an end means.
#[derive(Debug)]
pub(super) enum Means {
    /// Nothing against any record: they are given to the next program.
    Again,
    /// It was stopped for one that was cancelled: the others are given to the next program.
    Unasked,
    /// Not now (exit code 75): they are given back for a while.
    Later(Death),
    /// The program cannot be started.
    NoStart(Error),
    /// One of the records did it, or the program is broken.
    Blame(Death),
}

/// How a program ended, as is told of a record.
#[derive(Debug, Clone)]
pub(super) struct Death {
    text: String,
    hint: &'static str,
    summary: Summary,
}

/// What this end of the program means.
pub(super) fn means(app: &App, end: Result<Ended>, program: &Process) -> Means {
    let (stopped, complaint) = (program.stopped, program.complaint.as_deref());
    let ended = match end {
        Ok(ended) => ended,
        // The guard died, and the program with it.
        Err(e) if e.kind() == ErrorKind::Program => return Means::Again,
        Err(e) => return Means::NoStart(e),
    };
    let verdict = ended.meaning().verdict;
    match (stopped, ended.how) {
        (None, How::Exit(0)) if program.answered > 0 => Means::Again,
        (Some(Stopped::Unwanted), _) => Means::Again,
        (Some(Stopped::Cancelled), _) => Means::Unasked,
        (None, _) if verdict == Verdict::Later => Means::Later(death(app, ended, stopped, complaint)),
        _ => Means::Blame(death(app, ended, stopped, complaint)),
    }
}

fn death(app: &App, ended: Ended, stopped: Option<Stopped>, complaint: Option<&str>) -> Death {
    const ANSWER: &str = "it must answer each record by a line with its id, and flush its stdout after each";
    let exit = ended.meaning().sentence;
    let (text, hint) = match (stopped, ended.how) {
        (Some(Stopped::TimedOut), _) => {
            let timeout = units::format_duration(app.timeout);
            (format!("the program did not answer within its timeout of {timeout}, and was stopped"), ANSWER)
        }
        (Some(Stopped::TooLong), _) => {
            let most = RECORD_MAX_BYTES / (1024 * 1024);
            (
                format!("the program wrote a line of more than {most} MiB, and was stopped"),
                "hand large data over by file",
            )
        }
        (_, How::Exit(0)) => ("the program ended (exit code 0) without an answer".to_owned(), ANSWER),
        _ => (format!("the program died: {exit}"), "its stderr is kept with the delivery"),
    };
    let last = ended.stderr.lines().rev().find(|line| !line.trim().is_empty());
    let said = match last {
        Some(line) => format!("; it said: {}", line.trim()),
        None => "; it said nothing on stderr".to_owned(),
    };
    let lacks_an_answer = stopped == Some(Stopped::TimedOut) || ended.how == How::Exit(0);
    let missed = match complaint.filter(|_| lacks_an_answer) {
        Some(complaint) => format!("; a line on its stdout could not be read as an answer ({complaint})"),
        None => String::new(),
    };
    let summary = Summary { stderr: ended.stderr, exit: Some(exit), ..Summary::default() };
    Death { text: text + &missed + &said, hint, summary }
}

impl Death {
    /// For the record, or job, that was alone with it and is to blame: quarantine.
    pub(super) fn guilty(self, kind: Kind) -> Failed {
        let error = Error::bad_data(format!("with this {kind} alone, {}", self.text)).hint(self.hint);
        Failed { summary: self.summary, ..Failed::from(error) }
    }

    /// For a job that was not answered in time: tried again while it has attempts left.
    pub(super) fn late(self) -> Failed {
        let error = Error::new(ErrorKind::Timeout, self.text).hint(self.hint);
        Failed { summary: self.summary, ..Failed::from(error) }
    }

    /// For a record that has nothing to do with it: later, at no cost.
    pub(super) fn later(&self) -> Failed {
        let error = Error::new(ErrorKind::NotYet, self.text.clone()).hint("it is given again by itself");
        Failed { summary: self.summary.clone(), ..Failed::from(error) }
    }

    /// For a record that killed a program which answers nothing: at no cost, and not before others have shown whether it is the
    /// program.
    pub(super) fn put_off(&self, after: Duration) -> Failed {
        Failed { after: Some(after), ..self.later() }
    }

    /// For the log.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}
