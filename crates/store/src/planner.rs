//! What PostgreSQL's planner knows of new tables.

use std::sync::atomic::Ordering;

use mergeline_domain::error_chain;

use crate::Writer;

/// Fewer rows say too little about a table. PostgreSQL waits for as many by itself.
const ENOUGH_ROWS: usize = 50;

impl Writer {
    /// Has the planner look at tables that were empty when it last looked, after `rows` were stored. PostgreSQL does so by
    /// itself, but up to a minute later. Until then it takes all indexes for equally good, because each begins with the
    /// tenant, and a first collection reads a whole repository to change a page of it: with details, 10,000 pull requests
    /// took 6.8 instead of 3.9 seconds.
    pub(crate) async fn learn_first_rows(&self, rows: usize) {
        if rows < ENOUGH_ROWS || self.has_learned.swap(true, Ordering::Relaxed) {
            return;
        }
        let learned = self.once(async |connection| {
            // Only the owner may.
            let is_new = sqlx::query_scalar!(
                r#"select count(*) > 0 as "is_new!" from pg_class
                where
                    oid = any(array['pull_requests', 'pr_attributions']::regclass []) and reltuples <= 0
                    and pg_has_role(relowner, 'usage')"#
            );
            if is_new.fetch_one(&mut *connection).await? {
                sqlx::raw_sql("analyze (skip_locked) pull_requests, pr_attributions").execute(connection).await?;
            }
            Ok(())
        });
        // Nothing depends on it, and PostgreSQL does it soon.
        if let Err(error) = learned.await {
            let code = error.code();
            tracing::debug!(code, "Could not analyze new tables: {}", error_chain(&error));
        }
    }
}
