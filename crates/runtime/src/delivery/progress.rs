//! Progress: what a job's program says on stderr while it works, line by line into the ledger, for whoever follows the job.
//!
//! Invariants: the program never waits for the ledger; at most [`PROGRESS_LINES_MAX`] lines are held and kept, each cut to
//! [`PROGRESS_LINE_MAX_BYTES`]; what was said is in the ledger before the job ends. What is not there after a crash is said
//! again by the next attempt.

use crate::context::Context;
use crate::program::OnStderrLine;
use handover_core::DeliveryId;
use handover_core::limits::{PROGRESS_LINE_MAX_BYTES, PROGRESS_LINES_MAX};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::warn;

/// So often at most lines are written to the ledger while the program runs.
const EVERY: Duration = Duration::from_millis(200);
/// So many lines at most at once.
const BATCH_MAX: usize = 100;

type Line = (Timestamp, String);

/// The progress of one attempt.
pub(super) struct Progress {
    over: oneshot::Sender<()>,
    keeping: JoinHandle<()>,
}

impl Progress {
    /// Begins to keep what the program says; gives what its lines are told to.
    pub(super) fn begin(ctx: &Arc<Context>, id: DeliveryId) -> (Self, OnStderrLine) {
        let most = usize::try_from(PROGRESS_LINES_MAX).unwrap_or(usize::MAX).min(1 << 16);
        let (lines, told) = mpsc::channel::<Line>(most);
        let (over, is_over) = oneshot::channel();
        let keeping = tokio::spawn(keep(ctx.clone(), id, told, is_over));
        let (clock, mut left) = (ctx.project.clock.clone(), most);
        let on_line = move |line: &str| {
            if left > 0 {
                // There is room for as many as are ever sent.
                let _ = lines.try_send((clock.now(), cut(line).to_owned()));
                left -= 1;
            }
        };
        (Self { over, keeping }, Box::new(on_line))
    }

    /// Waits until what was said is in the ledger. The program has ended, and nobody tells lines any more.
    pub(super) async fn end(self) {
        let _ = self.over.send(());
        // That it broke off is said in the log; nothing hangs on it.
        let _ = self.keeping.await;
    }
}

/// A line as it is kept.
fn cut(line: &str) -> &str {
    let most = line.floor_char_boundary(PROGRESS_LINE_MAX_BYTES);
    &line[..most]
}

async fn keep(
    ctx: Arc<Context>,
    id: DeliveryId,
    mut told: mpsc::Receiver<Line>,
    mut over: oneshot::Receiver<()>,
) {
    let mut ended = false;
    while let Some(first) = told.recv().await {
        let at = Instant::now() + EVERY;
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX {
            match timeout_at(at, told.recv()).await {
                Ok(Some(line)) => batch.push(line),
                Ok(None) | Err(_) => break,
            }
        }
        if let Err(e) = ctx.project.ledger.add_progress(id, batch).await {
            warn!(delivery = id.0, "what the program of delivery {id} says cannot be kept: {e}");
            return;
        }
        if !ended {
            // While the program runs there is no hurry.
            tokio::select! {
                _ = &mut over => ended = true,
                () = sleep_until(at) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_characters() {
        assert_eq!(cut("half done"), "half done");
        let long = "é".repeat(PROGRESS_LINE_MAX_BYTES);
        assert_eq!(cut(&long).len(), PROGRESS_LINE_MAX_BYTES);
        assert_eq!(cut(&format!("a{long}")).len(), PROGRESS_LINE_MAX_BYTES - 1);
    }
}
