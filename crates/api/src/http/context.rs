//! What is known of the request that is being answered.

tokio::task_local! {
    /// What is known of the request that is being answered.
    pub(crate) static REQUEST: RequestFacts;
}

/// What every answer to a request carries or depends on.
#[derive(Debug, Clone)]
pub(crate) struct RequestFacts {
    pub(crate) trace_id: String,
    /// Whether errors are wanted as problem details.
    pub(crate) wants_problem_details: bool,
}

/// The trace id of the request that is being answered; empty outside of one.
pub(crate) fn trace_id() -> String {
    REQUEST.try_with(|facts| facts.trace_id.clone()).unwrap_or_default()
}

/// Whether errors are wanted as problem details.
pub(crate) fn wants_problem_details() -> bool {
    REQUEST.try_with(|facts| facts.wants_problem_details).unwrap_or_default()
}

/// The path by which the client asked, where a gateway is in front of the program, which may have taken a part of it. The gateway
/// also sees to who may ask.
#[derive(Debug, Clone)]
pub struct ClientPath(pub String);
