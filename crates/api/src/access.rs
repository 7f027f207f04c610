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
        // Writing to memory does not fail.
        let _ = if plain {
            writeln!(bytes, "{time}{millis:03}Z info  {} {} {}", line.method, line.path, line.status)
        } else {
            put_json(bytes, time, millis, line)
        };
    }
}

/// The form of `logging` in the binary, with the fields in their order there.
fn put_json(bytes: &mut Vec<u8>, time: &str, millis: i32, line: &Line<'_>) -> std::io::Result<()> {
    let &Line { request_id, method, path, status, .. } = line;
    // A path without `"` and `\`, which is in its text twice; other characters that JSON escapes are none of a path's.
    let fine = path.bytes().all(|byte| (0x20..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\'));
    let escaped = if fine { None } else { serde_json::to_string(path).ok() };
    let path = escaped.as_deref().map_or(path, |text| &text[1..text.len() - 1]);
    write!(bytes, "{{\"timestamp\":\"{time}{millis:03}Z\",\"level\":\"info\",\"app\":")?;
    put_text(bytes, line.app);
    bytes.extend_from_slice(b",\"message\":\"");
    bytes.extend_from_slice(method.as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(path.as_bytes());
    write!(bytes, " {status}\",\"context\":{{\"request_id\":\"{request_id}\",\"method\":\"")?;
    bytes.extend_from_slice(method.as_str().as_bytes());
    bytes.extend_from_slice(b"\",\"path\":\"");
    bytes.extend_from_slice(path.as_bytes());
    write!(bytes, "\",\"status\":{status},\"caller\":")?;
    put_text(bytes, Some(line.caller.unwrap_or("-")));
    write!(bytes, ",\"took_us\":{}}},\"trace_id\":", line.took.as_micros())?;
    put_text(bytes, line.trace_id);
    bytes.extend_from_slice(b"}\n");
    Ok(())
}

/// A text of JSON, or null. These are names and ids; a caller's may be anything.
fn put_text(bytes: &mut Vec<u8>, text: Option<&str>) {
    let _ = serde_json::to_writer(bytes, &text);
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
