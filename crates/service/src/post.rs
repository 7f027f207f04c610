//! Posting a delivery to a service, and reading what it answers in pieces.

use crate::body::{Body, BoxError};
use crate::failure::Failure;
use crate::received::Received;
use crate::service::Service;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use std::fs::File;
use std::future::Future as _;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A file is read and sent in pieces of this size.
const PIECE: usize = 256 * 1024;

/// A body that is in memory.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of the next `size` bytes of a file, read as it is sent, off the async threads.
pub fn of_file(file: File, size: u64) -> Body {
    Box::new(FileBody { at: At::Rest(Some(file)), left: size }).boxed_unsync()
}

struct FileBody {
    at: At,
    left: u64,
}

enum At {
    Rest(Option<File>),
    Reading(JoinHandle<io::Result<(File, Bytes)>>),
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            match &mut this.at {
                At::Rest(_) if this.left == 0 => return Poll::Ready(None),
                At::Rest(file) => {
                    let Some(file) = file.take() else { return Poll::Ready(None) };
                    let most = usize::try_from(this.left).unwrap_or(PIECE).min(PIECE);
                    this.at = At::Reading(tokio::task::spawn_blocking(move || piece(file, most)));
                }
                At::Reading(reading) => {
                    let read = ready!(Pin::new(reading).poll(cx)).map_err(BoxError::from);
                    this.at = At::Rest(None);
                    let (file, bytes) = match read.and_then(|read| read.map_err(BoxError::from)) {
                        Ok(read) => read,
                        Err(e) => return Poll::Ready(Some(Err(e))),
                    };
                    if bytes.is_empty() {
                        return Poll::Ready(Some(Err("the file ended early".into())));
                    }
                    this.left = this.left.saturating_sub(bytes.len() as u64);
                    this.at = At::Rest(Some(file));
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn piece(mut file: File, most: usize) -> io::Result<(File, Bytes)> {
    let mut bytes = BytesMut::zeroed(most);
    let mut filled = 0;
    while filled < most {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok((file, bytes.freeze()))
}

/// What a service answered.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The version of HTTP that it came by.
    pub version: Version,
    body: Received,
    app: String,
    pause: Duration,
}

impl Answer {
    /// The next piece of its body; none at its end.
    ///
    /// # Errors
    /// Where it breaks off, or pauses for longer than the service's `timeout`.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let late = |_| Failure::TimedOut { app: self.app.clone(), within: self.pause };
            let frame = tokio::time::timeout(self.pause, self.body.frame()).await.map_err(late)?;
            let broke = |e: BoxError| Failure::NoAnswer {
                app: self.app.clone(),
                why: format!("its answer broke off: {}", crate::pool::deepest(e.as_ref())),
                not_begun: false,
            };
            match frame.transpose().map_err(broke)? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

impl Service {
    /// Posts to the path that deliveries are posted to.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn post(&self, headers: HeaderMap, body: Body) -> Result<Answer, Failure> {
        let app = self.settings().name.clone();
        let nowhere = |why: &str| self.misconfigured(why.to_owned());
        let found = self.group(&self.settings().post);
        let (group, path) = found.ok_or_else(|| nowhere("`post` names none of its versions"))?;
        let path = if path.is_empty() { "/" } else { path };
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().map_err(|_| nowhere("`post` is no path"))?;
        *request.headers_mut() = headers;
        let (parts, body) = self.send(group, request).await?.into_parts();
        let http::response::Parts { status, headers, version, .. } = parts;
        Ok(Answer { status, headers, version, body, app, pause: self.settings().timeout })
    }
}
