//! The access log: one line a request on stderr, in the form of the log's other lines, gathered and written together.
//!
//! A line waits for [`APART`] at most, and is written whole, under the lock of stderr that every other line takes too: lines
//! never stand within one another. Nothing is left out: where stderr does not take what is written, requests wait. Errors
//! do not come this way. A process that is killed loses the lines of its last moment; one that ends writes them ([`flush`]).

use handover_core::clock::rfc3339;
use http::Method;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So long a line waits for others.
const APART: Duration = Duration::from_millis(50);
/// So many bytes are written at once.
const ENOUGH: usize = 64 * 1024;
/// Behind so many, requests wait for stderr.
const MOST: usize = 4 * 1024 * 1024;
/// The length of a time up to its seconds' point: `2025-11-24T10:30:00.`.
const TO_SECONDS: usize = 20;

/// What is said of a request.
pub(crate) struct Line<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) caller: Option<&'a str>,
    pub(crate) took: Duration,
    /// The service app, where one was called.
    pub(crate) app: Option<&'a str>,
    pub(crate) trace_id: Option<&'a str>,
}

/// Notes a request.
pub(crate) fn note(line: &Line<'_>) {
    LOG.note(line);
}

/// Writes what was noted.
pub(crate) fn flush() {
    LOG.write(&mut Vec::new());
}

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let writer = std::thread::Builder::new().name("access-log".into()).spawn(|| LOG.serve());
    Log {
        plain: std::io::stderr().is_terminal(),
        gathers: writer.is_ok(),
        lines: Mutex::default(),
        more: Condvar::new(),
        writing: Mutex::new(()),
    }
});

struct Log {
    /// On a terminal, lines are for people.
    plain: bool,
    /// Whether there is a thread that writes; otherwise every line is written at once.
    gathers: bool,
    lines: Mutex<Lines>,
    more: Condvar,
    /// Held while lines are taken and written, so that they stay in their order.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// The second of the last line, and how it is written.
    second: Option<i64>,
    written: String,
}

impl Log {
    fn note(&self, line: &Line<'_>) {
        let mut lines = self.lines();
        let before = lines.bytes.len();
        lines.put(line, self.plain);
        let length = lines.bytes.len();
        drop(lines);
        if !self.gathers || length > MOST {
            self.write(&mut Vec::new());
        } else if before == 0 || (before < ENOUGH && length >= ENOUGH) {
            self.more.notify_one();
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is there; `other` takes the place of the buffer, and is it afterwards.
    fn write(&self, other: &mut Vec<u8>) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut self.lines().bytes, other);
        // Where stderr is gone nobody can be told.
        let _ = std::io::stderr().lock().write_all(other);
        other.clear();
    }

    fn serve(&self) {
        let mut other = Vec::new();
        loop {
            let mut lines = self.lines();
            while lines.bytes.is_empty() {
                lines = self.more.wait(lines).unwrap_or_else(PoisonError::into_inner);
            }
            drop(self.more.wait_timeout_while(lines, APART, |lines| lines.bytes.len() < ENOUGH));
            self.write(&mut other);
        }
    }
}

impl Lines {
    fn put(&mut self, line: &Line<'_>, plain: bool) {
        let now = jiff::Timestamp::now();
        if self.second != Some(now.as_second()) {
            self.second = Some(now.as_second());
            self.written = rfc3339(now);
            self.written.truncate(TO_SECONDS);
        }
        let (time, millis) = (&self.written, now.subsec_millisecond());
        let bytes = &mut self.bytes;
        if plain {
            // Writing to memory does not fail.
            let _ = writeln!(bytes, "{time}{millis:03}Z info  {} {} {}", line.method, line.path, line.status);
        } else {
            put_json(bytes, time, millis, line);
        }
    }
}

/// The form of `logging` in the binary, with the fields in their order there; without the formatting machinery, which costs as
/// much as all else of a line.
fn put_json(bytes: &mut Vec<u8>, time: &str, millis: i32, line: &Line<'_>) {
    let method = line.method.as_str();
    // Most paths have nothing that JSON escapes.
    let escaped = if is_fine(line.path) { None } else { serde_json::to_string(line.path).ok() };
    let path = escaped.as_deref().map_or(line.path, |text| &text[1..text.len() - 1]);
    let millis = u64::try_from(millis).unwrap_or_default();
    let took = u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX);
    put(bytes, &["{\"timestamp\":\"", time]);
    put_number(bytes, millis, 3);
    put(bytes, &["Z\",\"level\":\"info\",\"app\":"]);
    put_text(bytes, line.app);
    put(bytes, &[",\"message\":\"", method, " ", path, " "]);
    put_number(bytes, line.status.into(), 1);
    put(bytes, &["\",\"context\":{\"request_id\":\"", line.request_id, "\",\"method\":\"", method]);
    put(bytes, &["\",\"path\":\"", path, "\",\"status\":"]);
    put_number(bytes, line.status.into(), 1);
    put(bytes, &[",\"caller\":"]);
    put_text(bytes, Some(line.caller.unwrap_or("-")));
    put(bytes, &[",\"took_us\":"]);
    put_number(bytes, took, 1);
    put(bytes, &["},\"trace_id\":"]);
    put_text(bytes, line.trace_id);
    put(bytes, &["}\n"]);
}

/// Texts as they are.
pub(crate) fn put(bytes: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
}

/// A number in decimal digits, so many at least.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: u64, least: usize) {
    let start = bytes.len();
    while number > 0 || bytes.len() - start < least {
        bytes.push(b'0' + (number % 10) as u8);
        number /= 10;
    }
    bytes[start..].reverse();
}

/// Whether JSON has a text as it is.
fn is_fine(text: &str) -> bool {
    let is_fine = |byte: u8| (0x20..0x7f).contains(&byte) & (byte != b'"') & (byte != b'\\');
    // All of them, for many are looked at at once then.
    text.bytes().fold(true, |fine, byte| fine & is_fine(byte))
}

/// A text of JSON, or null. These are names and ids; a caller's may be anything.
fn put_text(bytes: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) if is_fine(text) => put(bytes, &["\"", text, "\""]),
        // Writing to memory does not fail.
        _ => drop(serde_json::to_writer(bytes, &text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn written(line: &Line<'_>) -> Value {
        let mut lines = Lines::default();
        lines.put(line, false);
        lines.put(line, false);
        let text = String::from_utf8(lines.bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        serde_json::from_str(lines[1]).unwrap()
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for (number, least, text) in
            [(0, 1, "0"), (7, 3, "007"), (1_020, 3, "1020"), (u64::MAX, 1, "18446744073709551615")]
        {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number, least);
            assert_eq!(bytes, text.as_bytes());
        }
    }

    #[test]
    fn a_line_is_json_whatever_is_in_it() {
        for path in ["/api/v1/services/a/b", "/a\"b\\c", "/\u{e9}\u{7f}", "/"] {
            let line = Line {
                request_id: "req_1",
                method: &Method::GET,
                path,
                status: 200,
                caller: Some("key:\"x"),
                took: Duration::from_micros(1_234),
                app: Some("a"),
                trace_id: None,
            };
            let mut value = written(&line);
            let time = value["timestamp"].take();
            assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
            let context = json!({ "request_id": "req_1", "method": "GET", "path": path, "status": 200,
                "caller": "key:\"x", "took_us": 1_234 });
            let expected = json!({ "timestamp": null, "level": "info", "app": "a",
                "message": format!("GET {path} 200"), "context": context, "trace_id": null });
            assert_eq!(value, expected);
        }
    }
}
