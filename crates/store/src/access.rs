//! Who may see what on the page, as the newest teams file says.

use mergeline_domain::AccessLines;
use sqlx::types::Json;

use crate::{Reader, StoreError};

impl Reader {
    /// The lines of `access` that are in force; none before the first teams file was applied.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn access(&self) -> Result<AccessLines, StoreError> {
        self.with_deadline(async |connection| {
            let row =
                sqlx::query_scalar!(r#"select access as "access!: Json<AccessLines>" from configuration_in_force"#)
                    .fetch_optional(connection)
                    .await?;
            Ok(row.map(|Json(lines)| lines).unwrap_or_default())
        })
        .await
    }
}
