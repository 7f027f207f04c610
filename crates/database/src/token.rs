//! Answers to a claim by its token: what a script has in hand.
//!
//! Invariant: a token that is stale, foreign or malformed changes nothing, and the answer says so.

use handover_core::{DeliveryId, Error, ErrorKind, LeaseToken, Result};
use handover_ledger::{Answer, Answered, Answers, Held, Ledger, Outcome};
use std::time::Duration;

/// A token as it is written on a command line.
///
/// # Errors
/// [`ErrorKind::Stale`] where it is none.
pub fn read(text: &str) -> Result<LeaseToken> {
    let text = text.trim();
    if text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(LeaseToken(text.to_owned()));
    }
    let shown: String = text.chars().take(80).collect();
    Err(Error::new(ErrorKind::Stale, format!("{shown:?} is no token: nothing was changed"))
        .hint("a token has 32 hexadecimal digits; `handover pull` gives one, as \"token\" in each line"))
}

/// What the token holds: all, or these of it.
///
/// # Errors
/// [`ErrorKind::Stale`] where it holds nothing, or not one of these: nothing is to be changed then.
pub async fn holds(ledger: &dyn Ledger, token: &LeaseToken, ids: &[DeliveryId]) -> Result<Vec<Held>> {
    let held = ledger.held_by(token).await?;
    if held.is_empty() {
        return Err(stale("the token holds nothing (any more): nothing was changed".to_owned()));
    }
    if let Some(foreign) = ids.iter().find(|id| held.iter().all(|held| held.id != **id)) {
        return Err(stale(format!(
            "the token does not hold delivery {foreign} (any more): nothing was changed"
        )));
    }
    Ok(held.into_iter().filter(|held| ids.is_empty() || ids.contains(&held.id)).collect())
}

fn stale(message: String) -> Error {
    Error::new(ErrorKind::Stale, message)
        .hint("it was answered, cancelled or given to another when its lease ended: `handover why ID` says what became of it")
}

/// Answers what the token holds, or these of it, all alike: all count or none. Returns how each stands now.
///
/// # Errors
/// [`ErrorKind::Stale`] where the token does not hold all of them; others of the ledger.
pub async fn answer(
    ledger: &dyn Ledger,
    token: &LeaseToken,
    ids: &[DeliveryId],
    outcome: Outcome,
) -> Result<Vec<(DeliveryId, Answered)>> {
    let held = holds(ledger, token, ids).await?;
    let Some(queue) = held.first().map(|held| held.queue) else { return Ok(Vec::new()) };
    let answers = held.iter().map(|held| Answer { id: held.id, outcome: outcome.clone() }).collect();
    let answered = ledger.answer(Answers { queue, token: token.clone(), answers, whole: true }).await?;
    Ok(held.into_iter().map(|held| held.id).zip(answered).collect())
}

/// Lengthens the lease of all that the token holds, from now. Returns how many.
///
/// # Errors
/// [`ErrorKind::Stale`] where it holds nothing, or lost one meanwhile.
pub async fn extend(ledger: &dyn Ledger, token: &LeaseToken, lease: Duration) -> Result<usize> {
    let held = holds(ledger, token, &[]).await?;
    let count = held.len();
    let lost = ledger.renew(held, lease).await?;
    match lost.first() {
        None => Ok(count),
        Some(lost) => Err(stale(format!("the token does not hold delivery {} any more", lost.id))),
    }
}
