//! Connections to one upstream that are free, bounded in number and in time.

use super::Connection;
use crate::pool::IDLE_MAX;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The connections; those used last are at the end. Each has since when it is known not to be used: that is counted from the next
/// sweep on, so that nobody asks for the time for each request.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<Vec<(Box<Connection>, Option<Instant>)>>);

impl Shelf {
    fn all(&self) -> MutexGuard<'_, Vec<(Box<Connection>, Option<Instant>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is open; those that are not go.
    pub(crate) fn take(&self) -> Option<Box<Connection>> {
        let mut all = self.all();
        while let Some((mut connection, _)) = all.pop() {
            if connection.is_fine() {
                return Some(connection);
            }
        }
        None
    }

    /// Takes one back whose answer has ended.
    pub(crate) fn put(&self, connection: Box<Connection>) {
        let mut all = self.all();
        if all.len() < IDLE_MAX {
            all.push((connection, None));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all().len()
    }

    /// Closes what nobody used for so long since a sweep before, and what is closed.
    pub(crate) fn sweep(&self, now: Instant, idle: Duration) {
        self.all().retain_mut(|(connection, since)| {
            let since = *since.get_or_insert(now);
            now.duration_since(since) < idle && connection.is_fine()
        });
    }
}
