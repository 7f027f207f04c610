//! Service apps in flows and jobs, on the real binary: what they are posted, and what becomes of what they answer.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod answers;
mod flows;
mod jobs;
mod kit;
mod looks;
mod statuses;
