//! What is wrong now, as alerts: made of what a look at everything found.
//!
//! An alert speaks of one app and one sort of trouble, and of how many it is so, so that their number has a bound whatever fails.

use super::health::{Health, Verdict};
use super::times::count;
use handover_ledger::{AlertKind, NewAlert, Severity};
use std::collections::BTreeMap;

/// Checks of which each finding is an alert of its own.
const TOLD_APART: [&str; 5] = ["failed", "stuck files", "records", "expected", "nodes"];
/// Checks of what one node alone can see.
const OF_A_NODE: [&str; 4] = ["disk", "clock", "workers", "services"];

/// This machine's name.
pub fn node() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The alerts that this look raises. `node` is whoever looks.
pub fn alerts(health: &Health, node: &str) -> Vec<NewAlert> {
    let mut alerts = failures(health);
    alerts.extend(stuck(health));
    alerts.extend(health.expected.iter().map(|found| NewAlert {
        key: found.key.clone(),
        kind: found.kind,
        verdict: found.severity,
        app: Some(found.app.clone()),
        delivery: found.delivery,
        count: 1,
        text: found.text.clone(),
        todo: found.todo.clone(),
        since: Some(found.since),
        local: false,
    }));
    alerts.extend(checks(health, node));
    alerts
}

/// What failed, by app: the first that is told when something fails.
pub fn failures(health: &Health) -> Vec<NewAlert> {
    let alert = |one: &super::health::Failures| {
        let (kind, what, todo) = match one.quarantined {
            true => (
                AlertKind::Quarantined,
                "in quarantine",
                // What is to be mended is the file that came in: a replay would read the same again.
                format!("handover why {}; correct the file and let it arrive anew", one.newest),
            ),
            false => (AlertKind::Failed, "failed", format!("handover why {}", one.newest)),
        };
        let verb = if one.quarantined { if one.count == 1 { " is" } else { " are" } } else { "" };
        NewAlert {
            key: format!("{kind}:{}", one.app),
            kind,
            verdict: Severity::Fail,
            app: Some(one.app.clone()),
            delivery: Some(one.newest),
            count: one.count,
            text: format!("{} of {}{verb} {what}, the last: {}", deliveries(one.count), one.app, one.error),
            todo,
            since: Some(one.since),
            local: false,
        }
    };
    health.failures.iter().map(alert).collect()
}

pub(in crate::operations) fn deliveries(number: u64) -> String {
    match number {
        1 => "1 delivery".to_owned(),
        number => format!("{} deliveries", super::times::number(number)),
    }
}

/// Files and records that wait too long, by app.
fn stuck(health: &Health) -> Vec<NewAlert> {
    let mut by_app: BTreeMap<&str, Vec<&super::health::Stuck>> = BTreeMap::new();
    for one in health.stuck.iter().filter(|one| !one.app.is_empty()) {
        by_app.entry(&one.app).or_default().push(one);
    }
    let waiting = |(app, stuck): (&str, Vec<&super::health::Stuck>)| {
        let oldest = stuck.iter().min_by_key(|one| one.since)?;
        let first = oldest.path.rsplit('/').next().unwrap_or_default();
        Some(NewAlert {
            key: format!("stuck:{app}"),
            kind: AlertKind::Stuck,
            verdict: Severity::Warn,
            app: Some(app.to_owned()),
            delivery: oldest.delivery.map(handover_core::DeliveryId),
            count: stuck.len() as u64,
            text: format!(
                "{} stuck before {app}, the oldest {first}: {}",
                count(stuck.len() as u64, "file"),
                oldest.reason
            ),
            todo: "handover health --stuck".to_owned(),
            since: Some(oldest.since),
            local: false,
        })
    };
    let mut alerts: Vec<NewAlert> = by_app.into_iter().filter_map(waiting).collect();
    alerts.extend(health.waiting.iter().map(|one| NewAlert {
        key: format!("stuck-records:{}", one.app),
        kind: AlertKind::Stuck,
        verdict: Severity::Warn,
        app: Some(one.app.clone()),
        delivery: None,
        // How many wait goes up and down all the time: that is no news.
        count: 1,
        text: format!("records wait too long: {}", one.text),
        todo: "handover status".to_owned(),
        since: Some(one.since),
        local: false,
    }));
    alerts
}

/// All other checks that did not pass, by name.
fn checks(health: &Health, node: &str) -> Vec<NewAlert> {
    let mut by_name: BTreeMap<&str, NewAlert> = BTreeMap::new();
    let wrong = health.checks.iter().filter(|check| check.verdict != Verdict::Pass);
    for check in wrong.filter(|check| {
        !TOLD_APART.contains(&check.name) || check.verdict == Verdict::Fail && check.name != "expected"
    }) {
        let local = OF_A_NODE.contains(&check.name);
        let verdict = if check.verdict == Verdict::Fail { Severity::Fail } else { Severity::Warn };
        match by_name.get_mut(check.name) {
            Some(known) => {
                known.text = format!("{}; {}", known.text, check.text);
                known.count += 1;
                known.verdict = known.verdict.max(verdict);
            }
            None => {
                by_name.insert(
                    check.name,
                    NewAlert {
                        key: if local {
                            format!("health:{}@{node}", check.name)
                        } else {
                            format!("health:{}", check.name)
                        },
                        kind: AlertKind::Health,
                        verdict,
                        app: None,
                        delivery: None,
                        count: 1,
                        text: format!("{}: {}", check.name, check.text),
                        todo: check.todo.clone().unwrap_or_else(|| "handover health".to_owned()),
                        since: None,
                        local,
                    },
                );
            }
        }
    }
    by_name.into_values().collect()
}
