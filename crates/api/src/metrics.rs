//! What this door adds to /metrics: its own requests by route, and those to service apps.

use crate::gateway::{BOUNDS_US, Counts};
use crate::state::Api;
use handover_monitor::metrics::{Families, Sample};
use std::sync::Arc;

/// The route of requests that have none.
pub(crate) const NO_ROUTE: &str = "(none)";
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Adds them.
pub(crate) fn families(api: &Api, families: &mut Families) {
    let routes = api.routes.all();
    let of_route = |sample: Sample, name: &str| {
        let (method, route) = name.split_once(' ').unwrap_or(("OTHER", name));
        sample.label("method", method.to_owned()).label("route", route.to_owned())
    };
    families.counter(
        "handover_api_requests",
        "Requests to the API and the pages, by method, route and the class of the answer's status.",
        classes(&routes, of_route),
    );
    let took = routes.iter().map(|counts| of_route(histogram(counts), counts.app()));
    families.histogram(
        "handover_api_request_duration_seconds",
        "How long they took.",
        took.collect::<Vec<_>>(),
    );
    families.gauge(
        "handover_api_requests_in_flight",
        "Requests that are worked on.",
        [Sample::count(api.requests.taken() as u64)],
    );
    families.gauge(
        "handover_api_streams_open",
        "Streams of events that are followed.",
        [Sample::count(api.streams.taken() as u64)],
    );
    let services = api.metrics.all();
    let of_app = |sample: Sample, app: &str| sample.label("app", app.to_owned());
    families.counter(
        "handover_gateway_requests",
        "Requests to service apps through the gateway, by the class of the answer's status.",
        classes(&services, of_app),
    );
    let took = services.iter().map(|counts| of_app(histogram(counts), counts.app()));
    families.histogram(
        "handover_gateway_request_duration_seconds",
        "How long their answers took to begin.",
        took.collect::<Vec<_>>(),
    );
    let bytes = services.iter().flat_map(|counts| {
        let seen = counts.snapshot();
        [("in", seen.bytes_in), ("out", seen.bytes_out)].map(|(direction, bytes)| {
            of_app(Sample::count(bytes), counts.app()).label("direction", direction)
        })
    });
    families.counter(
        "handover_gateway_bytes",
        "Bytes of bodies to service apps (in) and from them (out).",
        bytes.collect::<Vec<_>>(),
    );
    let tunnels =
        services.iter().map(|counts| of_app(Sample::count(counts.snapshot().tunnels), counts.app()));
    families.gauge(
        "handover_gateway_tunnels",
        "Connections that changed their protocol and are open.",
        tunnels.collect::<Vec<_>>(),
    );
}

fn classes(of: &[Arc<Counts>], name: impl Fn(Sample, &str) -> Sample) -> Vec<Sample> {
    let samples = of.iter().flat_map(|counts| {
        let classes = counts.snapshot().classes.into_iter().zip(CLASSES);
        let seen = classes.filter(|(count, _)| *count > 0);
        seen.map(|(count, class)| name(Sample::count(count), counts.app()).label("code", class))
            .collect::<Vec<_>>()
    });
    samples.collect()
}

fn histogram(counts: &Counts) -> Sample {
    let seen = counts.snapshot();
    Sample::histogram(&BOUNDS_US, &seen.within, seen.sum_us)
}
