//! Housekeeping that this backend needs for itself: the differences of the counts are added up, and our clock is set by the
//! server's. One process does it at a time; which one, the server's locks say. What fails is tried again. All other
//! housekeeping is a duty of the runtime's, on every backend.

use super::clock::ServerClock;
use super::pool::Connections;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often the counts are added up: in between each transaction adds a row or two to them.
const COMPACT_EVERY: Duration = Duration::from_secs(10);

/// Keeps house until the ledger is closed.
pub(super) async fn keep(connections: Arc<Connections>, server: Arc<ServerClock>) {
    let mut ticks = interval(COMPACT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let _ = server.set(&connections).await;
        let Ok(connection) = connections.get().await else { continue };
        let _ = connection.rows("SELECT integration._compact_tally()", &[]).await;
    }
}
