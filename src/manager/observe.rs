//! What an operator sees of requests, with the features `tracing` and `metrics`. Neither is ever
//! given an id.

use super::cookie::Notice;
use crate::session::SessionError;

/// How the look-up of a request's session went.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    NoCookie,
    Found,
    Unknown,
    Malformed,
    Oversized,
    Duplicate,
    Failed,
}

#[cfg(any(feature = "metrics", feature = "tracing"))]
impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::NoCookie => "no_cookie",
            Self::Found => "found",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::Oversized => "oversized",
            Self::Duplicate => "duplicate",
            Self::Failed => "failed",
        }
    }
}

/// Counts look-ups by their outcome: `dwell.session.lookups`; and notes it in the span of the
/// look-up.
pub(super) fn looked_up(outcome: Outcome) {
    #[cfg(feature = "metrics")]
    metrics::counter!("dwell.session.lookups", "outcome" => outcome.name()).increment(1);
    #[cfg(feature = "tracing")]
    tracing::Span::current().record("dwell.session.outcome", outcome.name());
    #[cfg(not(any(feature = "metrics", feature = "tracing")))]
    let _ = outcome;
}

/// Counts and logs what a provider fails at: `dwell.session.failures`, by kind. An error that is an
/// answer, such as that a session has ended, is no failure.
pub(super) fn failed(error: &SessionError) {
    let Some(kind) = kind(error) else { return };
    #[cfg(feature = "metrics")]
    metrics::counter!("dwell.session.failures", "kind" => kind).increment(1);
    #[cfg(feature = "tracing")]
    tracing::error!(
        kind,
        error = error as &dyn std::error::Error,
        "the session provider failed"
    );
    #[cfg(not(any(feature = "metrics", feature = "tracing")))]
    let _ = kind;
}

fn kind(error: &SessionError) -> Option<&'static str> {
    match error {
        #[cfg(feature = "redis")]
        SessionError::Backend(_) => {
            let failure = crate::provider::redis::RedisFailure::of(error);
            Some(failure.map_or("backend", |failure| failure.kind()))
        }
        #[cfg(not(feature = "redis"))]
        SessionError::Backend(_) => Some("backend"),
        SessionError::Random(_) => Some("random"),
        SessionError::Collision => Some("collision"),
        _ => None,
    }
}

/// Counts what clients are told: `dwell.session.cookies`.
pub(super) fn told(notice: &Notice) {
    match notice {
        Notice::Nothing => {}
        Notice::Issued(..) => cookie("issued"),
        Notice::Ended => cookie("removed"),
    }
}

/// Counts and logs what a client should have been told, and was not, because its response was made
/// elsewhere.
#[cfg(feature = "tower")]
pub(super) fn lost(notice: &Notice) {
    if matches!(notice, Notice::Nothing) {
        return;
    }
    cookie("lost");
    #[cfg(feature = "tracing")]
    tracing::warn!("no response came to the session layer, so a session cookie is lost");
}

fn cookie(action: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("dwell.session.cookies", "action" => action).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = action;
}
