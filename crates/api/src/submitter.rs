//! Submissions, gathered: what is asked for while a transaction is under way goes into the next one, all together.
//!
//! Invariant: a submission is answered when its transaction is on disk, or has failed; each for itself. Whoever stops waiting
//! has submitted all the same. On a crash those that were not answered are in the ledger or not; their keys tell which.

use handover_core::{Error, ErrorKind, Result};
use handover_ledger::{Ledger, NewJob, Submitted};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// So many at most go into one transaction.
const GROUP_MAX: usize = 256;
/// A group of so many says that their clients will ask again: they are waited for, where the ledger does not gather by itself, so
/// that one transaction serves them all.
const SIBLINGS: usize = 4;
/// So many wait at most; more are held back, and with them their clients.
const WAITING: usize = 4_096;

type Waiting = (NewJob, oneshot::Sender<Result<Submitted>>);

/// Takes submissions.
#[derive(Clone)]
pub(crate) struct Submitter(mpsc::Sender<Waiting>);

impl Submitter {
    /// Starts the task that makes transactions of them; it ends with the last clone.
    pub(crate) fn start(ledger: Arc<dyn Ledger>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(gather(ledger, receiver));
        Self(sender)
    }

    /// Submits one.
    ///
    /// # Errors
    /// Those of the ledger.
    pub(crate) async fn submit(&self, job: NewJob) -> Result<Submitted> {
        let (answer, answered) = oneshot::channel();
        let gone = || Error::internal("the task that submits jobs has ended");
        self.0.send((job, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn gather(ledger: Arc<dyn Ledger>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::new();
    // One transaction at a time: two at once would each cost what one does, and be half as large.
    while waiting.recv_many(&mut group, GROUP_MAX).await > 0 {
        let count = group.len();
        submit_all(ledger.as_ref(), std::mem::take(&mut group)).await;
        let pause = ledger.between_submissions();
        if count >= SIBLINGS && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn submit_all(ledger: &dyn Ledger, group: Vec<Waiting>) {
    let (jobs, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
    match ledger.submit(jobs.clone()).await {
        Ok(submitted) => {
            for (answer, one) in answers.into_iter().zip(submitted) {
                let _ = answer.send(Ok(one));
            }
        }
        // One of them may be the cause: each by itself then. After any other failure nobody knows whether they are in, and each is
        // told so: once more they would be there twice.
        Err(error) if answers.len() > 1 && matches!(error.kind(), ErrorKind::BadData | ErrorKind::Config) => {
            for (job, answer) in jobs.into_iter().zip(answers) {
                let one = ledger.submit(vec![job]).await;
                let missing = || Error::internal("a submission got no answer");
                let _ = answer.send(one.and_then(|mut all| all.pop().ok_or_else(missing)));
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(Error::new(error.kind(), error.to_string())));
            }
        }
    }
}
