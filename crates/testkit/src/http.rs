//! A small HTTP/1.1 server for tests, in the clear or by TLS: it answers as a test says, remembers what it was asked, and can be ended
//! at any moment, with all its connections.

use crate::Authority;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// So often it looks whether somebody connects.
const LOOK: Duration = Duration::from_millis(2);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The path and the query.
    pub target: String,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a test answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer.
    Answer {
        /// Its status.
        status: u16,
        /// Its headers, beside that of its length.
        headers: Vec<(&'static str, String)>,
        /// Its body.
        body: Vec<u8>,
    },
    /// The connection is closed without an answer.
    Nothing,
    /// The connection is closed in the middle of an answer that promised more.
    Half(Vec<u8>),
    /// These bytes as they are, and the connection is closed.
    Raw(Vec<u8>),
    /// The answer comes after so long, unless the server ends before.
    After(Duration, Box<Reply>),
}

impl Reply {
    /// An answer of this status and text.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    /// A good answer with a media type.
    pub fn of(media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body).with("Content-Type", media_type)
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

type Answering = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A server.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    answering: Box<Answering>,
    tls: Option<Arc<ServerConfig>>,
}

impl HttpServer {
    /// A server on a free port of this machine.
    pub fn start(answering: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), answering)
    }

    /// The same by TLS, with a certificate of this authority for this name.
    pub fn encrypted(
        authority: &Authority,
        name: &str,
        answering: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let tls = Some(Arc::new(authority.serves(name)));
        Self::open(SocketAddr::from(([127, 0, 0, 1], 0)), tls, Box::new(answering))
    }

    /// A server at this address.
    ///
    /// # Panics
    /// Where the address cannot be had.
    pub fn at(address: SocketAddr, answering: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::open(address, None, Box::new(answering))
    }

    #[allow(clippy::expect_used)]
    fn open(address: SocketAddr, tls: Option<Arc<ServerConfig>>, answering: Box<Answering>) -> Self {
        let listener = TcpListener::bind(address).expect("an address for a test's server");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            open: Mutex::default(),
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
            answering,
            tls,
        });
        let accepting = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is, as an address begins.
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.over.load(Ordering::SeqCst) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(LOOK);
            continue;
        };
        let (Ok(()), Ok(kept)) = (stream.set_nonblocking(false), stream.try_clone()) else { continue };
        let _ = stream.set_nodelay(true);
        shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.open.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        let shared = shared.clone();
        std::thread::spawn(move || {
            let _ = match shared.tls.clone().map(ServerConnection::new) {
                None => serve(&stream, &shared),
                Some(Err(_)) => Ok(()),
                Some(Ok(tls)) => serve(StreamOwned::new(tls, &stream), &shared),
            };
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

/// Requests of one connection, one after the other.
fn serve(stream: impl Read + Write, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader)? {
        shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        let goes_on = answer(reader.get_mut(), &(shared.answering)(&asked), shared)?;
        reader.get_mut().flush()?;
        if !goes_on {
            return Ok(());
        }
    }
    Ok(())
}

/// Gives an answer; whether the connection goes on.
fn answer(stream: &mut (impl Read + Write), reply: &Reply, shared: &Shared) -> std::io::Result<bool> {
    match reply {
        Reply::Nothing => Ok(false),
        Reply::Half(bytes) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len() + 1_000);
            stream.write_all(head.as_bytes())?;
            stream.write_all(bytes)?;
            Ok(false)
        }
        Reply::Raw(bytes) => {
            stream.write_all(bytes)?;
            Ok(false)
        }
        Reply::After(wait, then) => {
            let began = std::time::Instant::now();
            while began.elapsed() < *wait && !shared.over.load(Ordering::SeqCst) {
                std::thread::sleep(LOOK);
            }
            answer(stream, then, shared)
        }
        Reply::Answer { status, headers, body } => {
            let mut text = format!("HTTP/1.1 {status} Status\r\n");
            for (name, value) in headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            if *status != 204 {
                text.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            let bytes = [text.as_bytes(), b"\r\n", body].concat();
            stream.write_all(&bytes)?;
            Ok(true)
        }
    }
}

/// The next request; none where the connection has ended.
fn read(reader: &mut BufReader<impl Read>) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers: Vec<(String, String)> = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let mut asked = Asked { method, target, headers, body: Vec::new() };
    if asked.header("transfer-encoding").is_some() {
        asked.body = chunks(reader)?;
    } else if let Some(length) = asked.header("content-length").and_then(|text| text.parse().ok()) {
        reader.take(length).read_to_end(&mut asked.body)?;
        if (asked.body.len() as u64) < length {
            return Ok(None);
        }
    }
    Ok(Some(asked))
}

fn chunks(reader: &mut BufReader<impl Read>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
        reader.take(length).read_to_end(&mut body)?;
        reader.read_line(&mut String::new())?;
        if length == 0 {
            return Ok(body);
        }
    }
}
