//! What a stream program and Handover say to each other: one JSON object a line, `{"id":…,"data":…}` in, and
//! `{"id":…,"status":"completed|failed|retry","data":…,"error":…}` back.
//!
//! Invariants: no output of a program makes this panic, or hold more than one line of the longest length; a line that is
//! no answer is shown and changes nothing. It does no I/O, so a crash leaves nothing.

use handover_core::limits::RECORD_MAX_BYTES;
use handover_core::{Delivery, DeliveryId, Json, Kind};
use serde::Deserialize;
use serde_json::Value;

/// So much of a line that is no answer is shown.
const SHOWN_BYTES: usize = 200;

/// What a program said of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// It is done, with what came of it, if anything did.
    Completed(Option<Json>),
    /// It failed for good.
    Failed(String),
    /// It is to be tried again, at the cost of an attempt.
    Retry(String),
}

/// A line of a program, or what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// An answer.
    Answer(DeliveryId, Told),
    /// A line that is no answer: its beginning, and why it is none.
    NoAnswer(String, String),
    /// A line that is longer than any may be. Nothing more of it is kept.
    TooLong,
}

/// Appends the line that gives a record or a job to a program. Of a job `data` is its input, or where it has none its
/// configuration; where it has both, `config` is this.
pub(super) fn give(delivery: &Delivery, into: &mut Vec<u8>) {
    into.extend_from_slice(format!("{{\"id\":{},\"data\":", delivery.id).as_bytes());
    // JSON of a value cannot fail, and a vector takes any number of bytes.
    if delivery.kind == Kind::Job {
        let (data, config) = of_job(&delivery.data);
        let _ = serde_json::to_writer(&mut *into, data);
        if let Some(config) = config {
            into.extend_from_slice(b",\"config\":");
            let _ = serde_json::to_writer(&mut *into, config);
        }
    } else {
        into.extend_from_slice(delivery.data.line().as_bytes());
    }
    into.extend_from_slice(b"}\n");
}

/// `data` and `config` of a job.
fn of_job(job: &Value) -> (&Value, Option<&Value>) {
    let config = job.get("config").filter(|config| !config.is_null());
    let input = job.pointer("/input/text/text").or_else(|| job.pointer("/input/json"));
    match (input, config) {
        (Some(input), config) => (input, config),
        (None, Some(config)) => (config, None),
        (None, None) => (&Value::Null, None),
    }
}

/// An answer as it is written.
#[derive(Deserialize)]
struct Raw {
    id: Value,
    status: Option<String>,
    data: Option<Json>,
    error: Option<Value>,
}

/// Reads a line.
fn read(line: &[u8]) -> Said {
    let no = |why: String| Said::NoAnswer(shown(line), why);
    let raw: Raw = match serde_json::from_slice(line) {
        Ok(raw) => raw,
        Err(e) if e.is_data() => return no(format!("it is no answer: {e}")),
        Err(e) => return no(format!("it is no JSON: {e}")),
    };
    let id = match &raw.id {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let Some(id) = id else { return no("its `id` is no number of a record".to_owned()) };
    let error = match raw.error {
        None => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
    };
    let said = || error.clone().unwrap_or_else(|| "the program gave no reason (`error`)".to_owned());
    let told = match raw.status.as_deref() {
        Some("completed") => Told::Completed(raw.data),
        Some("failed") => Told::Failed(said()),
        Some("retry") => Told::Retry(said()),
        Some(other) => Told::Retry(format!(
            "the program answered the status {other:?}: it is completed, failed or retry"
        )),
        None => Told::Retry("the program answered without a `status`: completed, failed or retry".to_owned()),
    };
    Said::Answer(DeliveryId(id), told)
}

/// The beginning of a line, for people.
fn shown(line: &[u8]) -> String {
    let head = &line[..line.len().min(SHOWN_BYTES)];
    let dots = if line.len() > SHOWN_BYTES { "…" } else { "" };
    format!("{}{dots}", String::from_utf8_lossy(head).trim_end())
}

/// Puts bytes together to lines, and reads them.
#[derive(Default)]
pub(super) struct Lines {
    part: Vec<u8>,
    /// The rest of a line that is too long is passed over.
    passing: bool,
}

impl Lines {
    /// Takes what was read, and appends what it says.
    pub(super) fn push(&mut self, mut bytes: &[u8], into: &mut Vec<Said>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if std::mem::take(&mut self.passing) {
                continue;
            }
            if self.part.len() + line.len() > RECORD_MAX_BYTES {
                self.part = Vec::new();
                into.push(Said::TooLong);
            } else if self.part.is_empty() {
                Self::line(line, into);
            } else {
                let mut whole = std::mem::take(&mut self.part);
                whole.extend_from_slice(line);
                Self::line(&whole, into);
            }
        }
        if self.passing {
            return;
        }
        if self.part.len() + bytes.len() > RECORD_MAX_BYTES {
            self.part = Vec::new();
            self.passing = true;
            into.push(Said::TooLong);
        } else {
            self.part.extend_from_slice(bytes);
        }
    }

    fn line(line: &[u8], into: &mut Vec<Said>) {
        if !line.trim_ascii().is_empty() {
            into.push(read(line));
        }
    }

    /// What is left when nothing more comes: half a line is no answer, even where it reads as one.
    pub(super) fn end(self, into: &mut Vec<Said>) {
        if !self.part.trim_ascii().is_empty() {
            into.push(Said::NoAnswer(shown(&self.part), "its end is missing".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn said(text: &str) -> Vec<Said> {
        let mut into = Vec::new();
        let mut lines = Lines::default();
        lines.push(text.as_bytes(), &mut into);
        lines.end(&mut into);
        into
    }

    fn answer(id: i64, told: Told) -> Said {
        Said::Answer(DeliveryId(id), told)
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(
            said(
                "{\"id\":7,\"status\":\"completed\",\"data\":{\"a\":1}}\r\n\n  \n{\"id\":\"8\",\"status\":\"completed\",\"data\":null}\n"
            ),
            [answer(7, Told::Completed(Some(json!({"a": 1}).into()))), answer(8, Told::Completed(None))]
        );
        assert_eq!(
            said(
                "{\"id\":1,\"status\":\"failed\",\"error\":\"bad\"}\n{\"id\":2,\"status\":\"retry\",\"error\":{\"code\":5}}\n"
            ),
            [answer(1, Told::Failed("bad".into())), answer(2, Told::Retry("{\"code\":5}".into()))]
        );
        for unclear in ["{\"id\":1}\n", "{\"id\":1,\"status\":\"done\"}\n"] {
            let [Said::Answer(DeliveryId(1), Told::Retry(why))] = &said(unclear)[..] else {
                panic!("{unclear}")
            };
            assert!(why.contains("completed, failed or retry"), "{why}");
        }
    }

    #[test]
    fn a_job_is_its_input_or_its_configuration_or_both() {
        let given = |data: Value| {
            let (data, config) = of_job(&data);
            (data.clone(), config.cloned())
        };
        assert_eq!(given(json!({ "type": "t", "config": { "a": 1 } })), (json!({ "a": 1 }), None));
        assert_eq!(given(json!({ "input": { "text": { "text": "x" } } })), (json!("x"), None));
        assert_eq!(given(json!({ "config": {}, "input": { "json": [1] } })), (json!([1]), Some(json!({}))));
        assert_eq!(given(json!({ "type": "t" })), (Value::Null, None));
    }

    #[test]
    fn what_is_no_answer_is_shown_and_changes_nothing() {
        for line in [
            "hello\n",
            "[1]\n",
            "{\"id\":{}}\n",
            "{\"status\":\"completed\"}\n",
            "{\"id\":1.5,\"status\":\"completed\"}\n",
        ] {
            assert!(
                matches!(&said(line)[..], [Said::NoAnswer(shown, _)] if shown == line.trim_end()),
                "{line}"
            );
        }
        let [Said::NoAnswer(shown, _)] = &said(&("é".repeat(500) + "\n"))[..] else { panic!() };
        assert!(shown.len() < 250 && shown.ends_with('…'));
    }

    #[test]
    fn half_a_line_is_no_answer() {
        let half = "{\"id\":7,\"status\":\"completed\"}";
        assert_eq!(said(half), [Said::NoAnswer(half.into(), "its end is missing".into())]);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_the_next_is_read() {
        let mut lines = Lines::default();
        let mut into = Vec::new();
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..40 {
            lines.push(&piece, &mut into);
            assert!(lines.part.len() <= RECORD_MAX_BYTES);
        }
        lines.push(b"x\n{\"id\":1,\"status\":\"completed\"}\n", &mut into);
        assert_eq!(into, [Said::TooLong, answer(1, Told::Completed(None))]);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_are_cut(text in "[a{}\"id:1,\n]{0,60}", at in 0usize..60) {
            let bytes = text.as_bytes();
            let at = at.min(bytes.len());
            let mut cut = Vec::new();
            let mut lines = Lines::default();
            lines.push(&bytes[..at], &mut cut);
            lines.push(&bytes[at..], &mut cut);
            lines.end(&mut cut);
            prop_assert_eq!(cut, said(&text));
        }
    }
}
