//! What a stream program answered to a job: kept in the job's row, or published as a file where it is too large for that; where a
//! flow leads on, it goes on as a record, as what it answers to records does.

use super::inline::is_small;
use super::naming::{Naming, OUT, Place};
use super::outputs::Says;
use super::payload::JobPayload;
use super::{Attempt, Failed, Finished, Inline, Summary};
use handover_core::{Json, media};

/// What a stream program answers is JSON.
const MEDIA_TYPE: &str = "application/json";

impl Attempt {
    /// What comes of a job that its program has answered well, with this.
    pub(crate) async fn answered(&self, made: Option<Json>) -> Result<Finished, Failed> {
        let summary = Summary { rows_out: Some(u64::from(made.is_some())), ..Summary::default() };
        let Some(data) = made else { return Ok(Finished { summary, ..Finished::default() }) };
        let job = JobPayload::of(&self.delivery)?;
        let hops = self.ctx.routes.next(&self.app.name, &job.flows);
        let (trace, made) = (self.traceparent(), std::slice::from_ref(&data));
        let next = self.ctx.records_along(&hops, &self.app.name, &self.delivery, trace.as_deref(), made);
        let media_type = self.app.job.output.as_deref().unwrap_or(MEDIA_TYPE);
        let text = data.to_string();
        let bytes_out = Some(text.len() as u64);
        if is_small(text.len() as u64) {
            let output = Some(Inline::of_text(media_type, text));
            let summary = Summary { output, bytes_out, ..summary };
            return Ok(Finished { summary, next, ..Finished::default() });
        }
        let ext = self.app.ext.as_deref().or(media::extension(media_type)).unwrap_or("json");
        let naming = Naming {
            slot: OUT.into(),
            place: Place::Data(self.app.folder.clone()),
            app: self.app.name.clone(),
            type_name: job.type_name,
            date: job.date,
            wanted: Some(1),
            ext: ext.to_owned(),
            stem: None,
        };
        let named = self.reserve(naming).await?;
        let written = self.write_small(ext, text.into_bytes()).await?;
        let says = Says { flows: job.flows, row_count: Some(1), ..Says::default() };
        let made = self.publish(named, written, says).await?;
        let summary = Summary { outputs: vec![made.payload.path.clone()], bytes_out, ..summary };
        Ok(Finished { summary, next: [next, made.deliveries].concat(), ..Finished::default() })
    }
}
