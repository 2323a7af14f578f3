//! Standard output and error, on which texts of others turn nothing around.

use std::io::{self, Stderr, Stdout};

use mergeline_telemetry::Visible;

/// Where answers go.
pub(crate) fn stdout() -> Visible<Stdout> {
    Visible(io::stdout())
}

/// Where everything else goes.
pub(crate) fn stderr() -> Visible<Stderr> {
    Visible(io::stderr())
}
