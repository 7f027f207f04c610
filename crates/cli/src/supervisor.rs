//! What a supervisor such as systemd is told of `handover run`, by the protocol of sd_notify(3): that it is ready, that it is
//! still alive, and that it stops.
//!
//! Without `NOTIFY_SOCKET` nothing is said. What cannot be said is left: a supervisor that does not listen is no reason to stop
//! working. The programs that are run do not get these variables.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

/// Whoever supervises this process.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names, if any.
    pub(crate) fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let for_us = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC").filter(|_| for_us).and_then(|text| text.parse().ok());
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&PathBuf::from(name)));
        Self { socket, watchdog: watchdog.filter(|usec| *usec > 0).map(Duration::from_micros) }
    }

    /// It works, and listens where it is to listen.
    pub(crate) fn ready(&self) {
        self.say("READY=1");
    }

    /// It begins to stop.
    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Says again and again that it is alive, as long as the async tasks go on; for ever where nobody asks for it.
    pub(crate) async fn keep_alive(&self) -> std::convert::Infallible {
        let Some(watchdog) = self.watchdog.filter(|_| self.socket.is_some()) else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(watchdog / 3);
        loop {
            ticks.tick().await;
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, what: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(what.as_bytes());
        }
    }
}

/// A socket to this address: a path, or an abstract name behind an `@`.
fn connect(address: &std::path::Path) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    // A supervisor that does not read must not stop what it supervises.
    socket.set_nonblocking(true).ok()?;
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::ffi::OsStrExt as _;
        if let Some(name) = address.as_os_str().as_bytes().strip_prefix(b"@") {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name).ok()?;
            return socket.connect_addr(&address).ok().map(|()| socket);
        }
    }
    socket.connect(address).ok().map(|()| socket)
}
