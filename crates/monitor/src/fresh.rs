//! A value that is made anew when it is asked for and has grown old: one making serves all who ask meanwhile.

use handover_core::Result;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Such a value.
pub(crate) struct Fresh<T> {
    known: Mutex<Known<T>>,
    /// Whoever has it makes the value.
    making: tokio::sync::Mutex<()>,
}

/// A value, and when its making began.
type Known<T> = Option<(Instant, Arc<T>)>;

impl<T> Default for Fresh<T> {
    fn default() -> Self {
        Self { known: Mutex::new(None), making: tokio::sync::Mutex::default() }
    }
}

impl<T> Fresh<T> {
    /// The value as it was made last, however long ago; none before that.
    pub(crate) fn last(&self) -> Option<(Instant, Arc<T>)> {
        self.known().clone()
    }

    /// The value, no older than this. Where it cannot be made, whoever asks next tries again.
    pub(crate) async fn of(&self, age: Duration, make: impl AsyncFnOnce() -> Result<T>) -> Result<Arc<T>> {
        let fresh = || self.last().filter(|(made, _)| made.elapsed() < age).map(|(_, value)| value);
        if let Some(value) = fresh() {
            return Ok(value);
        }
        let _making = self.making.lock().await;
        if let Some(value) = fresh() {
            return Ok(value);
        }
        let made = Instant::now();
        let value = Arc::new(make().await?);
        *self.known() = Some((made, value.clone()));
        Ok(value)
    }

    fn known(&self) -> MutexGuard<'_, Known<T>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handover_core::Error;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn one_making_serves_all_who_ask_meanwhile() {
        let (value, makings) = (Fresh::default(), std::sync::atomic::AtomicUsize::new(0));
        let ask = || {
            value.of(LONG, async || {
                tokio::task::yield_now().await;
                Ok(makings.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
            })
        };
        let (one, other) = tokio::join!(ask(), ask());
        assert_eq!((*one.unwrap(), *other.unwrap()), (0, 0));
    }

    #[tokio::test]
    async fn what_was_made_last_is_told_while_another_is_made_and_when_that_fails() {
        let value = Fresh::default();
        assert!(value.last().is_none());
        value.of(LONG, async || Ok(1)).await.unwrap();
        let next = value.of(Duration::ZERO, async || {
            assert_eq!(value.last().map(|(_, one)| *one), Some(1));
            Err(Error::internal("it cannot be made"))
        });
        assert!(next.await.is_err());
        assert_eq!(value.last().map(|(_, one)| *one), Some(1));
        assert_eq!(*value.of(Duration::ZERO, async || Ok(2)).await.unwrap(), 2);
    }
}
