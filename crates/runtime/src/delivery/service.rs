//! A service app: a delivery is posted to it, and what it answers is the output.
//!
//! A file's bytes are streamed from the input that was checked against its manifest, a record goes as JSON, a job as what came
//! with it. The answer is written as it comes, into a draft that nobody sees until it is whole; nothing in it is no output.
//!
//! Invariants: an output counts only when its answer was read to its end, and an answer is bounded by `max_answer` and by the disk; each attempt at a delivery carries the same
//! `Idempotency-Key`, so that a service can do once what is asked twice. On a crash the call breaks off and the delivery is posted
//! again.

use super::inline::is_small;
use super::outputs::Says;
use super::payload::{JobPayload, Takes};
use super::program::Work;
use super::records::Origin;
use super::rows::{SMALL_BYTES, blocking_for, checked_input, flows_of, rows_of};
use super::source::From;
use super::{Attempt, Failed, Finished, Slot, Summary, record};
use crate::engine::{ended, enough_room};
use answer::judge;
use handover_core::limits::{FULL_BELIEVED_MAX, RECORD_MAX_BYTES};
use handover_core::{Error, ErrorKind, FileName, Kind, Result, fault, media};
use handover_file::draft::{Draft, Written};
use handover_file::read::RetainedPath;
use handover_service::{Answer, Body, Service, of_file, whole};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::io::{Read as _, Write as _};
use std::sync::Arc;

mod answer;

/// So much of an answer is gathered before it is written.
const PIECE: usize = 256 * 1024;

/// What is posted.
struct Posting {
    body: Body,
    media_type: String,
    /// The input, for as long as it is read.
    _input: Option<RetainedPath>,
}

impl Attempt {
    pub(super) async fn service(&self, slot: &mut Slot) -> Result<Finished, Failed> {
        if self.delivery.kind == Kind::Record {
            return self.post_record(slot).await;
        }
        let work = self.what_to_work_on()?;
        let posting = self.posting(&work).await?;
        let file = work.source.as_ref().filter(|source| source.file().is_some());
        let name = file.map(|source| source.name.clone());
        let headers = self.headers(&posting.media_type, &work, name.as_ref());
        slot.begin().await?;
        fault::point("program.before_start")?;
        let mut answer = self.post(headers, posting.body).await?;
        let media_type = media_type_of(&answer);
        let ext = self.ext_of(&work, media_type.as_deref());
        let written = self.written(&mut answer, &ext).await?;
        fault::point("program.ended")?;
        slot.free();
        let rows_in = work.source.as_ref().and_then(|source| source.file()?.manifest.row_count);
        let mut summary = Summary { rows_in, ..Summary::default() };
        let Some(written) = written else { return Ok(Finished { summary, ..Finished::default() }) };
        summary.rows_out = written.row_count;
        summary.bytes_out = Some(written.file_size);
        let hops = self.ctx.routes.next(&self.app.name, &work.flows);
        if self.keeps_small(&hops) && is_small(written.file_size) {
            let said = self.app.job.output.as_deref().or(media_type.as_deref());
            summary.output = Some(Self::inline(&written, said)?);
            return Ok(Finished { summary, ..Finished::default() });
        }
        let named = self.reserve(self.naming(&work, ext)).await?;
        let says = Says { flows: flows_of(&hops, &work.flows), hops, ..Says::default() };
        let made = self.publish(named, written, says).await?;
        summary.outputs.push(made.payload.path.clone());
        Ok(Finished { summary, next: made.deliveries, ..Finished::default() })
    }

    async fn post_record(&self, slot: &mut Slot) -> Result<Finished, Failed> {
        let Origin { type_name, date } = self.ctx.origin(Some(&self.app), &self.delivery).await?;
        let flows = self.ctx.flows_of(&self.app.name, &self.delivery);
        let work = Work { source: None, type_name, date, flows };
        let headers = self.headers("application/json", &work, None);
        slot.begin().await?;
        fault::point("program.before_start")?;
        let mut answer = self.post(headers, whole(self.delivery.data.to_string())).await?;
        let bytes = self.in_memory(&mut answer).await?;
        fault::point("program.ended")?;
        slot.free();
        let made = record::values(&bytes).map_err(|e| {
            Error::new(ErrorKind::Service, "what the service answered for this record is no JSON")
                .because(e)
                .hint("let it answer one JSON value, or one a line; or hand files over to it")
        })?;
        let next =
            self.ctx.next_records(&self.app.name, &self.delivery, self.traceparent().as_deref(), &made);
        let summary = self.record_summary(made, next.is_empty(), Summary::default());
        Ok(Finished { summary, next, ..Finished::default() })
    }

    /// Makes the input ready, checked, off the async threads.
    async fn posting(&self, work: &Work) -> Result<Posting> {
        let Some(source) = &work.source else {
            return Ok(Posting { body: whole(""), media_type: media::BYTES.to_owned(), _input: None });
        };
        let payload = match &source.from {
            From::Inline(inline) => {
                let (bytes, media_type) = self
                    .came_with()?
                    .unwrap_or_else(|| (inline.bytes.clone(), media::of_extension(&inline.ext).to_owned()));
                return Ok(Posting { body: whole(bytes), media_type, _input: None });
            }
            From::File(payload) => payload.clone(),
        };
        self.ctx.may_read(&payload).await?;
        let media_type = media::of_extension(&source.name.ext).to_owned();
        let size = payload.manifest.file_size;
        let (data, holder) = (self.ctx.project.data.clone(), self.ctx.process.holder.clone());
        blocking_for(size, move || {
            let (input, mut file) = checked_input(&data, &holder, &payload)?;
            let body = if size > SMALL_BYTES {
                of_file(file, size)
            } else {
                let mut bytes = Vec::new();
                let read = file.read_to_end(&mut bytes);
                read.map_err(|e| Error::io("read", input.path().display(), e))?;
                whole(bytes)
            };
            Ok(Posting { body, media_type, _input: Some(input) })
        })
        .await
    }

    /// What came with a job in the words that it came in: a JSON value as it is, a text with its own media type.
    fn came_with(&self) -> Result<Option<(Vec<u8>, String)>> {
        Ok(match JobPayload::of(&self.delivery)?.input {
            Some(Takes::Json(value)) => Some((value.to_string().into_bytes(), "application/json".to_owned())),
            Some(Takes::Text { text, media_type }) => Some((
                text.into_bytes(),
                media_type.unwrap_or_else(|| "text/plain; charset=utf-8".to_owned()),
            )),
            Some(Takes::File(_)) | None => None,
        })
    }

    /// What goes with a delivery.
    fn headers(&self, media_type: &str, work: &Work, name: Option<&FileName>) -> HeaderMap {
        let id = self.delivery.id;
        let key = format!("handover-{}-{id}", self.ctx.project.ledger.identity());
        let said = [
            (CONTENT_TYPE, Some(media_type.to_owned())),
            (USER_AGENT, Some("handover".to_owned())),
            // The answer becomes a file as it comes.
            (ACCEPT_ENCODING, Some("identity".to_owned())),
            (HeaderName::from_static("idempotency-key"), Some(key)),
            (HeaderName::from_static("x-handover-app"), Some(self.app.name.to_string())),
            (HeaderName::from_static("x-handover-delivery"), Some(id.to_string())),
            (HeaderName::from_static("x-handover-attempt"), Some(self.delivery.attempts.to_string())),
            (HeaderName::from_static("x-handover-type"), Some(work.type_name.to_string())),
            (HeaderName::from_static("x-handover-date"), Some(work.date.to_string())),
            (
                HeaderName::from_static("x-handover-sequence"),
                name.map(|name| format!("{:03}", name.sequence)),
            ),
            (HeaderName::from_static("traceparent"), self.traceparent()),
        ];
        let mut headers = HeaderMap::with_capacity(said.len());
        for (header, value) in said {
            // What no header can hold, such as a trace that somebody made up, is left out.
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(header, value);
            }
        }
        headers
    }

    /// Posts, and judges the answer by its status; a stop ends the call.
    async fn post(&self, headers: HeaderMap, body: Body) -> Result<Answer, Failed> {
        let service = self.service_of()?;
        let answered = self.or_stopped(service.post(headers, body)).await?;
        self.or_stopped(judge(answered.map_err(answer::failed)?, &self.app)).await?
    }

    fn service_of(&self) -> Result<Arc<Service>> {
        let service = self.ctx.project.services.get(self.app.name.as_str());
        service.cloned().ok_or_else(|| Error::internal("a service app has no client"))
    }

    /// What comes of this, unless the work is to stop first.
    async fn or_stopped<T>(&self, call: impl Future<Output = T>) -> Result<T> {
        let mut stop = self.lease.cancel();
        tokio::select! {
            biased;
            () = ended(&mut stop) => Err(Error::new(ErrorKind::Cancelled, "the call was broken off")),
            came = call => Ok(came),
        }
    }

    /// The next piece of an answer.
    async fn piece(&self, answer: &mut Answer) -> Result<Option<bytes::Bytes>> {
        self.or_stopped(answer.piece()).await?.map_err(answer::failed)
    }

    /// The answer as a file, written as it comes; none where there is nothing in it.
    async fn written(&self, answer: &mut Answer, ext: &str) -> Result<Option<Written>, Failed> {
        let mut draft: Option<Draft> = None;
        let mut held: Vec<u8> = Vec::new();
        let mut size = 0_u64;
        loop {
            let piece = self.piece(answer).await?;
            held.extend_from_slice(piece.as_deref().unwrap_or_default());
            size += piece.as_deref().map_or(0, |piece| piece.len() as u64);
            answer::bounded(size, &self.app)?;
            if held.len() >= PIECE || (piece.is_none() && !held.is_empty()) {
                draft = Some(self.append(draft.take(), ext, std::mem::take(&mut held)).await?);
            }
            if piece.is_none() {
                break;
            }
        }
        let Some(draft) = draft else { return Ok(None) };
        Ok(Some(blocking_for(0, move || draft.finish()).await?))
    }

    /// Writes more of an answer, where there is room for it and some is left for others.
    async fn append(&self, draft: Option<Draft>, ext: &str, bytes: Vec<u8>) -> Result<Draft> {
        let (data, holder) = (self.ctx.project.data.clone(), self.ctx.process.holder.clone());
        let ext = ext.to_owned();
        let appended = blocking_for(bytes.len() as u64, move || {
            let mut draft = match draft {
                Some(draft) => draft,
                None => data.draft(&holder, &ext)?.counting(rows_of(&ext)),
            };
            draft.write_all(&bytes).map_err(|e| Error::io("write", draft.path().display(), e))?;
            enough_room(&data)?;
            Ok(draft)
        });
        let full = |e: Error| if e.kind() == ErrorKind::NotYet { self.no_room().because(e) } else { e };
        appended.await.map_err(full)
    }

    /// A disk that others have filled is waited for; one that is full time and again, where there was room when the delivery
    /// began, is filled by the answer.
    fn no_room(&self) -> Error {
        if self.delivery.snoozes < FULL_BELIEVED_MAX {
            let message = "the disk is full, so what the service answered is not believed";
            return Error::new(ErrorKind::NotYet, message).hint("make room: it is posted again by itself");
        }
        Error::new(ErrorKind::Service, "time and again there was no room for what the service answered")
            .hint("make room, or let it answer less: `max_answer` bounds it; then `handover retry`")
    }

    /// The answer to a record.
    async fn in_memory(&self, answer: &mut Answer) -> Result<Vec<u8>, Failed> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece(answer).await? {
            bytes.extend_from_slice(&piece);
            answer::bounded(bytes.len() as u64, &self.app)?;
            if bytes.len() > RECORD_MAX_BYTES {
                let most = RECORD_MAX_BYTES / (1024 * 1024);
                let message = format!("the service answered more than {most} MiB for one record");
                return Err(Error::new(ErrorKind::Service, message)
                    .hint("hand files over to it: they may be larger")
                    .into());
            }
        }
        Ok(bytes)
    }

    /// The extension of the output: the app's, or that of what the answer says it is, or the input's.
    fn ext_of(&self, work: &Work, media_type: Option<&str>) -> String {
        let answered = || media_type.and_then(media::extension).map(str::to_owned);
        self.app.ext.clone().or_else(answered).unwrap_or_else(|| self.ext(work))
    }
}

fn media_type_of(answer: &Answer) -> Option<String> {
    let said = answer.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    media::is_media_type(said).then(|| said.to_owned())
}
