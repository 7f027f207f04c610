//! Refusals that a crash cut short: the arrival was refused in the ledger, and its reason did not reach `errors/` any
//! more. Once at the start, what dead processes have left so is finished.
//!
//! Invariant: a refusal whose process lives is that process's own. On a crash in here the next start goes on.

use super::adopt::DATA_DIRECTORY;
use crate::context::Context;
use crate::delivery::quarantine::refuse_manifest;
use crate::delivery::{QUARANTINE_SLOT, Refusing};
use handover_core::{AppName, Delivery, Error, HolderId, Result, Status, path_text};
use handover_file::lock;
use handover_ledger::Filter;
use std::sync::Arc;
use tracing::warn;

/// So many of an app's latest failures are looked at.
const LOOK_AT_MAX: usize = 1_000;

/// Finishes them all; what cannot be finished is said in the log alone.
pub(super) async fn finish(ctx: Arc<Context>) {
    let importers = ctx.built.importers.keys().cloned();
    for app in importers.chain(AppName::new(DATA_DIRECTORY)) {
        if let Err(e) = finish_of(&ctx, &app).await {
            warn!(app = %app, "cannot leave the reasons of earlier refusals in errors/: {e}");
        }
    }
}

async fn finish_of(ctx: &Arc<Context>, app: &AppName) -> Result<()> {
    let failed = Filter {
        app: Some(app.to_string()),
        status: Some(Status::Failed),
        limit: LOOK_AT_MAX,
        ..Filter::default()
    };
    for delivery in ctx.project.ledger.list(failed).await? {
        if is_cut_short(ctx, &delivery).await? {
            leave_reason(ctx, app, delivery).await?;
        }
    }
    Ok(())
}

/// Whether it was born failed, to a process that has died since, and its reason is not in the ledger.
async fn is_cut_short(ctx: &Context, delivery: &Delivery) -> Result<bool> {
    let holder = delivery.created_by.clone().map(HolderId);
    if delivery.attempts > 0 || holder.is_some_and(|holder| lock::is_alive(&ctx.project.data, &holder)) {
        return Ok(false);
    }
    let ledger = &ctx.project.ledger;
    for name in ledger.names_of(delivery.id).await? {
        if name.slot == QUARANTINE_SLOT && ledger.get(name.file_id).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(ledger.audit(delivery.id).await?.first().is_some_and(|born| born.to == Status::Failed))
}

async fn leave_reason(ctx: &Arc<Context>, app: &AppName, delivery: Delivery) -> Result<()> {
    let error = Error::bad_data(delivery.last_error.clone().unwrap_or_default());
    if let Some(app) = ctx.config().app(app.as_str()).cloned() {
        Refusing { ctx: ctx.clone(), app, id: delivery.id, error }.leave_reason().await;
        return Ok(());
    }
    let Some(original) = delivery.data.get("original").and_then(|path| path.as_str()) else { return Ok(()) };
    let path = path_text::from_text(original);
    refuse_manifest(ctx, app, &delivery, &path, &error).await
}
