//! Requests to service apps through the real binary: what the service got, and what the client got, byte by byte where it
//! matters. The services are plain sockets ([`upstream`]) that do as each test says.

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

mod bad_services;
mod bodies;
mod connections;
mod frames;
mod limits;
mod proxying;
mod restarts;
mod smuggling;
mod tunnels;
mod upstream;
