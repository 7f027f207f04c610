//! The server's clock, as it is known here: our own, and how far the server's is ahead of it. The ledger's functions read
//! the server's own; this is for who reckons with their times in this process, such as how long to sleep.

use super::error::{Attempt, sql};
use super::pool::Connections;
use super::row::time;
use handover_core::Clock;
use jiff::{SignedDuration, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};

/// Clocks that differ by less are the same.
const SAME_MICROSECONDS: i64 = 250_000;

/// Ours, set by the server's.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    ahead_microseconds: AtomicI64,
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_micros(self.ahead_microseconds.load(Ordering::Relaxed));
        let now = Timestamp::now();
        now.checked_add(ahead).unwrap_or(now)
    }
}

impl ServerClock {
    /// Asks the server for its time.
    pub(super) async fn set(&self, connections: &Connections) -> Attempt<()> {
        let connection = connections.get().await?;
        let before = Timestamp::now();
        let rows = connection.rows("SELECT clock_timestamp()", &[]).await.map_err(sql("read its clock"))?;
        let Some(row) = rows.first() else { return Ok(()) };
        let (server, after) = (time(row, 0)?, Timestamp::now());
        let here = i64::midpoint(before.as_microsecond(), after.as_microsecond());
        let ahead = server.as_microsecond().saturating_sub(here);
        let ahead = if ahead.abs() < SAME_MICROSECONDS { 0 } else { ahead };
        self.ahead_microseconds.store(ahead, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_as_far_ahead_as_the_server() {
        let clock = ServerClock::default();
        clock.ahead_microseconds.store(3_600_000_000, Ordering::Relaxed);
        let ahead = clock.now().duration_since(Timestamp::now());
        assert!((3_590..=3_600).contains(&ahead.as_secs()), "{ahead:?}");
    }
}
