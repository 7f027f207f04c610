//! A mail server for tests: it takes what it is given and keeps it, in the clear, by STARTTLS or by TLS from the first byte on; and
//! it may do what a bad one does.

use crate::Authority;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A mail as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mail {
    /// Who it is from.
    pub from: String,
    /// To whom it goes.
    pub to: Vec<String>,
    /// Its lines, headers first.
    pub lines: Vec<String>,
    /// What was said to log in; empty where nobody did.
    pub login: String,
    /// Whether it came by TLS.
    pub encrypted: bool,
}

/// How a server behaves; by default it takes everything, in the clear.
#[derive(Debug, Clone, Default)]
pub struct MailServing {
    tls: Option<Arc<ServerConfig>>,
    /// TLS from the first byte on.
    at_once: bool,
    cuts: Option<(&'static str, usize)>,
    says: Vec<(&'static str, String)>,
}

impl MailServing {
    /// It offers STARTTLS, and AUTH only after it, with a certificate of this authority for this name.
    #[must_use]
    pub fn starttls(self, authority: &Authority, name: &str) -> Self {
        let mut tls = authority.serves(name);
        // As careful servers do: who asks for another protocol (a web server's) is not served.
        tls.alpn_protocols = vec![b"smtp".to_vec()];
        Self { tls: Some(Arc::new(tls)), ..self }
    }

    /// It speaks TLS from the first byte on.
    #[must_use]
    pub fn smtps(self, authority: &Authority, name: &str) -> Self {
        Self { at_once: true, ..self.starttls(authority, name) }
    }

    /// In its first so many conversations it closes the connection in place of an answer to this: `CONNECT`, `EHLO`, `STARTTLS`, `TLS`
    /// (after it has agreed to it), `AUTH`, `MAIL`, `RCPT`, `DATA`, or `.`, the end of a mail, which it keeps.
    #[must_use]
    pub fn cuts_at(self, word: &'static str, conversations: usize) -> Self {
        Self { cuts: Some((word, conversations)), ..self }
    }

    /// It answers this word with these lines.
    #[must_use]
    pub fn says(mut self, word: &'static str, answer: impl Into<String>) -> Self {
        self.says.push((word, answer.into()));
        self
    }

    /// Starts it on a free port of this machine.
    ///
    /// # Panics
    /// Where there is none.
    #[allow(clippy::expect_used)]
    pub fn start(self) -> MailServer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("an address for a test's mail server");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared { serving: self, ..Shared::default() });
        let server = MailServer { address, shared: shared.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let _ = serve(stream, &shared);
                });
            }
        });
        server
    }
}

/// A server. It ends with the test's process.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    serving: MailServing,
    conversations: AtomicUsize,
    mails: Mutex<Vec<Mail>>,
    heard: Mutex<Vec<(bool, String)>>,
}

impl MailServer {
    /// One that takes everything, in the clear.
    pub fn start() -> Self {
        MailServing::default().start()
    }

    /// Where it is, as `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was given so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The commands that it heard so far, each with whether it came by TLS.
    pub fn heard(&self) -> Vec<(bool, String)> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were made to it.
    pub fn conversations(&self) -> usize {
        self.shared.conversations.load(Ordering::SeqCst)
    }
}

/// One connection.
fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let nth = shared.conversations.fetch_add(1, Ordering::SeqCst);
    let secure = |stream| {
        let tls = shared.serving.tls.clone().map(ServerConnection::new);
        tls.and_then(Result::ok).map(|tls| StreamOwned::new(tls, stream))
    };
    let talk = Talk { shared, nth, encrypted: false };
    if talk.cut("CONNECT") {
        return Ok(());
    }
    if shared.serving.at_once {
        let Some(stream) = secure(stream) else { return Ok(()) };
        return Talk { encrypted: true, ..talk }.converse(stream, true).map(drop);
    }
    let Some(stream) = talk.converse(stream, true)? else { return Ok(()) };
    if talk.cut("TLS") {
        return Ok(());
    }
    let Some(stream) = secure(stream) else { return Ok(()) };
    Talk { encrypted: true, ..talk }.converse(stream, false).map(drop)
}

#[derive(Clone, Copy)]
struct Talk<'a> {
    shared: &'a Shared,
    nth: usize,
    encrypted: bool,
}

impl Talk<'_> {
    fn cut(&self, word: &str) -> bool {
        self.shared.serving.cuts.is_some_and(|(at, most)| at == word && self.nth < most)
    }

    /// One conversation; the stream where it is to be encrypted.
    fn converse<S: Read + Write>(&self, stream: S, greets: bool) -> std::io::Result<Option<S>> {
        let mut stream = BufReader::new(stream);
        let mut mail = Mail { encrypted: self.encrypted, ..Mail::default() };
        if greets {
            stream.get_mut().write_all(b"220 test\r\n")?;
        }
        while let Some(line) = line(&mut stream)? {
            let word = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            self.shared
                .heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((self.encrypted, line.clone()));
            if self.cut(&word) {
                return Ok(None);
            }
            let between = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            match word.as_str() {
                "AUTH" if line.ends_with(" LOGIN") => mail.login = asked_twice(&line, &mut stream)?,
                "AUTH" => mail.login.clone_from(&line),
                "MAIL" => mail.from = between(),
                "RCPT" => mail.to.push(between()),
                "DATA" => {
                    stream.get_mut().write_all(b"354 go on\r\n")?;
                    stream.get_mut().flush()?;
                    mail.lines = text(&mut stream)?;
                    let next = Mail { encrypted: self.encrypted, ..Mail::default() };
                    let whole = std::mem::replace(&mut mail, next);
                    self.shared.mails.lock().unwrap_or_else(PoisonError::into_inner).push(whole);
                    if self.cut(".") {
                        return Ok(None);
                    }
                }
                _ => {}
            }
            stream.get_mut().write_all(self.answer(&word).as_bytes())?;
            stream.get_mut().flush()?;
            match word.as_str() {
                "STARTTLS" => return Ok(Some(stream.into_inner())),
                "QUIT" => break,
                _ => {}
            }
        }
        Ok(None)
    }

    fn answer(&self, word: &str) -> String {
        let serving = &self.shared.serving;
        if let Some((_, answer)) = serving.says.iter().find(|(known, _)| *known == word) {
            return answer.clone();
        }
        match word {
            "EHLO" if serving.tls.is_some() && !self.encrypted => "250-test\r\n250 STARTTLS\r\n",
            "EHLO" => "250-test\r\n250 AUTH PLAIN LOGIN\r\n",
            "STARTTLS" => "220 go on\r\n",
            "AUTH" => "235 welcome\r\n",
            "MAIL" | "RCPT" | "DATA" => "250 fine\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "500 what\r\n",
        }
        .to_owned()
    }
}

/// The next line, without its end; none where there is no more.
fn line(stream: &mut BufReader<impl Read>) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let read = stream.read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// What is said to log in by AUTH LOGIN: the user and the password come when they are asked for.
fn asked_twice(said: &str, stream: &mut BufReader<impl Read + Write>) -> std::io::Result<String> {
    let mut login = said.to_owned();
    for _ in 0..2 {
        stream.get_mut().write_all(b"334 go on\r\n")?;
        stream.get_mut().flush()?;
        login.push_str(&format!(" {}", line(stream)?.unwrap_or_default()));
    }
    Ok(login)
}

/// The lines of a mail, to its end.
fn text(stream: &mut BufReader<impl Read>) -> std::io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        match line(stream)? {
            None => return Err(ErrorKind::UnexpectedEof.into()),
            Some(end) if end == "." => return Ok(lines),
            Some(line) => lines.push(line),
        }
    }
}
