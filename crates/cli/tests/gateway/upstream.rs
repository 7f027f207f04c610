//! A service as a plain socket: it reads requests by the letter of RFC 9112, remembers them, and answers as it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Got {
    /// Its first line.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// What is wrong with it: it is ambiguous, or broke off.
    pub(crate) wrong: Option<String>,
}

impl Got {
    /// The values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that is there once; none where it is not there.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name}: {self:#?}");
        all.first().copied()
    }

    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// A service.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Upstream {
    /// One that answers each request by this: it writes, and says whether the connection goes on.
    pub(crate) fn new(answer: impl Fn(&Got, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        Self::raw(move |stream, got| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            while let Some(one) = read(&mut reader, &mut stream) {
                let fine = one.wrong.is_none();
                got.lock().unwrap().push(one.clone());
                if !fine || !answer(&one, &mut stream) {
                    return;
                }
            }
        })
    }

    /// One that answers all with `fine` and its path.
    pub(crate) fn fine() -> Self {
        Self::new(|got, stream| {
            let body = format!("fine {}", got.path());
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).is_ok()
        })
    }

    /// One that does this with each connection.
    pub(crate) fn raw(each: impl Fn(TcpStream, &Mutex<Vec<Got>>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (got, each) = (Arc::<Mutex<Vec<Got>>>::default(), Arc::new(each));
        let all = got.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, all, each) = (stream.unwrap(), all.clone(), each.clone());
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                std::thread::spawn(move || each(stream, &all));
            }
        });
        Self { address, got }
    }

    /// The lines of configuration that declare it as `billing`.
    pub(crate) fn declared(&self) -> String {
        self.declared_with("")
    }

    /// The same, with more.
    pub(crate) fn declared_with(&self, more: &str) -> String {
        format!(
            "apps: {{ billing: {{ url: 'http://{}'{more} }}, up: {{ run: 'tr a-z A-Z' }} }}",
            self.address
        )
    }

    /// What it got so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// The only request that it got.
    #[track_caller]
    pub(crate) fn only(&self) -> Got {
        let got = self.got();
        assert_eq!(got.len(), 1, "{got:#?}");
        got[0].clone()
    }

    /// The last request that it got.
    #[track_caller]
    pub(crate) fn last(&self) -> Got {
        self.got().last().unwrap().clone()
    }
}

/// The next request of a connection, by the letter: what is ambiguous is said to be wrong.
pub(crate) fn read(reader: &mut impl BufRead, stream: &mut TcpStream) -> Option<Got> {
    let mut got = Got { line: line(reader)?, ..Got::default() };
    if got.line.split(' ').count() != 3 || !got.line.ends_with(" HTTP/1.1") {
        got.wrong = Some("the first line".into());
        return Some(got);
    }
    got.headers = fields(reader, &mut got.wrong)?;
    let (lengths, codings) = (got.all("content-length").len(), got.all("transfer-encoding").join(","));
    let length = got.all("content-length").first().map(|text| text.to_string());
    if lengths + usize::from(!codings.is_empty()) > 1 || got.all("host").len() != 1 {
        got.wrong = Some("two lengths, or not one host".into());
        return Some(got);
    }
    if got.one("expect").is_some() {
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let whole = match (length, codings.as_str()) {
        (None, "") => Some(()),
        (Some(length), _) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let mut body = vec![0; length.parse().unwrap()];
            let whole = reader.read_exact(&mut body).ok();
            got.body = body;
            whole
        }
        (None, "chunked") => chunks(reader, &mut got),
        _ => None,
    };
    if whole.is_none() {
        got.wrong = Some("the body is not whole".into());
    }
    Some(got)
}

fn chunks(reader: &mut impl BufRead, got: &mut Got) -> Option<()> {
    loop {
        let size = line(reader)?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(&size, 16).ok()?;
        if size == 0 {
            got.trailers = fields(reader, &mut got.wrong)?;
            return Some(());
        }
        let mut piece = vec![0; size + 2];
        reader.read_exact(&mut piece).ok()?;
        if !piece.ends_with(b"\r\n") {
            return None;
        }
        got.body.extend(&piece[..size]);
    }
}

/// A line without its end; none where there is none that ends by the letter.
fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    reader.read_until(b'\n', &mut bytes).ok()?;
    let text = bytes.strip_suffix(b"\r\n")?;
    (!text.contains(&b'\r')).then(|| String::from_utf8_lossy(text).into_owned())
}

fn fields(reader: &mut impl BufRead, wrong: &mut Option<String>) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            return Some(fields);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        if name.is_empty() || name.contains([' ', '\t']) || value.contains('\0') {
            *wrong = Some(format!("a header: {line:?}"));
        }
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}
