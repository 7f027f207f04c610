//! Retries: when what is delayed is due. Nothing is moved for that: a delayed delivery is `pending`, with a later `run_at`, and may be
//! claimed from then on. Whoever has nothing to do sleeps until then, so a crash leaves nothing undone.

use crate::context::Context;
use std::time::Duration;

/// How long to wait before another look where the ledger does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// How long until something that waits becomes due; a minute at most, in case the clock jumps.
pub(crate) async fn until_due(ctx: &Context) -> Duration {
    let most = Duration::from_secs(60);
    match ctx.project.ledger.next_due().await {
        Ok(Some(due)) => {
            let wait = due.duration_since(ctx.project.clock.now());
            Duration::try_from(wait).unwrap_or_default().clamp(Duration::from_millis(5), most)
        }
        Ok(None) => most,
        Err(_) => AGAIN,
    }
}
