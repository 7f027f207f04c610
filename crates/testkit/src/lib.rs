//! What tests share: a clock that a test turns by hand, folders that vanish with the test, a temporary PostgreSQL,
//! a server that answers by HTTP, an authority that signs certificates, a mail server.
//!
//! Nothing here is part of the product; everything may panic with a clear message, as tests do.

#![allow(clippy::disallowed_methods, reason = "tests write as they like")]

mod authority;
mod clock;
mod folder;
mod http;
mod mail;
mod pooler;
pub mod postgres;
pub mod process;
mod project;
mod random;

pub use authority::Authority;
pub use clock::FakeClock;
pub use folder::Folder;
pub use http::{Asked, HttpServer, Reply};
pub use mail::{Mail, MailServer, MailServing};
pub use pooler::Pooler;
pub use postgres::TemporaryPostgres;
pub use process::Running;
pub use project::{Project, files_below};
pub use random::Random;
