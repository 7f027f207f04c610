//! What tests share: a clock that a test turns by hand, and folders that vanish with the test.
//!
//! Nothing here is part of the product; everything may panic with a clear message, as tests do.

#![allow(clippy::disallowed_methods, reason = "tests write as they like")]

mod clock;
mod folder;
pub mod process;
mod project;
mod random;

pub use clock::FakeClock;
pub use folder::Folder;
pub use process::Running;
pub use project::{Project, files_below};
pub use random::Random;
