//! What other machines on the same ledger see of themselves: their disk, their clock against the server's, their services. Each
//! tells it by its alerts; nothing is said where there is no other.

use super::{Looking, Verdict};
use crate::config::LedgerAddress;
use crate::operations::alerts::node;
use handover_core::Result;
use std::time::Duration;

/// What a machine saw longer ago than this is no longer of now.
const FRESH: Duration = Duration::from_secs(600);

impl Looking<'_> {
    /// Reads their alerts.
    pub(super) async fn nodes(&mut self) -> Result<()> {
        if matches!(self.project.config.ledger, LedgerAddress::Sqlite(_)) {
            return Ok(());
        }
        let here = node();
        for alert in self.project.ledger.alerts(None).await? {
            let other = !alert.seen_by.is_empty() && alert.seen_by != here;
            if other && self.age(alert.seen_at) < FRESH {
                let text = format!("{}: {}", alert.seen_by, alert.text);
                self.add("nodes", Verdict::Warn, text, Some(alert.todo));
            }
        }
        Ok(())
    }
}
