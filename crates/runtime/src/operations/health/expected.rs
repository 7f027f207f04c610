//! Whether what is expected came. Nothing is said where nothing is expected.

use super::{Looking, Verdict, many};
use crate::operations::expect;
use handover_core::Result;
use handover_ledger::{AlertKind, Severity};

impl Looking<'_> {
    /// Holds each `expect:` against what came.
    pub(super) async fn expected(&mut self) -> Result<()> {
        let expecting = self.project.config.apps.iter().filter(|app| app.expect.is_some()).count();
        if expecting == 0 {
            return Ok(());
        }
        self.expected = expect::findings(self.project, self.now).await?;
        if self.expected.is_empty() {
            let text = format!("what is expected of {} is there", many(expecting, "app", "apps"));
            self.add("expected", Verdict::Pass, text, None);
        }
        let order = |kind| AlertKind::ALL.iter().position(|known| *known == kind);
        self.expected.sort_by_key(|found| (std::cmp::Reverse(found.severity), order(found.kind)));
        for found in self.expected.clone() {
            let verdict = match found.severity {
                Severity::Warn => Verdict::Warn,
                Severity::Fail => Verdict::Fail,
            };
            self.add("expected", verdict, found.text, Some(found.todo));
        }
        Ok(())
    }
}
