//! Telling by mail: one SMTP conversation (RFC 5321), by TLS where the server can (RFC 3207, 8314), with AUTH PLAIN or LOGIN
//! (RFC 4954). A message is plain text in UTF-8, as base64, so that no line is too long and none begins with a dot.
//!
//! It is our own, because that is all that is needed: a mail library brings some thirty crates, the tables of Unicode among them.
//!
//! Invariants: a password goes over TLS alone, or to this very machine, and is in no error, whatever the server says. Where TLS is a must
//! (there is a password, or a `tls:`) nothing is said to a server that offers none: who stands between cannot take it away.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_core::{Error, ErrorKind, Result};
use handover_service::TlsFiles;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
use std::sync::Arc;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// A line of a server is no longer than this.
const LINE_MAX: u64 = 4096;
/// An answer has no more lines than this.
const LINES_MAX: usize = 100;

/// A mail server as it is named in `smtp:`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SmtpServer {
    host: String,
    port: u16,
    /// TLS from the first byte on (smtps).
    tls: bool,
    login: Option<(String, String)>,
}

impl SmtpServer {
    /// Reads `smtp://user:password@host:587` or `smtps://…`. What is wrong is said without showing it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("this is no address of a mail server")?;
        let tls = match scheme {
            "smtp" => false,
            "smtps" => true,
            _ => return Err("a mail server's address begins with smtp:// or smtps://"),
        };
        let rest = rest.trim_end_matches('/');
        let (login, place) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((login, place)) => {
                let (user, password) = login.split_once(':').ok_or("the user has no password")?;
                (Some((decoded(user)?, decoded(password)?)), place)
            }
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| "its port is no number from 1 to 65535")?)
            }
            _ => (place, if tls { 465 } else { 587 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', '?', '#', ' ']) || port == 0 {
            return Err("this names no host");
        }
        Ok(Self { host: host.to_owned(), port, tls, login })
    }

    fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }
}

/// What is written with `%40` and its like.
fn decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push(u8::try_from(high * 16 + low).unwrap_or_default()),
            _ => return Err("a `%` in it must be followed by two hexadecimal digits"),
        }
    }
    String::from_utf8(bytes).map_err(|_| "it is no text")
}

/// A mail.
pub(super) struct Mail<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a [String],
    pub(super) subject: &'a str,
    pub(super) text: &'a str,
    /// The same whenever this very mail is sent again.
    pub(super) id: &'a str,
}

/// Sends it, encrypted by `tls` where that is given.
pub(super) async fn send(server: &SmtpServer, tls: Option<&TlsFiles>, mail: &Mail<'_>) -> Result<()> {
    talk(server, tls, mail).await.map_err(|error| error.on(&server.host))
}

fn io(doing: &str) -> impl Fn(std::io::Error) -> Error {
    let doing = doing.to_owned();
    move |e| match e.kind() {
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => broke_off(&doing),
        _ => Error::new(ErrorKind::Io, format!("the mail server does not answer ({doing}): {e}")),
    }
}

fn broke_off(doing: &str) -> Error {
    Error::new(ErrorKind::Io, format!("the mail server broke off at {doing}"))
}

async fn talk(server: &SmtpServer, tls: Option<&TlsFiles>, mail: &Mail<'_>) -> Result<()> {
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(io("connecting"))?;
    if server.tls {
        let mut line = Line::new(encrypted(server, tls, stream).await?);
        line.answer("greeting", 220).await?;
        let can = line.hello().await?;
        return converse(line, server, mail, &can).await;
    }
    let mut line = Line::new(stream);
    line.answer("greeting", 220).await?;
    let can = line.hello().await?;
    if !can.iter().any(|word| word == "STARTTLS") {
        if tls.is_some() || (server.login.is_some() && !server.is_here()) {
            return Err(not_private(tls.is_some()));
        }
        return converse(line, server, mail, &can).await;
    }
    line.say("STARTTLS", 220).await?;
    // What came before is not believed any more: a server that said more than it should is refused.
    let stream = line.into_quiet()?;
    let mut line = Line::new(encrypted(server, tls, stream).await?);
    let can = line.hello().await?;
    converse(line, server, mail, &can).await
}

fn not_private(asked_for: bool) -> Error {
    let why = if asked_for { "`tls` asks for it" } else { "the password is not sent without it" };
    Error::config(format!("the mail server offers no TLS (STARTTLS), and {why}"))
        .hint("use smtps://, or a server that offers STARTTLS; one that did before may be cut off from it")
}

async fn encrypted(
    server: &SmtpServer,
    tls: Option<&TlsFiles>,
    stream: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let files = tls.cloned().unwrap_or_default();
    let name = match files.name()? {
        Some(name) => name,
        None => ServerName::try_from(server.host.clone())
            .map_err(|_| Error::config("the mail server's host is no name that a certificate could have"))?,
    };
    let config = tokio::task::spawn_blocking(move || files.client()).await;
    let config = config.map_err(|e| Error::internal("a task broke off").because(e))??;
    let failed = |e: std::io::Error| super::distrusted(&e).unwrap_or_else(|| io("TLS")(e));
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(failed)
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut line: Line<S>,
    server: &SmtpServer,
    mail: &Mail<'_>,
    can: &[String],
) -> Result<()> {
    if let Some((user, password)) = &server.login {
        line.log_in(can, user, password).await?;
    }
    line.say(&format!("MAIL FROM:<{}>", mail.from), 250).await?;
    for to in mail.to {
        line.say(&format!("RCPT TO:<{to}>"), 250).await?;
    }
    line.say("DATA", 354).await?;
    line.say(&format!("{}\r\n.", message(mail)), 250).await?;
    // It has taken the mail: how it says good-bye changes nothing.
    let _ = line.say("QUIT", 221).await;
    Ok(())
}

/// The message: headers and text.
fn message(mail: &Mail<'_>) -> String {
    let mut text = String::new();
    let date = jiff::fmt::rfc2822::to_string(&Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC));
    let host = mail.from.split_once('@').map_or("handover", |(_, host)| host);
    let _ = write!(text, "From: Handover <{}>\r\nTo: {}\r\n", mail.from, mail.to.join(",\r\n "));
    // Encoded words are no longer than 75 characters: 45 bytes are 60 of base64.
    let subject: Vec<String> =
        pieces(mail.subject, 42).map(|piece| format!("=?UTF-8?B?{}?=", STANDARD.encode(piece))).collect();
    let _ = write!(text, "Subject: {}\r\nDate: {}\r\n", subject.join("\r\n "), date.unwrap_or_default());
    let _ = write!(text, "Message-ID: <{}@{host}>\r\nAuto-Submitted: auto-generated\r\n", mail.id);
    text.push_str("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n");
    text.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
    let body = STANDARD.encode(mail.text.replace('\n', "\r\n"));
    let lines: Vec<&str> = pieces(&body, 76).collect();
    text.push_str(&lines.join("\r\n"));
    text
}

/// A text in pieces of so many bytes at most, cut between characters.
fn pieces(text: &str, most: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(most));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// One side of the conversation.
struct Line<S> {
    stream: BufReader<S>,
    /// What is in no error, though the server says it.
    unsaid: Vec<String>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream), unsaid: Vec::new() }
    }

    /// The stream, where nothing was said ahead.
    fn into_quiet(self) -> Result<S> {
        match self.stream.buffer().is_empty() {
            true => Ok(self.stream.into_inner()),
            false => Err(Error::new(ErrorKind::Io, "the mail server said more than it was asked before TLS")),
        }
    }

    /// What the server said, where it repeats what it should not.
    fn without_secrets(&self, said: String) -> String {
        let unsaid = self.unsaid.iter().filter(|secret| !secret.is_empty());
        unsaid.fold(said, |said, secret| said.replace(secret.as_str(), "…"))
    }

    /// Says hello; what the server can, in capitals.
    async fn hello(&mut self) -> Result<Vec<String>> {
        let answer = self.say("EHLO handover.localdomain", 250).await?;
        Ok(answer.iter().map(|line| line.trim().to_uppercase()).collect())
    }

    async fn log_in(&mut self, can: &[String], user: &str, password: &str) -> Result<()> {
        let ways = can.iter().find_map(|line| line.strip_prefix("AUTH ")).unwrap_or("PLAIN").to_owned();
        let ways: Vec<&str> = ways.split(' ').collect();
        let both = STANDARD.encode(format!("\0{user}\0{password}"));
        self.unsaid = vec![both.clone(), STANDARD.encode(password), password.to_owned()];
        if !ways.contains(&"PLAIN") && ways.contains(&"LOGIN") {
            self.write("AUTH LOGIN").await?;
            self.answer("AUTH", 334).await?;
            self.write(&STANDARD.encode(user)).await?;
            self.answer("AUTH", 334).await?;
            self.write(&STANDARD.encode(password)).await?;
        } else {
            self.write(&format!("AUTH PLAIN {both}")).await?;
        }
        self.answer("AUTH", 235).await.map(|_| ())
    }

    /// Says a line and reads the answer, which must have this code.
    async fn say(&mut self, text: &str, expected: u16) -> Result<Vec<String>> {
        self.write(text).await?;
        // Of a message nothing is shown.
        let word: String = text.split([' ', ':', '\r']).next().unwrap_or_default().chars().take(10).collect();
        self.answer(if expected == 250 && text.ends_with("\r\n.") { "the message" } else { &word }, expected)
            .await
    }

    async fn write(&mut self, text: &str) -> Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{text}\r\n").as_bytes()).await.map_err(io("writing"))?;
        stream.flush().await.map_err(io("writing"))
    }

    async fn answer(&mut self, to: &str, expected: u16) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut bytes = Vec::new();
            let mut limited = (&mut self.stream).take(LINE_MAX);
            limited.read_until(b'\n', &mut bytes).await.map_err(io(to))?;
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_end();
            let code: Option<u16> = text.get(..3).and_then(|code| code.parse().ok());
            let Some(code) = code.filter(|_| lines.len() < LINES_MAX) else {
                return Err(broke_off(to));
            };
            lines.push(text.get(4..).unwrap_or_default().to_owned());
            if text.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            if code == expected || (to == "RCPT" && code == 251) {
                return Ok(lines);
            }
            let said = super::words::line(&self.without_secrets(lines.join(" ")));
            return Err(Error::new(
                ErrorKind::Io,
                format!("the mail server answered {to} with {code}: {said}"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_nothing_of_it_is_shown() {
        let full = SmtpServer::parse("smtp://ops%40example.com:a%3Ab@mail.example.com:2525").ok();
        let login = Some(("ops@example.com".to_owned(), "a:b".to_owned()));
        let expected = SmtpServer { host: "mail.example.com".into(), port: 2525, tls: false, login };
        assert!(full == Some(expected));
        let plain = SmtpServer::parse("smtps://[::1]").ok();
        assert!(plain == Some(SmtpServer { host: "::1".into(), port: 465, tls: true, login: None }));
        for wrong in [
            "mail",
            "http://mail",
            "smtp://",
            "smtp://a@mail",
            "smtp://a:%4@mail",
            "smtp://mail:x",
            "smtp://m/x",
        ] {
            let Err(why) = SmtpServer::parse(wrong) else { panic!("{wrong} was taken") };
            assert!(!why.contains("mail:x"), "{why}");
        }
    }

    #[test]
    fn a_message_keeps_to_its_lines_whatever_it_says() {
        let (subject, text) = ("⚠ ".repeat(80), "é.\n.\n\r\nFrom: x\n".repeat(500));
        let to = ["a@b.c".to_owned(), "d@e.f".to_owned()];
        let mail = Mail { from: "h@example.com", to: &to, subject: &subject, text: &text, id: "x.1" };
        let message = message(&mail);
        for line in message.split("\r\n") {
            assert!(line.len() <= 78 && !line.starts_with('.') && line.is_ascii(), "{line}");
        }
        assert!(!message.replace("\r\n", "").contains(['\r', '\n']));
        assert!(
            message.contains("Message-ID: <x.1@example.com>") && message.contains("To: a@b.c,\r\n d@e.f")
        );
    }
}
