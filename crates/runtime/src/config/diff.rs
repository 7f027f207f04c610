//! What a reload changes, and what it cannot change while `run` runs.

use super::Config;
use handover_core::{AppName, Error, Result};

/// What differs between two configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Apps that are new.
    pub added: Vec<AppName>,
    /// Apps that are gone.
    pub removed: Vec<AppName>,
    /// Apps whose declaration differs.
    pub changed: Vec<AppName>,
    /// Whether the flows differ.
    pub flows: bool,
    /// The names of settings that differ: `timezone`, `lease`, `notify`, `metrics`, `traces`, `archive`, `unknown_apps`, `migrate`, `api`.
    pub settings: Vec<&'static str>,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Config {
    /// What `new` changes against `old`.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where the data directory or the ledger differs: that takes a restart.
    pub fn diff(old: &Self, new: &Self) -> Result<Changes> {
        let restart = |what: &str| {
            Err(Error::config(format!("{what} has changed and cannot be changed while handover runs")).hint(
                "stop `handover run` and start it again; until then the old configuration stays in force",
            ))
        };
        if old.data != new.data {
            return restart("the data directory");
        }
        if old.ledger != new.ledger {
            return restart("the ledger");
        }
        let mut changes = Changes { flows: old.flows != new.flows, ..Changes::default() };
        for app in &new.apps {
            match old.app(app.name.as_str()) {
                None => changes.added.push(app.name.clone()),
                // A schedule's time zone may come from the whole configuration.
                Some(before) if before.declared != app.declared || before.schedule != app.schedule => {
                    changes.changed.push(app.name.clone());
                }
                Some(_) => {}
            }
        }
        changes.removed = old
            .apps
            .iter()
            .filter(|app| new.app(app.name.as_str()).is_none())
            .map(|app| app.name.clone())
            .collect();
        let settings = [
            ("timezone", old.timezone != new.timezone),
            ("lease", old.lease != new.lease),
            ("metrics", old.metrics != new.metrics),
            ("traces", old.traces != new.traces),
            ("notify", old.notify != new.notify || old.targets != new.targets),
            ("health", old.health != new.health),
            ("archive", old.archive != new.archive),
            ("unknown_apps", old.unknown_apps != new.unknown_apps),
            ("migrate", old.migrate != new.migrate),
            ("api", old.api != new.api),
        ];
        changes.settings =
            settings.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
        Ok(changes)
    }
}
