//! Places: so many of something at the same time, in all and for one caller, so that nobody takes them all.

use crate::fault::Fault;
use foldhash::fast::RandomState;
use http::StatusCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Places of one sort.
#[derive(Clone)]
pub(crate) struct Places(Arc<Inner>);

struct Inner {
    what: &'static str,
    max: usize,
    caller_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_caller: HashMap<Arc<str>, usize, RandomState>,
}

/// A place that is taken as long as this lives.
pub(crate) struct Place {
    places: Places,
    caller: Arc<str>,
}

impl Places {
    /// So many places for `what`; one caller gets three of four.
    pub(crate) fn new(what: &'static str, all: usize) -> Self {
        let caller_max = all.saturating_mul(3).div_ceil(4).max(1);
        Self(Arc::new(Inner { what, max: all, caller_max, taken: Mutex::default() }))
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.locked().all
    }

    /// Takes one for a caller.
    ///
    /// # Errors
    /// 503 where all are taken, 429 where this caller has its share of them.
    pub(crate) fn take(&self, caller: &str) -> Result<Place, Fault> {
        let Inner { what, max, caller_max, .. } = &*self.0;
        let mut taken = self.locked();
        if taken.all >= *max {
            let message = format!("as many {what} are under way as this server takes at a time");
            return Err(Fault::unavailable("OVERLOADED", message, Duration::from_secs(1)));
        }
        let known = taken.by_caller.get_key_value(caller).map(|(known, _)| known.clone());
        let caller = known.unwrap_or_else(|| caller.into());
        let has = taken.by_caller.entry(caller.clone()).or_default();
        if *has >= *caller_max {
            let message =
                format!("{has} {what} of this caller are under way, and more are not taken at a time");
            let fault = Fault::new(StatusCode::TOO_MANY_REQUESTS, "QUOTA_EXCEEDED", message);
            return Err(fault.retry_after(Duration::from_secs(1)));
        }
        *has += 1;
        taken.all += 1;
        drop(taken);
        Ok(Place { places: self.clone(), caller })
    }

    fn locked(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.locked();
        taken.all -= 1;
        if let Some(has) = taken.by_caller.get_mut(&self.caller) {
            *has -= 1;
            if *has == 0 {
                taken.by_caller.remove(&self.caller);
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
        assert!(places.take("ann").is_ok() && places.locked().by_caller.len() == 1);
    }
}
