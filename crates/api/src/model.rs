//! What goes over the wire, as types: the OpenAPI document is made from them. Names and meanings are contracts; unknown
//! fields of requests are refused.

use handover_core::{Delivery, DeliveryId, Kind, Status};
use handover_ledger::NewJob;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One thing that will not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Detail {
    /// The field, by its path, such as `config.threshold`.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) issue: String,
}

/// An error, as v1 gives it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorEnvelope {
    /// The error.
    pub(crate) error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What went wrong, for programs.
    #[schema(example = "VALIDATION_ERROR")]
    pub(crate) code: String,
    /// What went wrong, for people, and what to do.
    pub(crate) message: String,
    /// By field, where fields are wrong.
    pub(crate) details: Vec<Detail>,
    /// The request's id, which the log has too.
    #[schema(example = "req_7k3v9q2m5x8c1b4n6z0w")]
    pub(crate) request_id: String,
}

/// An error as problem details (RFC 9457), as v2 gives it, and v1 to who accepts `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Where the kind of error is explained.
    pub(crate) r#type: String,
    /// The status in words.
    pub(crate) title: String,
    /// The status.
    pub(crate) status: u16,
    /// What went wrong, and what to do.
    pub(crate) detail: String,
    /// The path that was asked for.
    pub(crate) instance: String,
    /// What went wrong, for programs.
    pub(crate) code: String,
    /// By field, where fields are wrong.
    pub(crate) errors: Vec<Detail>,
    /// The request's id, which the log has too.
    pub(crate) request_id: String,
}

/// What is to be done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobRequest {
    /// The app that is to do it.
    #[schema(example = "scorer")]
    pub(crate) app: String,
    /// Its configuration for this job, as the app declares it.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) config: Option<serde_json::Map<String, Value>>,
    /// Its input: a text as it stands, any other value as JSON.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    pub(crate) input: Option<Value>,
    /// The media type of an input that is a text.
    #[serde(default)]
    #[schema(example = "text/csv")]
    pub(crate) input_type: Option<String>,
    /// A file that is its input instead: its path in the data directory.
    #[serde(default)]
    pub(crate) input_file: Option<String>,
    /// Who is told when it has ended: an address that `api.webhooks.to` allows.
    #[serde(default)]
    pub(crate) webhook: Option<String>,
    /// Higher goes first.
    #[serde(default)]
    pub(crate) priority: Option<i32>,
    /// Not before this time.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) run_at: Option<Timestamp>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobStatus {
    /// It waits.
    Pending,
    /// It is being worked on.
    Processing,
    /// It is done.
    Completed,
    /// It was given up, or cancelled.
    Failed,
}

/// Why a job failed, or its last attempt did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobError {
    /// For programs: `CANCELLED`, `TIMEOUT`, `BAD_DATA`, `PROGRAM_FAILED` and others.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
}

/// Where to go on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobLinks {
    /// The job itself.
    #[serde(rename = "self")]
    pub(crate) job: String,
    /// What came of it.
    pub(crate) results: String,
    /// What happens to it, as it happens.
    pub(crate) events: String,
    /// Why it stands where it stands.
    pub(crate) explain: String,
    /// Ends it, by POST.
    pub(crate) cancel: String,
}

impl JobLinks {
    fn to(id: DeliveryId, version: &str) -> Self {
        let path = format!("/api/{version}/jobs/{id}");
        Self {
            results: format!("{path}/results"),
            events: format!("{path}/events"),
            explain: format!("{path}/explain"),
            cancel: format!("{path}/cancel"),
            job: path,
        }
    }
}

/// The configuration in a job's row.
fn config_in(data: &Value) -> Value {
    let config = data.get("config").filter(|config| config.is_object());
    config.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()))
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    /// Its number.
    #[schema(value_type = i64, example = 17)]
    pub(crate) id: DeliveryId,
    /// The app that does it.
    pub(crate) app: String,
    /// Where it stands.
    pub(crate) status: JobStatus,
    /// Whether its end was asked for and has not come yet.
    pub(crate) cancelling: bool,
    /// Whether it has been moved to the archive.
    pub(crate) archived: bool,
    /// Its configuration.
    #[schema(value_type = Object)]
    pub(crate) config: Value,
    /// When it was submitted.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
    /// Not before this time.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) run_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ended_at: Option<Timestamp>,
    /// Who submitted it.
    pub(crate) created_by: Option<String>,
    /// How often it was begun.
    pub(crate) attempts: u32,
    /// After so many attempts it has failed.
    pub(crate) max_attempts: u32,
    /// Higher goes first.
    pub(crate) priority: i32,
    /// The job that it runs again.
    #[schema(value_type = Option<i64>)]
    pub(crate) replay_of: Option<DeliveryId>,
    /// Why it failed, or its last attempt did.
    pub(crate) error: Option<JobError>,
    /// Where to go on.
    pub(crate) links: JobLinks,
}

impl Job {
    /// The job that a delivery is; `version` is that of the links.
    pub(crate) fn of(delivery: &Delivery, cancelling: bool, version: &str) -> Self {
        let result = delivery.result.as_ref();
        let code = result.and_then(|result| result.get("code")).and_then(Value::as_str);
        let status = match delivery.status {
            Status::Pending => JobStatus::Pending,
            Status::Processing => JobStatus::Processing,
            Status::Completed => JobStatus::Completed,
            Status::Failed => JobStatus::Failed,
            // Of what is in the archive: one that failed has the code of its failure, or nothing came of it.
            Status::Archived if code.is_some() || (result.is_none() && delivery.last_error.is_some()) => {
                JobStatus::Failed
            }
            Status::Archived => JobStatus::Completed,
        };
        let error = match (status, &delivery.last_error) {
            (JobStatus::Completed, _) | (_, None) => None,
            (_, Some(message)) => {
                Some(JobError { code: code.unwrap_or("FAILED").to_owned(), message: message.clone() })
            }
        };
        Self {
            id: delivery.id,
            app: delivery.target_app.clone().unwrap_or_default(),
            status,
            cancelling: cancelling && matches!(status, JobStatus::Pending | JobStatus::Processing),
            archived: delivery.status == Status::Archived,
            config: config_in(&delivery.data),
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
            run_at: delivery.run_at,
            ended_at: delivery.processed_at,
            created_by: delivery.created_by.clone(),
            attempts: delivery.attempts,
            max_attempts: delivery.max_attempts,
            priority: delivery.priority,
            replay_of: delivery.replay_of,
            error,
            links: JobLinks::to(delivery.id, version),
        }
    }

    /// The job that a submission asks for, without its number yet.
    pub(crate) fn submitted(job: &NewJob, version: &str) -> Self {
        let new = &job.delivery;
        Self {
            id: DeliveryId(0),
            app: new.target_app.clone().unwrap_or_default(),
            status: JobStatus::Pending,
            cancelling: false,
            archived: false,
            config: config_in(&new.data),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            run_at: new.run_at.unwrap_or_default(),
            ended_at: None,
            created_by: Some(job.caller.clone()),
            attempts: 0,
            max_attempts: new.max_attempts,
            priority: new.priority,
            replay_of: None,
            error: None,
            links: JobLinks::to(DeliveryId(0), version),
        }
    }

    /// Gives it its number, and the time when it was handed over.
    pub(crate) fn is(&mut self, id: DeliveryId, at: Timestamp, version: &str) {
        self.id = id;
        self.links = JobLinks::to(id, version);
        (self.created_at, self.updated_at) = (at, at);
        self.run_at = self.run_at.max(at);
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.status, JobStatus::Completed | JobStatus::Failed)
    }
}

/// A page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobPage {
    /// The jobs.
    pub(crate) jobs: Vec<Job>,
    /// The cursor of the next page; none on the last.
    pub(crate) next: Option<String>,
}

/// What a job made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobOutput {
    /// Its name.
    pub(crate) name: String,
    /// Its media type.
    pub(crate) media_type: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// `sha256:` and its SHA-256 in hexadecimal.
    pub(crate) checksum: String,
    /// Its rows, where they are counted.
    pub(crate) rows: Option<u64>,
    /// Where it can be fetched, with Range.
    pub(crate) url: String,
    /// The output itself, where it is JSON and small.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub(crate) json: Option<Value>,
    /// The output itself, where it is another text and small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

/// What came of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobResults {
    /// The job.
    #[schema(value_type = i64)]
    pub(crate) id: DeliveryId,
    /// What it made: an app's output, and its report and rejected rows where it has such.
    pub(crate) outputs: Vec<JobOutput>,
    /// Rows that came in, where they are counted.
    pub(crate) rows_in: Option<u64>,
    /// Rows that came out.
    pub(crate) rows_out: Option<u64>,
    /// Rows that were rejected.
    pub(crate) rows_rejected: Option<u64>,
    /// What was noted.
    pub(crate) notes: Vec<String>,
    /// Until when it can be fetched; then it is gone.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: Timestamp,
}

/// What was done about a cancellation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cancelling {
    /// The job.
    #[schema(value_type = i64)]
    pub(crate) id: DeliveryId,
    /// Where it stands now.
    pub(crate) status: JobStatus,
    /// Whether its end has been asked for and comes when all its programs are gone.
    pub(crate) cancelling: bool,
}

/// Why a delivery stands where it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explained {
    /// What was asked about.
    pub(crate) subject: String,
    /// In one word.
    pub(crate) state: String,
    /// What it waits for, or what became of it.
    pub(crate) sentences: Vec<String>,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) since: Option<Timestamp>,
    /// What was tried.
    pub(crate) tried: Vec<String>,
    /// What would free it.
    pub(crate) release: Option<String>,
    /// What to do: commands.
    pub(crate) todo: Vec<String>,
}

impl From<handover_runtime::operations::why::Explanation> for Explained {
    fn from(said: handover_runtime::operations::why::Explanation) -> Self {
        Self {
            subject: said.subject,
            state: said.state.word().to_owned(),
            sentences: said.sentences,
            since: said.since,
            tried: said.tried,
            release: said.release,
            todo: said.todo,
        }
    }
}

/// A delivery: a file, a record or a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryView {
    /// Its number.
    #[schema(value_type = i64)]
    pub(crate) id: DeliveryId,
    /// `file`, `record` or `job`.
    #[schema(value_type = String)]
    pub(crate) kind: Kind,
    /// Who handed it over.
    pub(crate) source_app: String,
    /// Who gets it; none at the end of a flow.
    pub(crate) target_app: Option<String>,
    /// `pending`, `processing`, `completed`, `failed` or `archived`.
    #[schema(value_type = String)]
    pub(crate) status: Status,
    /// The flow that it belongs to.
    pub(crate) flow: Option<String>,
    /// The record, the file's manifest with its `path`, or the job's configuration.
    #[schema(value_type = Value)]
    pub(crate) data: Value,
    /// When it was handed over.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) processed_at: Option<Timestamp>,
    /// Not before this time.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) run_at: Timestamp,
    /// How often it was begun.
    pub(crate) attempts: u32,
    /// After so many attempts it has failed.
    pub(crate) max_attempts: u32,
    /// The delivery that it was made from.
    #[schema(value_type = Option<i64>)]
    pub(crate) parent_id: Option<DeliveryId>,
    /// The delivery that it runs again.
    #[schema(value_type = Option<i64>)]
    pub(crate) replay_of: Option<DeliveryId>,
    /// What went wrong last.
    pub(crate) last_error: Option<String>,
    /// What came of it.
    #[schema(value_type = Value)]
    pub(crate) result: Option<Value>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            kind: delivery.kind,
            source_app: delivery.source_app,
            target_app: delivery.target_app,
            status: delivery.status,
            flow: delivery.flow,
            data: delivery.data,
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
            processed_at: delivery.processed_at,
            run_at: delivery.run_at,
            attempts: delivery.attempts,
            max_attempts: delivery.max_attempts,
            parent_id: delivery.parent_id,
            replay_of: delivery.replay_of,
            last_error: delivery.last_error,
            result: delivery.result,
        }
    }
}

/// A page of deliveries, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryPage {
    /// The deliveries.
    pub(crate) deliveries: Vec<DeliveryView>,
    /// The cursor of the next page; none on the last.
    pub(crate) next: Option<String>,
}

/// A new delivery from an old one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedOne {
    /// The new one.
    #[schema(value_type = i64)]
    pub(crate) id: DeliveryId,
    /// The old one.
    #[schema(value_type = i64)]
    pub(crate) replay_of: DeliveryId,
}

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
    /// When it runs next by its schedule.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) next_run: Option<Timestamp>,
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
}

/// What came of records that were pushed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PushDone {
    /// Records that are in the ledger now, by this request.
    pub(crate) records: u64,
    /// Of these, how many were there already by their dedup key.
    pub(crate) duplicates: u64,
    /// Records that an earlier request with the same key had brought in.
    pub(crate) already: u64,
    /// The load's key, where it has one.
    pub(crate) key: Option<String>,
    /// Whether the load had ended before: nothing was done.
    pub(crate) ended_before: bool,
}

/// What is pulled.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PullRequest {
    /// At most so many; 1 by default.
    #[schema(minimum = 1, maximum = 100_000)]
    pub(crate) max: Option<usize>,
    /// So many seconds are waited for the first; none by default.
    #[schema(minimum = 0, maximum = 60)]
    pub(crate) wait_seconds: Option<u64>,
    /// So many seconds they are the caller's; 300 by default.
    #[schema(minimum = 1, maximum = 86_400)]
    pub(crate) lease_seconds: Option<u64>,
}

/// A record, pulled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PulledRecord {
    /// Its number.
    #[schema(value_type = i64)]
    pub(crate) id: DeliveryId,
    /// Which attempt this is.
    pub(crate) attempt: u32,
    /// The record.
    #[schema(value_type = Value)]
    pub(crate) data: Value,
}

/// Records, pulled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pulled {
    /// The proof of the claim, for `ack`; none where there were no records.
    #[schema(value_type = Option<String>)]
    pub(crate) token: Option<handover_core::LeaseToken>,
    /// Until when they are the caller's.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) lease_until: Option<Timestamp>,
    /// The records.
    pub(crate) records: Vec<PulledRecord>,
}

/// How records of a claim end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AckOutcome {
    /// They are done.
    #[default]
    Completed,
    /// They are given up.
    Failed,
    /// They are tried again.
    Retry,
    /// The claim lasts longer.
    Extend,
}

/// Answers to a claim.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AckRequest {
    /// The proof of the claim.
    pub(crate) token: String,
    /// Which records; none is all of the claim.
    #[serde(default)]
    #[schema(value_type = Vec<i64>)]
    pub(crate) ids: Vec<DeliveryId>,
    /// How they end; `completed` by default.
    #[serde(default)]
    pub(crate) outcome: AckOutcome,
    /// What went wrong, where they did not complete.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// With `extend`: so many seconds from now; 300 by default.
    #[schema(minimum = 1, maximum = 86_400)]
    #[serde(default)]
    pub(crate) lease_seconds: Option<u64>,
}

/// What came of answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Acked {
    /// How many records they were for.
    pub(crate) records: usize,
}

/// A file that was uploaded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Uploaded {
    /// The delivery that the file is.
    #[schema(value_type = i64)]
    pub(crate) delivery_id: DeliveryId,
    /// Its path in the data directory.
    pub(crate) path: String,
    /// The deliveries that were made of it, one for each app that gets it.
    #[schema(value_type = Vec<i64>)]
    pub(crate) deliveries: Vec<DeliveryId>,
    /// Who gets it.
    pub(crate) next_apps: Vec<String>,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// `sha256:` and its SHA-256 in hexadecimal.
    pub(crate) checksum: String,
    /// Its rows, where they are counted.
    pub(crate) rows: Option<u64>,
}

/// A file of the data directory, in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Liveness {
    /// `ok`.
    pub(crate) status: String,
}

/// One check of health.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthCheck {
    /// What was looked at.
    pub(crate) name: String,
    /// `pass`, `warn` or `fail`.
    pub(crate) verdict: String,
    /// What was seen.
    pub(crate) text: String,
    /// What to do.
    pub(crate) todo: Option<String>,
}

/// Whether all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// The worst of the checks.
    pub(crate) verdict: String,
    /// When this was looked at.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
    /// The checks.
    pub(crate) checks: Vec<HealthCheck>,
}
