//! What records have in common, whoever works on them: where they came from, and what follows from them.
//!
//! A record carries one flow in its row; one that a program wrote without a flow belongs to all flows that lead to its
//! app. What follows from it is a record for each app that the links lead to, whether by database, by api or by file: by file,
//! records are gathered when enough of them wait ([`super::gather`]).

use super::payload::FilePayload;
use crate::config::{App, Hop};
use crate::context::Context;
use handover_core::{AppName, Delivery, Json, Kind, NewDelivery, Result, TypeName};
use jiff::civil::Date;

/// So far back a record's way is followed to the file that it came from.
const STEPS_MAX: usize = 32;
/// The type of what came of records that came from no file and belong to no flow.
const NO_TYPE: &str = "records";

/// Type and date of what is made of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) type_name: TypeName,
    pub(crate) date: Date,
}

impl Context {
    /// Type and date of what is made of a record: those of the file that it was split from; of one that came otherwise,
    /// the flow's name and the day on which it was handed over. A type that the maker's declaration says goes first.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub(crate) async fn origin(&self, maker: Option<&App>, record: &Delivery) -> Result<Origin> {
        let said = maker.and_then(|app| app.type_name.clone());
        let mut above = record.parent_id;
        for _ in 0..STEPS_MAX {
            let Some(id) = above else { break };
            let Some(parent) = self.project.ledger.get(id).await? else { break };
            if let Some(Ok(name)) = FilePayload::in_delivery(&parent).map(|payload| payload.name()) {
                return Ok(Origin { type_name: said.unwrap_or(name.type_name), date: name.date });
            }
            above = parent.parent_id;
        }
        let of_flow = || record.flow.as_deref().and_then(|flow| TypeName::new(flow).ok());
        let type_name = match said.or_else(of_flow) {
            Some(type_name) => type_name,
            None => TypeName::new(NO_TYPE)?,
        };
        let date = record.created_at.to_zoned(self.config().timezone.clone()).date();
        Ok(Origin { type_name, date })
    }

    /// The flows that a record belongs to at this app.
    pub(crate) fn flows_of(&self, app: &AppName, record: &Delivery) -> Vec<String> {
        match &record.flow {
            Some(flow) => vec![flow.clone()],
            None => self.routes.flows_through(app),
        }
    }

    /// The records that follow from what an app made of a record, in this trace; none at the end of a flow.
    pub(crate) fn next_records(
        &self,
        app: &AppName,
        record: &Delivery,
        trace: Option<&str>,
        made: &[Json],
    ) -> Vec<NewDelivery> {
        let hops = self.routes.next(app, &self.flows_of(app, record));
        self.records_along(&hops, app, record, trace, made)
    }

    /// The same along these links.
    pub(crate) fn records_along(
        &self,
        hops: &[Hop],
        app: &AppName,
        record: &Delivery,
        trace: Option<&str>,
        made: &[Json],
    ) -> Vec<NewDelivery> {
        let to = |data: &Json| {
            let data = data.clone();
            hops.iter().map(move |hop| NewDelivery {
                flow: hop.flows.first().cloned(),
                priority: record.priority,
                max_attempts: self.attempts(&hop.to),
                order_key: record.order_key.clone(),
                trace: trace.map(str::to_owned),
                ..NewDelivery::new(Kind::Record, app.to_string(), Some(hop.to.to_string()), data.clone())
            })
        };
        made.iter().flat_map(to).collect()
    }

    /// How often an app's deliveries may be attempted.
    pub(crate) fn attempts(&self, app: &AppName) -> u32 {
        self.config().app(app.as_str()).map_or(1, |app| app.max_attempts())
    }
}
