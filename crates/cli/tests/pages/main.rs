//! The dashboard as a browser meets it, byte by byte: who gets in, what is refused, which headers every page has. What is seen on
//! pages is checked in a browser by `dev/page-checks`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[allow(dead_code, reason = "the tests of the API use all of it")]
#[path = "../api/document.rs"]
mod document;
#[allow(dead_code, reason = "the tests of the API use all of it")]
#[path = "../api/http.rs"]
mod http;
#[allow(dead_code, reason = "the tests of the API use all of it")]
#[path = "../api/kit.rs"]
mod kit;

mod clock;
mod deliveries;
mod growth;
mod keys;
mod live;
mod login;
mod visits;
mod walls;
