//! A value that is made anew when it is asked for and has grown old: one making serves all who ask meanwhile.

use handover_core::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Such a value.
pub(crate) struct Fresh<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Fresh<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Fresh<T> {
    /// The value as it was made last, however long ago; none before that, and while one is made.
    pub(crate) fn last(&self) -> Option<(Instant, Arc<T>)> {
        self.0.try_lock().ok()?.clone()
    }

    /// The value, no older than this. Where it cannot be made, whoever asks next tries again.
    pub(crate) async fn of(&self, age: Duration, make: impl AsyncFnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut known = self.0.lock().await;
        if let Some((_, value)) = known.as_ref().filter(|(made, _)| made.elapsed() < age) {
            return Ok(value.clone());
        }
        let made = Instant::now();
        let value = Arc::new(make().await?);
        *known = Some((made, value.clone()));
        Ok(value)
    }
}
