//! Notices: who is told of alerts, and in what words. The ledger makes a notice of what is to be told and keeps it until it was
//! delivered (`handover_ledger::Alerts`); here it is put into words ([`words`]) and delivered: to a command, by HTTP ([`post`]),
//! by mail ([`mail`]).
//!
//! Invariants: no message, error or log shows an address's path, a header, a password or a secret: those are credentials. A
//! notice is small whatever its alerts say: each text is cut, and of many alerts the worst are told.
//!
//! On a crash in the middle of a delivery the notice is delivered again: whoever is told sees the same number.

mod mail;
mod post;
mod words;

pub(crate) use mail::SmtpServer;

use crate::config::{NotifyTarget, NotifyTo};
use crate::context::Process;
use crate::project::Project;
use handover_core::{Error, ErrorKind, Result};
use handover_ledger::Notice;
use std::time::Duration;

/// So long telling one target may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A first failure is tried again after so long, and each after twice as long as before.
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// No longer than this.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);
/// A notice is given up when it was tried so often: three days of hours.
pub(crate) const ATTEMPTS_MAX: u32 = 80;
/// A notice that was taken is another's after so long.
const LEASE: Duration = Duration::from_secs(120);

/// After how long a notice is tried again that was tried so often; none where it is given up.
fn again_after(attempts: u32) -> Option<Duration> {
    let doubled = FIRST_RETRY.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    (attempts < ATTEMPTS_MAX).then_some(doubled.min(LONGEST_RETRY))
}

/// Delivers all notices that are due for the targets of this configuration. Returns how many could not be delivered.
///
/// # Errors
/// Where the ledger cannot be asked. What cannot be delivered is noted there, and is no error.
pub(crate) async fn deliver_due(project: &Project, process: &Process) -> Result<usize> {
    let names: Vec<String> = project.config.targets.iter().map(|target| target.name.clone()).collect();
    let mut failed = 0;
    if names.is_empty() {
        return Ok(failed);
    }
    while let Some(notice) = project.ledger.take_notice(names.clone(), LEASE).await? {
        let Some(target) = project.config.targets.iter().find(|target| target.name == notice.target) else {
            continue;
        };
        match tokio::time::timeout(TIMEOUT, deliver(project, process, target, &notice)).await {
            Ok(Ok(())) => project.ledger.notice_delivered(notice.id).await?,
            Ok(Err(error)) => {
                failed += 1;
                let said = match error.hint_text() {
                    Some(hint) => format!("{error} ({hint})"),
                    None => error.to_string(),
                };
                not_delivered(project, &notice, &said).await?;
            }
            Err(_) => {
                failed += 1;
                not_delivered(project, &notice, "it took longer than 30 s").await?;
            }
        }
    }
    Ok(failed)
}

async fn not_delivered(project: &Project, notice: &Notice, why: &str) -> Result<()> {
    let again = again_after(notice.attempts);
    let then = match again {
        Some(after) => format!("tried again in {}", handover_core::units::format_duration(after)),
        None => format!("given up after {} attempts", notice.attempts),
    };
    tracing::warn!("`notify` cannot tell {}: {why}; {then}", notice.target);
    project.ledger.notice_failed(notice.id, &words::line(why), again).await
}

/// Delivers one notice.
async fn deliver(project: &Project, process: &Process, target: &NotifyTarget, notice: &Notice) -> Result<()> {
    let (said, tls) = (words::Said::new(notice, target.link.as_deref()), target.tls.as_ref());
    match &target.to {
        NotifyTo::Command(command) => {
            crate::engine::tell_command(project, process, command, &said.json()).await
        }
        NotifyTo::Webhook { url, headers, secret } => {
            let body = said.json();
            post::post(url, tls, headers, secret.as_ref(), notice, &body).await
        }
        NotifyTo::Slack(url) => post::post(url, tls, &[], None, notice, &said.slack()).await,
        NotifyTo::Teams(url) => post::post(url, tls, &[], None, notice, &said.teams()).await,
        NotifyTo::Smtp { server, from, to } => {
            let server = SmtpServer::parse(server.expose()).map_err(handover_core::Error::config)?;
            let id = format!("{}.{}", project.ledger.identity(), notice.id);
            mail::send(
                &server,
                tls,
                &mail::Mail { from, to, subject: &said.subject(), text: &said.text(), id: &id },
            )
            .await
        }
    }
}

/// What is said where a connection was not made because the server's certificate is not believed.
fn distrusted(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let why = handover_service::distrusted(error)?;
    let text = format!("its certificate is not trusted ({why})");
    Some(Error::new(ErrorKind::Io, text).hint("name its authority's certificate: `tls: { ca: FILE }`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_delivered_is_tried_again_for_days_and_then_given_up() {
        assert_eq!(again_after(1), Some(Duration::from_secs(10)));
        assert_eq!(again_after(2), Some(Duration::from_secs(20)));
        assert_eq!(again_after(40), Some(LONGEST_RETRY));
        assert_eq!(again_after(ATTEMPTS_MAX), None);
        let all: Duration = (1..ATTEMPTS_MAX).filter_map(again_after).sum();
        assert!(all > Duration::from_secs(2 * 86_400), "{all:?}");
    }
}
