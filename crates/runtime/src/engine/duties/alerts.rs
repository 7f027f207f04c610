//! What is wrong, and who is told: every so often everything is looked at, as `handover health` does; what is wrong becomes alerts in
//! the ledger, what is no longer wrong ends, and whoever is to be told is told. When a delivery fails, that alone is looked at at once.
//!
//! Every process looks; what several see is one alert, and one of them tells. Delivering is a task of its own, so that a mail server
//! that hangs keeps nobody from looking. After a crash the next look goes on: nothing is kept here.

use crate::context::Process;
use crate::engine::events::Event;
use crate::notices;
use crate::operations::alerts::{self, node};
use crate::operations::expect;
use crate::operations::health::{self, Health};
use crate::project::Project;
use handover_core::Result;
use handover_ledger::{Look, Target};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tracing::warn;

/// After something failed, a look comes no sooner than this after the one before: many failures are one look.
const APART: Duration = Duration::from_secs(1);
/// So often it is looked whether a notice is due.
const DELIVER: Duration = Duration::from_secs(5);
/// Of a run that ends, telling may take so long.
const AT_THE_END: Duration = Duration::from_secs(60);

/// Looks until the process ends.
pub(crate) async fn looking(project: Project, process: Arc<Process>, mut end: watch::Receiver<bool>) {
    let failed = Arc::new(Notify::new());
    hear_of_failures(&process, &failed);
    let delivering = tokio::spawn(delivering(project.clone(), process.clone(), end.clone()));
    // Whatever ends this ends the other too.
    let _delivering = AbortOnDrop(delivering);
    let every = project.config.health.every;
    let mut whole = tokio::time::Instant::now();
    loop {
        let looked = match tokio::time::Instant::now() >= whole {
            true => {
                whole = tokio::time::Instant::now() + every;
                all(&project).await
            }
            false => only_failures(&project).await,
        };
        if let Err(e) = looked {
            warn!("cannot look what is wrong: {e}; it is tried again");
        }
        if !super::pause(APART.min(every), &mut end).await {
            return;
        }
        tokio::select! {
            () = super::ended(&mut end) => return,
            () = failed.notified() => {}
            () = tokio::time::sleep_until(whole) => {}
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Wakes the look when something fails for good. A look that has ended is woken no more.
fn hear_of_failures(process: &Process, failed: &Arc<Notify>) {
    let failed: Weak<Notify> = Arc::downgrade(failed);
    process.observer.listen(move |event| {
        if matches!(event, Event::Failed { .. } | Event::Refused { .. })
            && let Some(failed) = failed.upgrade()
        {
            failed.notify_one();
        }
    });
}

async fn delivering(project: Project, process: Arc<Process>, mut end: watch::Receiver<bool>) {
    loop {
        if let Err(e) = tell(&project, &process, &targets(&project)).await {
            warn!("cannot look whom to tell: {e}; it is tried again");
        }
        if !super::pause(DELIVER.min(project.config.health.every), &mut end).await {
            return;
        }
    }
}

/// One look at everything. What others may see too ends when nobody saw it for as long as a look is apart.
async fn all(project: &Project) -> Result<()> {
    expect::begin(project, project.clock.now()).await?;
    let health = health::look(project).await;
    let (node, patience) = (node(), project.config.health.every);
    let seen = alerts::alerts(&health, &node);
    // Where something could not be looked at, nothing ends by that.
    project.ledger.look(Look { by: node, seen, whole: health.whole, patience }).await.map(|_| ())
}

/// A look at what failed alone.
async fn only_failures(project: &Project) -> Result<()> {
    let health: Health = health::failures(project).await?;
    let seen = alerts::failures(&health);
    if seen.is_empty() {
        return Ok(());
    }
    let look = Look { by: node(), seen, whole: false, patience: Duration::ZERO };
    project.ledger.look(look).await.map(|_| ())
}

fn targets(project: &Project) -> Vec<Target> {
    let target = |one: &crate::config::NotifyTarget| Target {
        name: one.name.clone(),
        kinds: one.kinds.clone(),
        recovered: one.recovered,
        group: one.group,
        throttle: one.throttle,
    };
    project.config.targets.iter().map(target).collect()
}

async fn tell(project: &Project, process: &Process, targets: &[Target]) -> Result<()> {
    if targets.is_empty() {
        return Ok(());
    }
    project.ledger.make_notices(targets.to_vec()).await?;
    notices::deliver_due(project, process).await.map(|_| ())
}

/// What a run that ends by itself has to tell is told now: nobody is there later to wait for more of it.
pub(crate) async fn at_the_end(project: &Project, process: &Process) {
    let last = async {
        if project.config.targets.is_empty() {
            return expect::begin(project, project.clock.now()).await;
        }
        all(project).await?;
        let now: Vec<Target> =
            targets(project).into_iter().map(|target| Target { group: Duration::ZERO, ..target }).collect();
        tell(project, process, &now).await
    };
    match tokio::time::timeout(AT_THE_END, last).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => warn!("cannot tell what is wrong: {e}; the next run does"),
        Err(_) => warn!("cannot tell what is wrong within a minute; the next run does"),
    }
}
