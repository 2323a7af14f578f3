//! Standard output and error, with bidirectional control characters from foreign text made visible.

use std::io::{self, Stderr, Stdout};

use mergeline_telemetry::Visible;

/// For results.
pub(crate) fn stdout() -> Visible<Stdout> {
    Visible(io::stdout())
}

/// For everything else.
pub(crate) fn stderr() -> Visible<Stderr> {
    Visible(io::stderr())
}
