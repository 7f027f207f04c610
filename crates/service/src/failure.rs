//! Why a call brought no answer.

use std::time::Duration;

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No upstream is to be asked now: all are down, or failed too often. 503, with the time after which it is worth asking.
    #[error("no upstream of {app} takes requests now")]
    Unavailable {
        /// The app.
        app: String,
        /// After how long to ask again.
        again: Duration,
    },
    /// No connection came about, or it ended before an answer. 502.
    #[error("{app} gave no answer: {why}")]
    NoAnswer {
        /// The app.
        app: String,
        /// What happened.
        why: String,
        /// Whether the request cannot have been acted upon.
        not_begun: bool,
    },
    /// The answer did not begin in time. 504.
    #[error("{app} did not answer within {}", handover_core::units::format_duration(*within))]
    TimedOut {
        /// The app.
        app: String,
        /// The time it had.
        within: Duration,
    },
    /// Its certificate is not trusted, which no retry mends by itself. 502.
    #[error("{app} cannot be asked: {why}")]
    Untrusted {
        /// The app.
        app: String,
        /// What is wrong with it.
        why: String,
    },
    /// As it is configured it cannot be asked: no retry helps, somebody has to change something. 502.
    #[error("{app} cannot be asked: {why}")]
    Config {
        /// The app.
        app: String,
        /// What is wrong.
        why: String,
    },
    /// What the caller sent paused for longer than the service's `timeout`: no failure of the service. 408.
    #[error("the request's body paused for longer than {}", handover_core::units::format_duration(*within))]
    CallerPaused {
        /// The time it had for its next piece.
        within: Duration,
    },
    /// What the caller sent broke off. 400: there is nobody to tell, mostly.
    #[error("the request broke off")]
    Caller,
}
