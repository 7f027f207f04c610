//! A program's stderr: its end is kept, its lines are shown as they come, and no flood costs memory.
//!
//! Invariant: never more than [`STDERR_KEPT_BYTES`] and one line of [`LINE_MAX_BYTES`] are held.

use super::OnStderrLine;
use handover_core::limits::STDERR_KEPT_BYTES;
use std::collections::VecDeque;

/// A longer line is shown in pieces.
const LINE_MAX_BYTES: usize = 8 * 1024;

/// What becomes of a program's stderr.
pub(super) struct Stderr {
    kept: VecDeque<u8>,
    cut_bytes: u64,
    line: Vec<u8>,
    on_line: Option<OnStderrLine>,
}

impl Stderr {
    /// Nothing yet.
    pub(super) fn new(on_line: Option<OnStderrLine>) -> Self {
        Self { kept: VecDeque::new(), cut_bytes: 0, line: Vec::new(), on_line }
    }

    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let tail = &bytes[bytes.len().saturating_sub(STDERR_KEPT_BYTES)..];
        let over = (self.kept.len() + tail.len()).saturating_sub(STDERR_KEPT_BYTES);
        self.kept.drain(..over);
        self.kept.extend(tail);
        self.cut_bytes += (over + bytes.len() - tail.len()) as u64;
        if self.on_line.is_some() {
            self.push_lines(bytes);
        }
    }

    fn push_lines(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            for piece in piece.chunks(LINE_MAX_BYTES) {
                if self.line.len() + piece.len() > LINE_MAX_BYTES {
                    self.show_line();
                }
                self.line.extend_from_slice(piece);
            }
            if self.line.ends_with(b"\n") {
                self.show_line();
            }
        }
    }

    fn show_line(&mut self) {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(on_line) = &mut self.on_line {
            on_line(&String::from_utf8_lossy(line));
        }
        self.line.clear();
    }

    /// The text of what was kept, and whether its beginning was cut.
    pub(super) fn finish(mut self) -> String {
        if !self.line.is_empty() {
            self.show_line();
        }
        let bytes = self.kept.make_contiguous();
        if self.cut_bytes == 0 {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        // The cut may have gone through a character: at most three bytes of it are left.
        let whole = bytes.iter().take(3).take_while(|b| **b & 0xC0 == 0x80).count();
        let cut_bytes = self.cut_bytes + whole as u64;
        format!("[{cut_bytes} bytes before this were not kept]\n{}", String::from_utf8_lossy(&bytes[whole..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn the_end_is_kept_and_the_cut_is_said() {
        let mut stderr = Stderr::new(None);
        stderr.push(b"short\n");
        assert_eq!(stderr.finish(), "short\n");

        for size in [1, 7, 5000, 30_000] {
            let text = "é".repeat(10_000) + "the end";
            let mut stderr = Stderr::new(None);
            text.as_bytes().chunks(size).for_each(|chunk| stderr.push(chunk));
            assert!(stderr.kept.len() <= STDERR_KEPT_BYTES);
            let kept = stderr.finish();
            let (said, tail) = kept.split_once('\n').unwrap();
            assert!(text.ends_with(tail) && tail.ends_with("the end"), "{size}");
            assert_eq!(said, format!("[{} bytes before this were not kept]", text.len() - tail.len()));
        }
    }

    #[test]
    fn lines_come_whole_and_a_line_without_end_in_pieces() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        let mut stderr = Stderr::new(Some(Box::new(move |line| seen.lock().unwrap().push(line.to_owned()))));
        for piece in [&b"on"[..], b"e\r\ntwo\n\nthr", b"ee\xff"] {
            stderr.push(piece);
        }
        stderr.push(&vec![b'x'; 3 * LINE_MAX_BYTES]);
        stderr.finish();
        let lines = lines.lock().unwrap();
        assert_eq!(&lines[..4], ["one", "two", "", "three\u{fffd}"]);
        assert_eq!(lines[4..].iter().map(String::len).sum::<usize>(), 3 * LINE_MAX_BYTES);
    }
}
