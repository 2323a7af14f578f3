//! What can go wrong between Mergeline and its database.

use mergeline_domain::Recovery;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError};

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or has no connection left.
    #[error("the database is not available")]
    Unavailable(#[source] Cause),
    /// It refused the user or the password.
    #[error("the database refused the login")]
    Unauthorized(#[source] Cause),
    /// A statement or lock timeout expired.
    #[error("the database took too long")]
    Timeout(#[source] Cause),
    /// A teams file was applied since the roster was read. Read it again.
    #[error("the configuration has changed since it was read")]
    StaleConfiguration,
    /// Two logins of the teams file turned out to be one account, with overlapping memberships.
    #[error(
        "`{known}` and `{configured}` are the same GitHub account, and both are in the team `{team}` at the same time: in \
         the teams file, end the membership of `{known}` with `to:` on the day from which `{configured}` is a member, \
         or remove one of the two"
    )]
    DuplicatePerson {
        /// The login by which the account was known.
        known: String,
        /// The login that was configured as a new person.
        configured: String,
        /// The slug of a team that has both as members at the same time.
        team: String,
    },
    /// Another worker has taken over the repository. Nothing was written.
    #[error("another worker has taken over this repository")]
    LostLease,
    /// Two configured names mean the same repository.
    #[error(
        "`{name}` and `{other}` are one repository, which GitHub calls `{current}` now: in the teams file, write \
         `{current}` in place of the two"
    )]
    DuplicateRepository {
        /// The configured name that was being identified.
        name: String,
        /// The other name.
        other: String,
        /// Its current name on GitHub.
        current: String,
    },
    /// A serialization failure or deadlock, on every retry.
    #[error("the database could not serialize the transaction")]
    Conflict(#[source] Cause),
    /// The server does not accept writes: a standby, or a former primary.
    #[error("the database is read-only")]
    ReadOnly(#[source] Cause),
    /// The disk is full.
    #[error("the database has no space left on its disk")]
    DiskFull(#[source] Cause),
    /// A value that this PostgreSQL does not know, for example a time zone.
    #[error("the database does not know a value")]
    UnknownValue(#[source] Cause),
    /// The schema does not match this program.
    #[error(
        "the database schema does not fit this program: run `mergeline migrate` of this version, or use a newer version"
    )]
    Schema(#[source] Cause),
    /// Migrations are missing. They need a dedicated session, and a pooler is in between.
    #[error(
        "{} missing, and a connection pooler is in between: run `mergeline migrate` with the address of the database \
         itself in DB_URL; for a pooler that keeps one server connection per client, set DB_POOLER=session",
        if *missing == 1 { "1 migration is".to_owned() } else { format!("{missing} migrations are") }
    )]
    Pooler {
        /// How many migrations are missing.
        missing: usize,
    },
    /// Migrations are missing, and this login does not own the tables, so it cannot apply them.
    #[error(
        "{} missing, and this login does not own the tables: run `mergeline migrate` with the login that does (in AWS: \
         `Migrate` of the stack's outputs), then try again",
        if *missing == 1 { "1 migration is".to_owned() } else { format!("{missing} migrations are") }
    )]
    Outdated {
        /// How many migrations are missing.
        missing: usize,
    },
    /// Logins are to be made, and this login does not own the tables.
    #[error("this login does not own the tables, so it cannot let other logins use them: name the owner's in DB_URL")]
    NotOwner,
    /// A login that is to be made exists, and is not one of this database.
    #[error(
        "the login `{login}` exists already and is not one of this database: write another name into its secret, or, if \
         it is meant, let an administrator of the database run `{statement};`"
    )]
    LoginTaken {
        /// Its name.
        login: String,
        /// The statement that makes it one of this database.
        statement: String,
    },
    /// The login may not create tables. Since PostgreSQL 15 only the owner of a database and roles with a grant may.
    #[error("the login may not create tables in the database")]
    MayNotCreate {
        /// The statement that allows it, for the owner or a superuser.
        grant: String,
    },
    /// The login is valid, but lacks the CONNECT privilege on this database.
    #[error("the login may not connect to the database")]
    MayNotConnect {
        /// The statement that allows it, for the owner or a superuser.
        grant: String,
    },
    /// None of the schemas in the login's `search_path` exists, or the login may not use any of them.
    #[error("the search_path of the login (`{search_path}`) names no schema that it may use")]
    NoSchema {
        /// The login's `search_path`.
        search_path: String,
        /// The statements that allow it, for the owner or a superuser.
        statements: String,
    },
    /// Anything else.
    #[error("the database reported an error")]
    Other(#[source] Cause),
}

/// The database's own error. It never carries the URL.
type Cause = Box<dyn std::error::Error + Send + Sync>;

impl StoreError {
    /// What it takes to recover.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Unavailable(_)
            | Self::Unauthorized(_)
            | Self::ReadOnly(_)
            | Self::DiskFull(_)
            | Self::Schema(_)
            | Self::Outdated { .. }
            | Self::NotOwner
            | Self::LoginTaken { .. }
            | Self::MayNotCreate { .. }
            | Self::MayNotConnect { .. }
            | Self::NoSchema { .. }
            | Self::Pooler { .. } => Recovery::Fatal,
            Self::DuplicatePerson { .. } | Self::DuplicateRepository { .. } => Recovery::NeedsPerson,
            Self::Timeout(_)
            | Self::StaleConfiguration
            | Self::LostLease
            | Self::Conflict(_)
            | Self::UnknownValue(_)
            | Self::Other(_) => Recovery::RETRY,
        }
    }

    /// Whether the whole run must stop, because every other repository would fail too.
    pub fn is_fatal(&self) -> bool {
        self.recovery() == Recovery::Fatal
    }

    /// A stable code for logs, the ledger and alarms.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "db_unavailable",
            Self::Unauthorized(_) => "db_auth",
            Self::Timeout(_) => "db_timeout",
            Self::StaleConfiguration => "stale_configuration",
            Self::DuplicatePerson { .. } => "config.same_person",
            Self::LostLease => "lease_lost",
            Self::DuplicateRepository { .. } => "config.same_repository",
            Self::Conflict(_) => "db_conflict",
            Self::ReadOnly(_) => "db_read_only",
            Self::DiskFull(_) => "db_disk_full",
            Self::UnknownValue(_) => "db_unknown_value",
            Self::Schema(_) => "db_schema",
            Self::Outdated { .. } => "schema_outdated",
            Self::NotOwner => "db_not_owner",
            Self::LoginTaken { .. } => "db_login_taken",
            Self::MayNotCreate { .. } => "db_may_not_create",
            Self::MayNotConnect { .. } => "db_may_not_connect",
            Self::NoSchema { .. } => "db_no_schema",
            Self::Pooler { .. } => "db_pooler",
            Self::Other(_) => "db_error",
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(reported) = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        else {
            return match &error {
                sqlx::Error::Configuration(cause) => match cause.downcast_ref::<MayNotConnect>() {
                    Some(MayNotConnect { grant }) => Self::MayNotConnect { grant: grant.clone() },
                    None => Self::Other(error.into()),
                },
                sqlx::Error::Io(io) => {
                    let distrust = distrust(io);
                    Self::Unavailable(distrust.map_or_else(|| error.into(), Cause::from))
                }
                sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                    Self::Unavailable(error.into())
                }
                _ => Self::Other(error.into()),
            };
        };
        // sqlx's own text ends in a line number of PostgreSQL's source, which does not help here.
        let cause = Cause::from(format!("{} ({})", reported.message(), reported.code()));
        match reported.code() {
            // Class 28: invalid authorization.
            "28000" | "28P01" => Self::Unauthorized(cause),
            // query_canceled by statement_timeout, lock_not_available by lock_timeout.
            "57014" | "55P03" => Self::Timeout(cause),
            // too_many_connections, admin_shutdown, crash_shutdown, cannot_connect_now, and
            // idle_in_transaction_session_timeout.
            "53300" | "57P01" | "57P02" | "57P03" | "25P03" => Self::Unavailable(cause),
            // serialization_failure, deadlock_detected.
            "40001" | "40P01" => Self::Conflict(cause),
            // read_only_sql_transaction.
            "25006" => Self::ReadOnly(cause),
            // A standby refuses to begin a transaction that may write; the routine is named differently since 16.
            "0A000" if matches!(reported.routine(), Some("check_transaction_read_only" | "check_XactReadOnly")) => {
                Self::ReadOnly(cause)
            }
            // The role lacks a right to a table or view, which the next migration grants.
            "42501" if reported.routine() == Some("aclcheck_error") => Self::Schema(cause),
            // disk_full.
            "53100" => Self::DiskFull(cause),
            // invalid_parameter_value.
            "22023" => Self::UnknownValue(cause),
            // undefined_table, undefined_column, undefined_function.
            "42P01" | "42703" | "42883" => Self::Schema(cause),
            _ => Self::Other(cause),
        }
    }
}

/// Why a new connection was refused. Carried through the pool.
#[derive(Debug, thiserror::Error)]
#[error("the login may not connect: {grant}")]
pub(crate) struct MayNotConnect {
    /// The statement that allows it.
    grant: String,
}

impl MayNotConnect {
    /// Converts an error of a new connection with these options, if it is about the CONNECT privilege.
    pub(crate) fn or(error: sqlx::Error, options: &PgConnectOptions) -> sqlx::Error {
        let reported = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        // The message is in the server's language, and the code is the same for any missing privilege. The routine
        // checks only this one.
        if !reported.is_some_and(|reported| reported.code() == "42501" && reported.routine() == Some("CheckMyDatabase"))
        {
            return error;
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let (database, role) = (quoted(options.get_database().unwrap_or_default()), quoted(options.get_username()));
        let grant = format!("GRANT CONNECT ON DATABASE {database} TO {role}");
        sqlx::Error::Configuration(Box::new(Self { grant }))
    }
}

/// Why rustls rejects the server's certificate, in words for people who do not know rustls.
fn distrust(error: &std::io::Error) -> Option<String> {
    let text = error.to_string();
    let reason = match text.strip_prefix("invalid peer certificate: ")? {
        "UnknownIssuer" => {
            "it was signed by an unknown authority; set PGSSLROOTCERT, or sslrootcert in DB_URL, to that authority's file"
        }
        reason => reason,
    };
    Some(format!("the server's certificate is not trusted: {reason}"))
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
                error.into()
            }
            other => Self::Schema(other.into()),
        }
    }
}
