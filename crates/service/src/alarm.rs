//! A timer for one wait after another: it is set anew only when it goes off.
//!
//! Most waits end before their time. A timer that is made for each of them is put into the runtime's and taken out again each
//! time, which a request through a gateway would pay for twice; this one stays, and what is set is the end that it looks for.
//!
//! Invariant: it is never later than the end that was set last. There is nothing that a crash could leave.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep};

/// A timer whose end can be set as often as one likes.
#[derive(Debug, Default)]
pub struct Alarm {
    end: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Goes off at this time, and at no other that was set before.
    pub fn set(&mut self, end: Instant) {
        self.end = Some(end);
    }

    /// Ready from its end on. Never, where none was set.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(end) = self.end else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            // It was set for an earlier wait.
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
    }

    /// Until its end.
    pub async fn ended(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_at_the_end_that_was_set_last() {
        let began = Instant::now();
        let second = Duration::from_secs(1);
        let mut alarm = Alarm::default();
        assert!(tokio::time::timeout(second, alarm.ended()).await.is_err(), "nothing was set");
        for (set, waits) in [(4, 4), (2, 2), (6, 6), (6, 6)] {
            let before = Instant::now();
            alarm.set(before + set * second);
            alarm.ended().await;
            assert_eq!(before.elapsed().as_secs(), waits);
        }
        // An earlier wait that ended before its time does not make the next one end early, nor a later one late.
        for (first, then) in [(2, 5), (5, 2)] {
            let before = Instant::now();
            alarm.set(before + first * second);
            assert!(tokio::time::timeout(second, alarm.ended()).await.is_err());
            alarm.set(before + second + then * second);
            alarm.ended().await;
            assert_eq!(before.elapsed().as_secs(), u64::from(1 + then));
        }
        assert!(began.elapsed() > second);
    }
}
