//! The service apps of a configuration.

use crate::service::Service;
use crate::settings::Settings;
use handover_core::Result;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The service apps of a configuration, by name.
#[derive(Default)]
pub struct Services(BTreeMap<String, Arc<Service>>);

impl Services {
    /// Those that are declared.
    pub fn new(declared: impl IntoIterator<Item = Settings>) -> Self {
        Self::default().renewed(declared)
    }

    /// Those of another configuration: what is declared as before stays as it is, with its connections and all that is known
    /// of its upstreams.
    #[must_use]
    pub fn renewed(&self, declared: impl IntoIterator<Item = Settings>) -> Self {
        let service = |settings: Settings| {
            let known = self.get(&settings.name).filter(|known| *known.settings() == settings).cloned();
            (settings.name.clone(), known.unwrap_or_else(|| Arc::new(Service::new(settings))))
        };
        Self(declared.into_iter().map(service).collect())
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Service>> {
        self.0.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.0.values()
    }

    /// Whether connections to all of them can be made, as far as that shows here: the files of `tls:`.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] with what is wrong with the first.
    pub fn check(&self) -> Result<()> {
        self.iter().filter_map(|service| service.settings().tls.as_ref()).try_for_each(|tls| tls.check())
    }

    /// Begins to ask the upstreams whether they are well, for as long as anybody has these services. Outside an
    /// async runtime, and a second time, it does nothing.
    pub fn watch(&self) {
        self.iter().for_each(Service::watch);
    }
}
