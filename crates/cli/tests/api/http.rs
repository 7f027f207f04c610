//! HTTP/1.1 as these tests speak it: one request a connection, its bytes as a test wants them, and answers as they come.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// What is said of the body's length, where it is not its own.
    framing: Framing,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    Chunked,
    /// So many bytes are said to come, and fewer do.
    Claimed(u64),
}

impl Ask {
    pub(crate) fn new(method: &str, target: impl Into<String>) -> Self {
        let (method, target) = (method.to_owned(), target.into());
        Self { method, target, headers: Vec::new(), body: Vec::new(), framing: Framing::Length }
    }

    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: impl Into<String>) -> Self {
        Self::new("POST", target)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string())
    }

    pub(crate) fn body(mut self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", media_type)
    }

    /// In pieces whose sum is not said.
    pub(crate) fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// As if so many bytes came.
    pub(crate) fn claims(mut self, length: u64) -> Self {
        self.framing = Framing::Claimed(length);
        self
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text =
            format!("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = text.into_bytes();
        match self.framing {
            Framing::Length if self.body.is_empty() && self.method == "GET" => bytes.extend(b"\r\n"),
            Framing::Length => bytes.extend(format!("Content-Length: {}\r\n\r\n", self.body.len()).bytes()),
            Framing::Claimed(length) => bytes.extend(format!("Content-Length: {length}\r\n\r\n").bytes()),
            Framing::Chunked => bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n"),
        }
        match self.framing {
            Framing::Chunked => {
                for piece in self.body.chunks(1_000) {
                    bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
                    bytes.extend(piece);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
            _ => bytes.extend(&self.body),
        }
        bytes
    }

    /// Sends it; gives the connection.
    pub(crate) fn send(&self, to: SocketAddr) -> TcpStream {
        let mut stream = connect(to);
        // Whoever refuses a body may close before it has come whole: what is answered is read all the same.
        let _ = stream.write_all(&self.bytes());
        stream
    }
}

/// A connection that is not waited for without bound.
pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The media type of its body, without parameters.
    pub(crate) fn media_type(&self) -> &str {
        self.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim()
    }

    /// The code of an error, in either form.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        let code = json["error"]["code"].as_str().or(json["code"].as_str());
        code.unwrap_or_else(|| panic!("no error: {self:?}")).to_owned()
    }

    /// The job that it holds.
    #[track_caller]
    pub(crate) fn id(&self) -> i64 {
        self.json()["id"].as_i64().unwrap_or_else(|| panic!("no id: {self:?}"))
    }
}

/// The head of an answer; none where the connection ends before.
pub(crate) fn read_head(reader: &mut impl BufRead) -> Option<Answer> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim_end();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        if status >= 200 {
            return Some(Answer { status, headers, body: Vec::new() });
        }
    }
}

/// The next piece of a body in chunks; none at its end, whether that was said or not.
pub(crate) fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let length = usize::from_str_radix(line.trim(), 16).ok().filter(|length| *length > 0)?;
    let mut piece = vec![0; length + 2];
    reader.read_exact(&mut piece).ok()?;
    piece.truncate(length);
    Some(piece)
}

/// A whole answer; none where the connection ends before there is one.
pub(crate) fn read_answer(stream: TcpStream, method: &str) -> Option<Answer> {
    read_answer_of(&mut BufReader::new(stream), method)
}

/// The same of bytes from anywhere.
pub(crate) fn read_answer_of(mut reader: &mut impl BufRead, method: &str) -> Option<Answer> {
    let mut answer = read_head(&mut reader)?;
    if method == "HEAD" {
        return Some(answer);
    }
    if answer.header("transfer-encoding").is_some() {
        while let Some(piece) = read_chunk(&mut reader) {
            answer.body.extend(piece);
        }
    } else if let Some(length) = answer.header("content-length") {
        let _ = reader.take(length.parse().unwrap()).read_to_end(&mut answer.body);
    } else {
        let _ = reader.read_to_end(&mut answer.body);
    }
    Some(answer)
}
