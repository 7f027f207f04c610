//! Apps, as they are declared and as they stand.

use crate::gateway::metrics::{BOUNDS_US, Snapshot};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An app, as it is declared.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppView {
    /// Its name.
    pub(crate) name: String,
    /// `built-in`, `program`, `stream` or `service`.
    pub(crate) runs: String,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// A picture for it.
    pub(crate) icon: Option<String>,
    /// How many of its deliveries run at the same time on a machine.
    pub(crate) workers: usize,
    /// Whether it takes jobs.
    pub(crate) takes_jobs: bool,
    /// The JSON Schema of a job's `config`; none where any object will do.
    #[schema(value_type = Option<Object>)]
    pub(crate) config_schema: Option<Value>,
    /// Media types of inputs that it takes; empty where any will do.
    pub(crate) input: Vec<String>,
    /// The media type of what it makes, where that is declared.
    pub(crate) output: Option<String>,
    /// Whether a job needs an `Idempotency-Key`.
    pub(crate) idempotency_key_required: bool,
    /// Of a service app, what there is of it.
    pub(crate) service: Option<ServiceView>,
    /// When it runs next by its schedule.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) next_run: Option<Timestamp>,
}

/// A service app, as it is declared.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServiceView {
    /// Its versions: what the first segment of a path may be.
    pub(crate) versions: Vec<String>,
    /// How many upstreams it has.
    pub(crate) upstreams: usize,
    /// How long until an answer begins, in seconds.
    pub(crate) timeout_seconds: f64,
    /// How often a call that may be repeated is tried again.
    pub(crate) retries: u32,
    /// The path at which its upstreams are asked whether they are well; none where nobody asks.
    pub(crate) health: Option<String>,
    /// How much one caller may ask of it, such as `100/s`, where that is said.
    pub(crate) limit: Option<String>,
}

/// An upstream of a service app, as it stands for the process that answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpstreamView {
    /// The version that it serves; none is what a path without a version gets.
    pub(crate) version: Option<String>,
    /// Its address.
    pub(crate) address: String,
    /// Whether it was found well when it was asked last; none where nobody asks.
    pub(crate) healthy: Option<bool>,
    /// Its circuit breaker: `closed`, `open` or `half-open`.
    pub(crate) breaker: String,
    /// Requests that wait for their answer to begin.
    pub(crate) outstanding: usize,
    /// What went wrong last.
    pub(crate) last_error: Option<String>,
    /// When that was.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_error_at: Option<Timestamp>,
    /// Since when it stands so.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) since: Timestamp,
}

/// All apps.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppList {
    /// In the order of the configuration.
    pub(crate) apps: Vec<AppView>,
}

/// How an app stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppStatusView {
    /// The app.
    pub(crate) app: String,
    /// Of a service app, its upstreams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstreams: Option<Vec<UpstreamView>>,
    /// Of a service app, how much one caller may ask of it, where that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<String>,
    /// How many wait for it.
    pub(crate) pending: u64,
    /// How many are being worked on.
    pub(crate) processing: u64,
    /// How many are done.
    pub(crate) completed: u64,
    /// How many were given up.
    pub(crate) failed: u64,
    /// How many are in the archive.
    pub(crate) archived: u64,
    /// Since when it is paused, where it is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) paused_since: Option<Timestamp>,
    /// When the oldest was handed over that waits.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) oldest_pending: Option<Timestamp>,
    /// What was asked of it through `/services`, where it is a service app, since this process began.
    pub(crate) requests: Option<RequestsView>,
}

/// What was asked of a service app.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestsView {
    /// Connections that changed their protocol, to WebSocket mostly.
    pub(crate) status_1xx: u64,
    /// Answers by the class of their status; errors of the gateway's own are among them.
    pub(crate) status_2xx: u64,
    /// Redirections.
    pub(crate) status_3xx: u64,
    /// What was wrong with requests.
    pub(crate) status_4xx: u64,
    /// What was wrong with the service.
    pub(crate) status_5xx: u64,
    /// Bytes of requests' bodies that were passed on.
    pub(crate) bytes_in: u64,
    /// Bytes of answers' bodies.
    pub(crate) bytes_out: u64,
    /// Connections that have changed their protocol, and are open.
    pub(crate) upgraded: u64,
    /// How long answers took to begin.
    pub(crate) latency: LatencyView,
}

/// How long answers took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LatencyView {
    /// The sum of all of them.
    pub(crate) sum_seconds: f64,
    /// How many took no longer than each bound.
    pub(crate) buckets: Vec<BucketView>,
}

/// How many took no longer than this.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BucketView {
    /// The bound in seconds; none is no bound.
    pub(crate) within_seconds: Option<f64>,
    /// How many.
    pub(crate) count: u64,
}

impl From<Snapshot> for RequestsView {
    fn from(now: Snapshot) -> Self {
        let mut count = 0;
        let bounds = BOUNDS_US.iter().map(|us| Some(seconds(*us))).chain([None]);
        let buckets = bounds.zip(now.within).map(|(within_seconds, more)| {
            count += more;
            BucketView { within_seconds, count }
        });
        let latency = LatencyView { sum_seconds: seconds(now.sum_us), buckets: buckets.collect() };
        let [status_1xx, status_2xx, status_3xx, status_4xx, status_5xx] = now.classes;
        let Snapshot { bytes_in, bytes_out, tunnels: upgraded, .. } = now;
        Self {
            status_1xx,
            status_2xx,
            status_3xx,
            status_4xx,
            status_5xx,
            bytes_in,
            bytes_out,
            upgraded,
            latency,
        }
    }
}

fn seconds(us: u64) -> f64 {
    std::time::Duration::from_micros(us).as_secs_f64()
}
