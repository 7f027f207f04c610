//! Who may ask which app how much, in the order of [`crate::door`].

use super::{Way, app_and_path, framing};
use crate::auth::{Caller, IfAway, Scope};
use crate::door;
use crate::fault::Fault;
use crate::gateway::metrics::Counts;
use crate::places::Place;
use crate::routes::apps;
use crate::state::Current;
use handover_service::{Group, Service};
use http::request::Parts;
use http::{Method, StatusCode, header};
use std::sync::Arc;

/// The route, as limits name it.
const ROUTE: &str = "ANY /services/{app}";

/// What was let in, and where it goes.
pub(super) struct Admitted<'a> {
    pub(super) service: &'a Arc<Service>,
    pub(super) group: &'a Group,
    /// The path that the group gets.
    pub(super) path: &'a str,
    /// Held until the answer has ended.
    pub(super) room: Place,
    pub(super) counts: Arc<Counts>,
}

impl<'a> Way<'a> {
    /// Lets a request in.
    pub(super) async fn admit(&mut self, head: &Parts) -> Result<Admitted<'a>, Fault> {
        let (api, current, address) = (self.api, self.current, self.peer.address.ip());
        door::fine_path(self.uri.path())?;
        // Names in a query are the service's own; our keys are not.
        if self.uri.query().is_some_and(|query| query.split('&').any(door::shows_key)) {
            return Err(door::key_in_query());
        }
        current.rates.take_address(address)?;
        framing::check(head)?;
        refuse_method(&head.method)?;
        let caller = door::who(api, current, &head.uri, &head.headers, IfAway::Refuse).await?;
        let caller = &*self.caller.insert(caller);
        let room = api.requests.take(&caller.name)?;
        self.limits[0] = Some(current.rates.take(&caller.name, address, Some(ROUTE))?);
        let (app, path) = app_and_path(self.uri.path()).unwrap_or_default();
        let service = service(current, app)?;
        let counts = api.metrics.of(app);
        self.counts = Some(counts.clone());
        require(caller, &head.method, app)?;
        self.limits[1] = current.rates.take_app(&caller.name, app)?;
        let (group, path) = service.group(path).ok_or_else(|| {
            let version = path.split('/').nth(1).unwrap_or_default();
            Fault::not_found(format!("{app} has no version {version:?}"))
        })?;
        Ok(Admitted { service, group, path, room, counts })
    }
}

fn service<'c>(current: &'c Current, app: &str) -> Result<&'c Arc<Service>, Fault> {
    if let Some(service) = current.project.services.get(app) {
        return Ok(service);
    }
    apps::require(current, app)?;
    let message = format!("{app} is no service app (`url:`): POST /api/v1/jobs takes its jobs");
    Err(Fault::not_found(message))
}

/// `submit` may ask with any method, `read` may look.
fn require(caller: &Caller, method: &Method, app: &str) -> Result<(), Fault> {
    let looks = matches!(*method, Method::GET | Method::HEAD);
    if !(looks && caller.may(Scope::Read)) {
        caller.require(Scope::Submit)?;
    }
    caller.require_app(app)
}

/// CONNECT asks for a tunnel to anywhere, and TRACE for the headers that were sent, which keys are in.
fn refuse_method(method: &Method) -> Result<(), Fault> {
    if !matches!(*method, Method::CONNECT | Method::TRACE) {
        return Ok(());
    }
    let fault = Fault::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        format!("{method} is not passed on to service apps"),
    );
    Err(fault.with(header::ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
}
