//! Places: so many of something at the same time, in all and for one caller, so that nobody takes them all.

use crate::fault::Fault;
use foldhash::fast::RandomState;
use http::StatusCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places of one sort.
#[derive(Clone)]
pub(crate) struct Places(Arc<Inner>);

struct Inner {
    what: &'static str,
    all: Arc<Semaphore>,
    caller_max: usize,
    taken: Mutex<HashMap<Arc<str>, usize, RandomState>>,
}

/// A place that is taken as long as this lives.
pub(crate) struct Place {
    places: Places,
    caller: Arc<str>,
    _one: OwnedSemaphorePermit,
}

impl Places {
    /// So many places for `what`; one caller gets three of four.
    pub(crate) fn new(what: &'static str, all: usize) -> Self {
        let caller_max = all.saturating_mul(3).div_ceil(4).max(1);
        let all = Arc::new(Semaphore::new(all));
        Self(Arc::new(Inner { what, all, caller_max, taken: Mutex::default() }))
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Takes one for a caller.
    ///
    /// # Errors
    /// 503 where all are taken, 429 where this caller has its share of them.
    pub(crate) fn take(&self, caller: &str) -> Result<Place, Fault> {
        let Inner { what, all, caller_max, taken } = &*self.0;
        let full = || {
            let message = format!("as many {what} are under way as this server takes at a time");
            Fault::unavailable("OVERLOADED", message, Duration::from_secs(1))
        };
        let one = all.clone().try_acquire_owned().map_err(|_| full())?;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = taken.get_key_value(caller).map_or_else(|| caller.into(), |(known, _)| known.clone());
        let has = taken.entry(caller.clone()).or_default();
        if *has >= *caller_max {
            let message =
                format!("{has} {what} of this caller are under way, and more are not taken at a time");
            let fault = Fault::new(StatusCode::TOO_MANY_REQUESTS, "QUOTA_EXCEEDED", message);
            return Err(fault.retry_after(Duration::from_secs(1)));
        }
        *has += 1;
        Ok(Place { places: self.clone(), caller, _one: one })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(has) = taken.get_mut(&self.caller) {
            *has -= 1;
            if *has == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_and_what_is_given_back_is_there_again() {
        let places = Places::new("things", 4);
        let ann: Vec<_> = (0..3).map(|_| places.take("ann").unwrap()).collect();
        assert_eq!(places.take("ann").err().map(|fault| fault.status().as_u16()), Some(429));
        let _bob = places.take("bob").unwrap();
        assert_eq!(places.take("bob").err().map(|fault| fault.status().as_u16()), Some(503));
        drop(ann);
        assert!(places.take("ann").is_ok() && places.0.taken.lock().unwrap().len() == 1);
    }
}
