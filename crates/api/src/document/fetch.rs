//! The documents of service apps: fetched in the background until they are there, and again at each reload. A service that is down
//! only lacks its part of our document, and keeps the part that was known.

use super::bytes;
use arc_swap::ArcSwap;
use bytes::Bytes;
use handover_core::units::format_size;
use handover_runtime::Project;
use handover_runtime::config::Runs;
use handover_service::Service;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{info, warn};

/// So large a document may be.
const DOCUMENT_MAX_BYTES: usize = 2 * 1024 * 1024;
/// So long one may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What is not there is asked for again in so long, and each time in twice that, up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// What services say of themselves, by app.
pub(crate) type Known = BTreeMap<String, Value>;

/// The document as it is served, with those of services as they come.
pub(crate) struct Documents {
    served: Arc<ArcSwap<Bytes>>,
    known: Arc<ArcSwap<Known>>,
    /// Ends with this.
    _fetching: JoinSet<()>,
}

impl Documents {
    /// That of a project, with what was known of its services before. To be called within a runtime.
    ///
    /// # Errors
    /// Where the schemas of the configuration's apps will not do.
    pub(crate) fn start(project: &Project, before: Option<&Self>) -> handover_core::Result<Self> {
        let mut known = before.map(|before| Known::clone(&before.known.load())).unwrap_or_default();
        let declared = services(project);
        known.retain(|app, _| declared.iter().any(|(service, _)| service.settings().name == *app));
        let served = Arc::new(ArcSwap::from_pointee(bytes(&project.config, &known)?.into()));
        let known = Arc::new(ArcSwap::from_pointee(known));
        let mut fetching = JoinSet::new();
        for (service, from) in declared {
            fetching.spawn(keep(project.clone(), service, from, served.clone(), known.clone()));
        }
        Ok(Self { served, known, _fetching: fetching })
    }

    /// The document.
    pub(crate) fn served(&self) -> Bytes {
        Bytes::clone(&self.served.load())
    }
}

/// The service apps that have a document, and where that is.
fn services(project: &Project) -> Vec<(Arc<Service>, String)> {
    let declared = project.config.apps.iter().filter_map(|app| match &app.runs {
        Runs::Service(settings) => Some((app.name.as_str(), settings.openapi.clone()?)),
        _ => None,
    });
    declared.filter_map(|(name, from)| Some((project.services.get(name)?.clone(), from))).collect()
}

/// Fetches one until it is there.
async fn keep(
    project: Project,
    service: Arc<Service>,
    from: String,
    served: Arc<ArcSwap<Bytes>>,
    known: Arc<ArcSwap<Known>>,
) {
    let app = service.settings().name.clone();
    let mut again = AGAIN.0;
    loop {
        match fetch(&service, &from, &project.config.base).await.and_then(|theirs| fits(&app, theirs)) {
            Ok(theirs) => {
                known.rcu(|known| {
                    let mut known = Known::clone(known);
                    known.insert(app.clone(), theirs.clone());
                    known
                });
                // Whoever comes last makes it of all that are known.
                match bytes(&project.config, &known.load()) {
                    Ok(whole) => served.store(Arc::new(whole.into())),
                    Err(e) => warn!("the document of the API stays as it was: {e}"),
                }
                info!("the document of the API has the operations of {app}");
                return;
            }
            Err(why) => {
                if again == AGAIN.0 {
                    warn!("the OpenAPI document of {app} ({from}) is not taken: {why}; it is tried again");
                }
                tokio::time::sleep(again).await;
                again = (again * 2).min(AGAIN.1);
            }
        }
    }
}

/// A document that can be taken.
fn fits(app: &str, theirs: Value) -> Result<Value, String> {
    let mut nothing = serde_json::json!({ "paths": {}, "components": {}, "tags": [] });
    super::merge::merge(&mut nothing, app, "", theirs.clone()).map(|()| theirs)
}

async fn fetch(service: &Service, from: &str, base: &Path) -> Result<Value, String> {
    let bytes = if from.starts_with('/') {
        tokio::time::timeout(TIMEOUT, ask(service, from))
            .await
            .map_err(|_| "it takes too long".to_owned())??
    } else {
        read(&base.join(from.strip_prefix("./").unwrap_or(from))).await?
    };
    serde_json::from_slice(&bytes).map_err(|e| format!("it is no JSON: {e}"))
}

async fn ask(service: &Service, path: &str) -> Result<Bytes, String> {
    let (group, path) = service.group(path).ok_or("it has no upstream for this path")?;
    let nothing = Full::default().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(path).header(header::ACCEPT, "application/json");
    let request = request.body(nothing).map_err(|e| e.to_string())?;
    let answer = service.send(group, request).await.map_err(|e| e.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("the answer was {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), DOCUMENT_MAX_BYTES).collect().await;
    Ok(body.map_err(|e| e.to_string())?.to_bytes())
}

async fn read(file: &Path) -> Result<Bytes, String> {
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let size = std::fs::metadata(&path)?.len();
        if size > DOCUMENT_MAX_BYTES as u64 {
            return Ok(Err(format!("it is larger than {}", format_size(DOCUMENT_MAX_BYTES as u64))));
        }
        std::fs::read(&path).map(|bytes| Ok(Bytes::from(bytes)))
    });
    let read = read.await.map_err(|e| e.to_string())?;
    read.map_err(|e| format!("{}: {e}", file.display()))?
}
