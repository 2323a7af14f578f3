//! Facts about the current request.

tokio::task_local! {
    /// Facts about the current request.
    pub(crate) static REQUEST: RequestFacts;
}

/// What every response to a request carries or depends on.
#[derive(Debug, Clone)]
pub(crate) struct RequestFacts {
    pub(crate) trace_id: String,
    /// Whether errors should be problem details.
    pub(crate) wants_problem_details: bool,
}

/// The trace ID of the current request; empty outside of one.
pub(crate) fn trace_id() -> String {
    REQUEST.try_with(|facts| facts.trace_id.clone()).unwrap_or_default()
}

/// Whether errors should be problem details.
pub(crate) fn wants_problem_details() -> bool {
    REQUEST.try_with(|facts| facts.wants_problem_details).unwrap_or_default()
}

/// The path that the client requested, if a gateway is in front of the program, which may have removed a part of it.
/// The gateway also handles authorization.
#[derive(Debug, Clone)]
pub struct ClientPath(pub String);
