//! A mail server for tests: it takes what it is given and keeps it. It speaks no TLS.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
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
}

/// A server. It ends with the test's process.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl MailServer {
    /// A server on a free port of this machine.
    ///
    /// # Panics
    /// Where there is none.
    #[allow(clippy::expect_used)]
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("an address for a test's mail server");
        let address = listener.local_addr().expect("its address");
        let mails: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let kept = mails.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || {
                    if let Ok(Some(mail)) = converse(&stream) {
                        kept.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
                    }
                });
            }
        });
        Self { address, mails }
    }

    /// Where it is, as `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was given so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One conversation; the mail where one was given.
fn converse(mut stream: &TcpStream) -> std::io::Result<Option<Mail>> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut mail = Mail::default();
    let mut given = false;
    stream.write_all(b"220 test\r\n")?;
    while let Some(line) = lines.next().transpose()? {
        let word = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let between = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let reply = match word.as_str() {
            "EHLO" => "250-test\r\n250 AUTH PLAIN LOGIN\r\n",
            "AUTH" => {
                mail.login.clone_from(&line);
                "235 welcome\r\n"
            }
            "MAIL" => {
                mail.from = between();
                "250 fine\r\n"
            }
            "RCPT" => {
                mail.to.push(between());
                "250 fine\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                for line in lines.by_ref() {
                    match line? {
                        end if end == "." => break,
                        line => mail.lines.push(line),
                    }
                }
                given = true;
                "250 taken\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                break;
            }
            _ => "500 what\r\n",
        };
        stream.write_all(reply.as_bytes())?;
    }
    Ok(given.then_some(mail))
}
