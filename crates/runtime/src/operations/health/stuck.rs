//! Files that wait for an app, or in front of an importer, for too long: each with the reason, as `why` says it.

use super::super::plan::{Fate, in_front};
use super::super::why;
use super::{LOOKED_AT, Looking, Stuck, Verdict, many, whole};
use crate::delivery::payload::FilePayload;
use handover_core::units::format_duration;
use handover_core::{Delivery, Kind, Result, Status};
use handover_file::layout::last_changed;
use handover_ledger::Filter;
use jiff::Timestamp;

/// So many stuck files are explained one by one.
const EXPLAINED: usize = 20;

impl Looking<'_> {
    /// What waits for this app since before this is stuck.
    fn stuck_limit(&self, app: &str) -> Timestamp {
        let own = self.project.config.app(app).and_then(|app| app.stuck_after);
        self.limit(own.unwrap_or(self.project.config.health.stuck))
    }

    /// The latest of all apps' limits.
    fn soonest_limit(&self) -> Timestamp {
        let apps = self.project.config.apps.iter().map(|app| self.stuck_limit(app.name.as_str()));
        apps.chain([self.stuck_limit("")]).max().unwrap_or(self.now)
    }

    /// Files that wait for an app, or in front of an importer, for too long.
    pub(super) async fn stuck_files(&mut self) -> Result<()> {
        let ledger = &self.project.ledger;
        let busy = Filter {
            kind: Some(Kind::File),
            status: Some(Status::Processing),
            limit: LOOKED_AT,
            ..Filter::default()
        };
        let waiting = ledger.waiting_since(self.soonest_limit(), LOOKED_AT).await?;
        let waiting = waiting.into_iter().map(|one| (one.created_at, one));
        // What is being worked on is measured from its claim: a long run is not a stuck file before its timeout.
        let busy = ledger.list(busy).await?.into_iter().map(|one| (one.updated_at, one));
        let mut found: Vec<(Delivery, Timestamp)> =
            waiting.chain(busy).map(|(since, one)| (one, since)).collect();
        found.retain(|(one, since)| {
            let app = one.target_app.as_deref().unwrap_or_default();
            one.kind == Kind::File
                && *since <= self.stuck_limit(app)
                && one.deleted_at.is_none()
                && !self.runs_long(one)
        });
        found.sort_by_key(|(_, since)| *since);
        for (nth, (delivery, since)) in found.iter().enumerate() {
            let reason = match nth < EXPLAINED {
                true => self.reason(delivery).await,
                false => format!("`handover why {}` says it", delivery.id),
            };
            let path = self.path_of(delivery);
            let app = delivery.target_app.clone().unwrap_or_default();
            self.stuck.push(Stuck { path, app, delivery: Some(delivery.id.0), since: *since, reason });
        }
        self.in_front_of_importers().await?;
        match self.stuck.first() {
            None => {
                let after = format_duration(self.older.unwrap_or(self.project.config.health.stuck));
                self.add("stuck files", Verdict::Pass, format!("no file waits for {after} or longer"), None)
            }
            Some(oldest) => {
                let more = if found.len() >= LOOKED_AT { ", or more," } else { "" };
                let text = format!(
                    "{}{more} too long, the first for {} for {}: {}",
                    many(self.stuck.len(), "file waits", "files wait"),
                    oldest.app,
                    format_duration(whole(self.age(oldest.since))),
                    oldest.reason
                );
                self.add("stuck files", Verdict::Warn, text, Some("handover health --stuck".to_owned()));
            }
        }
        Ok(())
    }

    /// Whether it is being worked on and its app's time limit has not passed.
    fn runs_long(&self, delivery: &Delivery) -> bool {
        let app = delivery.target_app.as_deref().and_then(|app| self.project.config.app(app));
        let until = app.and_then(|app| delivery.updated_at.checked_add(app.timeout).ok());
        delivery.status == Status::Processing && until.is_some_and(|until| until > self.now)
    }

    async fn reason(&self, delivery: &Delivery) -> String {
        let said = why::of(self.project, delivery.id).await;
        match said {
            Ok(said) => said.said().collect::<Vec<_>>().join(" "),
            Err(e) => e.to_string(),
        }
    }

    fn path_of(&self, delivery: &Delivery) -> String {
        let original =
            delivery.data.get("original").and_then(|original| original.as_str()).map(str::to_owned);
        let path = FilePayload::in_delivery(delivery).map(|payload| payload.path);
        match (original, path) {
            (Some(original), _) => original,
            (None, Some(path)) => self.project.data.root().join(path).display().to_string(),
            (None, None) => format!("delivery {}", delivery.id),
        }
    }

    async fn in_front_of_importers(&mut self) -> Result<()> {
        let looked = in_front(&self.project.config, Some(self.project), self.now).await?;
        for found in looked.arrivals.into_iter().filter(|found| found.fate != Fate::Refused) {
            let path = self.project.config.base.join(&found.path);
            let here = last_changed(&path).ok().flatten();
            if let Some(since) = here.filter(|since| *since <= self.stuck_limit(&found.app)) {
                let reason = match found.fate {
                    Fate::Taken => format!("it is complete ({}), and nobody takes it", found.reason),
                    _ => found.reason,
                };
                self.stuck.push(Stuck {
                    path: path.display().to_string(),
                    app: found.app,
                    delivery: None,
                    since,
                    reason,
                });
            }
        }
        for text in looked.unreadable {
            self.add("folders", Verdict::Fail, text, Some("handover check".to_owned()));
        }
        Ok(())
    }
}
