//! What every handler has: the project as it is configured now, and what outlives a reload.

use crate::auth::session::Sessions;
use crate::auth::{Keys, Ring, Tokens};
use crate::document::Documents;
use crate::gateway::Metrics;
use crate::house::House;
use crate::hub::Hub;
use crate::places::Places;
use crate::rates::Rates;
use crate::submitter::Submitter;
use arc_swap::ArcSwap;
use handover_core::limits::API_TRANSFERS_MAX;
use handover_core::{Error, HolderId, Result};
use handover_ledger::Ledger;
use handover_monitor::metrics::Metrics as Scrapes;
use handover_monitor::pages::{Monitor, Setup};
use handover_runtime::Project;
use handover_runtime::config::Api as ApiConfig;
use handover_runtime::operations::jobs::Contracts;
use std::sync::Arc;
use tokio::sync::watch;

/// The state of this door; clones are one.
#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

pub(crate) struct Shared {
    current: Arc<ArcSwap<Current>>,
    /// Whose temporary files uploads are until they are published.
    pub(crate) holder: HolderId,
    pub(crate) keys: Arc<Keys>,
    /// Who has logged in at the dashboard.
    pub(crate) sessions: Sessions,
    pub(crate) hub: Hub,
    pub(crate) house: House,
    pub(crate) submitter: Submitter,
    /// Requests that are worked on.
    pub(crate) requests: Places,
    /// What is counted of service apps.
    pub(crate) metrics: Metrics,
    /// What is counted of each route of this door.
    pub(crate) routes: Metrics,
    /// What a scrape of /metrics shares with the next.
    pub(crate) scrapes: Scrapes,
    /// Files and records on their way in or out: each takes a thread that waits for its client.
    pub(crate) transfers: Places,
    /// The dashboard.
    pub(crate) monitor: Monitor,
    /// Streams of events.
    pub(crate) streams: Places,
    /// True when the end has come: streams end, nothing new is waited for.
    pub(crate) draining: watch::Receiver<bool>,
}

/// What a reload changes.
pub(crate) struct Current {
    pub(crate) project: Project,
    pub(crate) config: ApiConfig,
    pub(crate) contracts: Contracts,
    pub(crate) rates: Rates,
    /// The access tokens that are taken.
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// The OpenAPI document, as it is served.
    pub(crate) documents: Documents,
}

impl Current {
    /// A project's; what goes on as it is goes over from the one before.
    pub(crate) fn new(project: Project, before: Option<&Self>) -> Result<Self> {
        let config = project.config.api.clone().ok_or_else(|| Error::config("there is no `api:`"))?;
        let contracts = Contracts::new(&project.config)?;
        let rates = Rates::new(&config.limits, &project.ledger);
        project.services.watch();
        let documents = Documents::start(&project, before.map(|before| &before.documents))?;
        let tokens = tokens(&project, &config, before)?;
        Ok(Self { project, config, contracts, rates, tokens, documents })
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        self.project.ledger.as_ref()
    }
}

/// The tokens of a configuration: with the keys that are known, where the provider is the same as before.
fn tokens(project: &Project, config: &ApiConfig, before: Option<&Current>) -> Result<Option<Arc<Tokens>>> {
    let Some(oauth) = &config.oauth else { return Ok(None) };
    let same = before.and_then(|before| before.tokens.clone()).filter(|tokens| tokens.config() == oauth);
    match same {
        Some(same) => Ok(Some(same)),
        None => Ok(Some(Arc::new(Tokens::start(oauth.clone(), project.clock.clone())?))),
    }
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Api {
    pub(crate) fn new(project: Project, holder: HolderId, draining: watch::Receiver<bool>) -> Result<Self> {
        let current = Current::new(project, None)?;
        let (ledger, clock) = (current.project.ledger.clone(), current.project.clock.clone());
        let limits = &current.config.limits;
        let requests = Places::new("requests", limits.requests);
        let streams = Places::new("streams of events", limits.streams);
        let keyring = Arc::new(Ring::new(ledger.clone(), clock.clone()));
        let current = Arc::new(ArcSwap::from_pointee(current));
        let now = current.clone();
        let project = Box::new(move || now.load().project.clone());
        let setup = Setup { project, keyring, holder: holder.clone(), draining: draining.clone() };
        let monitor = Monitor::new(setup);
        let keys = Arc::new(Keys::new(ledger.clone(), clock));
        Ok(Self(Arc::new(Shared {
            holder,
            sessions: Sessions::new(ledger.clone(), keys.clone()),
            keys,
            hub: Hub::start(ledger.clone()),
            house: House::default(),
            submitter: Submitter::start(ledger),
            requests,
            metrics: Metrics::default(),
            routes: Metrics::default(),
            scrapes: Scrapes::default(),
            streams,
            transfers: Places::new("transfers", API_TRANSFERS_MAX),
            monitor,
            draining,
            current,
        })))
    }

    /// The project as it is configured now.
    pub(crate) fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// Goes on under another configuration.
    pub(crate) fn set(&self, current: Current) {
        self.current.store(Arc::new(current));
    }
}
