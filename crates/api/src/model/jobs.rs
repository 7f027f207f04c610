//! Jobs, and what came of them.

use handover_core::{Delivery, DeliveryId, Status};
use handover_ledger::NewJob;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

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

    /// The job as it was when it was submitted.
    pub(crate) fn at_its_submission(self) -> Self {
        Self {
            status: JobStatus::Pending,
            cancelling: false,
            archived: false,
            updated_at: self.created_at,
            ended_at: None,
            attempts: 0,
            error: None,
            ..self
        }
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
