//! Who may read, who may write, and what is recorded about it.

mod common;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use common::{apply, fresh, teams};
use mergeline_domain::Problems;
use mergeline_domain::delivery::{DeploymentEvent, IncidentChange, IncidentEvent, LinkRule, PostedDeployment};
use mergeline_domain::progress::{Backfill, ProgressEvent};
use mergeline_fake_github::{at, pr};
use mergeline_store::{
    Actor, ApplyOptions, DatabaseSettings, Event, EventKind, EventOutcome, EventRefusal, LeaseOutcome, LoginKind,
    LoginStatus, Logins, Poster, Reader, Reason, RepositoryResult, Sender, StoreError, Tenant, Writer,
};
use mergeline_test_support::{PgBouncer, TestDatabase, finish_reading, keep};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

const NOW: &str = "2026-06-17T12:00:00Z";

async fn execute(pool: &PgPool, statements: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(pool).await?;
    Ok(())
}

fn settings(url: &str) -> Result<DatabaseSettings> {
    Ok(DatabaseSettings::parse(&SecretString::from(url)).map_err(Problems::from)?)
}

/// Makes every look at the configuration fail with the role that looks, and whether it could write.
async fn reveal_access(pool: &PgPool) -> Result<()> {
    execute(
        pool,
        "create function access() returns boolean language plpgsql as $$ begin
            raise exception 'as %, read only: %', current_user, current_setting('transaction_read_only');
        end $$;
        create or replace view configuration_in_force as
        select revision, applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules, delivery,
            access, goals, investment, channels, metrics
        from configurations
        where access()",
    )
    .await
}

/// The role that looks at the configuration, and whether it could write.
async fn access(store: &Reader) -> Result<String> {
    let error = store.timezone().await.err().context("a look fails")?;
    let text = format!("{:?}", anyhow::Error::from(error));
    let from = text.find("as ").context("the role")?;
    let found: String = text[from..].chars().take_while(|c| !matches!(c, '"' | '\n' | '(')).collect();
    Ok(found.trim_end().to_owned())
}

/// The name of the role for reading.
async fn role(pool: &PgPool) -> Result<String> {
    let sql = "select 'mergeline_reader_' || oid from pg_database where datname = current_database()";
    Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
}

/// A migrated database, and the name of its role for reading.
async fn migrated() -> Result<(TestDatabase, Writer, String)> {
    let (database, store) = fresh().await?;
    assert_eq!(store.migrate().await?, None, "its login may create it");
    let role = role(&database.pool().await?).await?;
    Ok((database, store, role))
}

#[tokio::test]
async fn a_reader_acts_as_a_role_that_only_reads() -> Result<()> {
    let (database, store, role) = migrated().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let pool = database.pool().await?;
    let pgbouncer = PgBouncer::start(&database, "transaction").await?;
    let (direct, pooled) = (database.reader()?, Reader::connect(&settings(pgbouncer.url())?));
    direct.snapshot().await?.context("it may read")?;
    pooled.snapshot().await?.context("it may read")?;
    reveal_access(&pool).await?;
    assert_eq!(access(&direct).await?, format!("as {role}, read only: on"));
    assert_eq!(access(&pooled).await?, format!("as {role}, read only: on"));
    let writer = access(&store).await?;
    assert!(!writer.contains(&role), "{writer}");
    // What a reader left behind in a shared connection does not concern the next one.
    let pooled_writer = Writer::connect(&settings(pgbouncer.url())?, Actor::Collector);
    assert!(!access(&pooled_writer).await?.contains(&role));
    Ok(())
}

#[tokio::test]
async fn pooled_reader_looks_for_a_lost_role_again() -> Result<()> {
    let (database, store, role) = migrated().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let pool = database.superuser_pool().await?;
    let pgbouncer = PgBouncer::start(&database, "transaction").await?;
    // One connection, which stays open.
    let pooled = Reader::connect(&settings(pgbouncer.url())?.with_connections(1));
    pooled.snapshot().await?.context("it may read")?;
    execute(&pool, &format!("alter role {role} rename to {role}_away")).await?;
    assert!(pooled.snapshot().await.is_err(), "it does not go on as its login");
    execute(&pool, &format!("alter role {role}_away rename to {role}")).await?;
    reveal_access(&database.pool().await?).await?;
    assert_eq!(access(&pooled).await?, format!("as {role}, read only: on"));
    Ok(())
}

#[tokio::test]
async fn the_reading_role_may_select_and_nothing_else() -> Result<()> {
    let (database, _store, role) = migrated().await?;
    let pool = database.pool().await?;
    let rights: (i64, i64, i64) = sqlx::query_as(
        "select
            count(*),
            count(*) filter (where has_table_privilege($1, c.oid, 'select')),
            count(*) filter (where has_table_privilege($1, c.oid, 'insert, update, delete, truncate, references, trigger'))
        from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')",
    )
    .bind(&role)
    .fetch_one(&pool)
    .await?;
    assert!(rights.0 > 20, "{rights:?}");
    assert_eq!((rights.1, rights.2), (rights.0, 0));
    // A table of a later migration becomes readable with it.
    execute(&pool, "create table later (id integer)").await?;
    database.store()?.migrate().await?;
    let may_read: bool =
        sqlx::query_scalar("select has_table_privilege($1, 'later', 'select')").bind(&role).fetch_one(&pool).await?;
    assert!(may_read);
    Ok(())
}

/// A deployment that is posted about the repository of the teams file.
fn posted(id: &str) -> Result<PostedDeployment> {
    let event = DeploymentEvent {
        id: id.to_owned(),
        service: "acme/api".to_owned(),
        environment: "production".to_owned(),
        sha: Some("0a".repeat(20)),
        ..DeploymentEvent::default()
    };
    event.check(at(NOW)).map_err(|invalid| anyhow::anyhow!("{invalid:?}"))
}

/// What the role that posts may change.
const CHANGED_BY_POSTING: [&str; 27] = [
    "announcements.last_at",
    "deployments.created_at",
    "deployments.failed_afterwards_at",
    "deployments.failed_at",
    "deployments.is_declared_failed",
    "deployments.is_declared_rework",
    "deployments.outcome",
    "deployments.remedies",
    "deployments.succeeded_at",
    "deployments.url",
    "deployments.version",
    "incidents.merged_into",
    "incidents.named_deployment_id",
    "incidents.set_deployment_id",
    "incidents.severity",
    "incidents.source_severity",
    "incidents.url",
    "pr_attributions.delivered_at",
    "pr_attributions.deploy_seconds",
    "pr_attributions.lead_seconds",
    "pull_requests.delivered_at",
    "pull_requests.is_delivery_assumed",
    "repositories.pull_requests",
    "repositories.without_details",
    "services.data_version",
    "services.first_source",
    "services.has_facts",
];

#[tokio::test]
async fn the_posting_role_writes_what_is_posted_and_nothing_else() -> Result<()> {
    let (database, store, reader) = migrated().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    keep(&store, &[pr("acme/api", 1).by("ana").merged("2026-06-10T12:00:00Z")]).await?;
    let (pool, role) = (database.superuser_pool().await?, reader.replace("reader", "poster"));
    // A login that may do nothing but act as the two roles.
    let login = format!("api_{}", std::process::id());
    execute(&pool, &format!("create role {login} login; grant {role}, {reader} to {login}")).await?;
    let mut url = url::Url::parse(database.url())?;
    ensure!(url.set_username(&login).is_ok(), "a URL with a host");
    let settings = settings(url.as_str())?;
    let poster = Poster::connect(&settings);
    let (sender, digest) = (Sender::default(), [1; 32]);
    let stored = poster.post_deployment(&sender, &digest, &posted("1")?, at(NOW)).await??;
    assert_eq!((stored.outcome, stored.is_production), (EventOutcome::Created, true));
    let incident = IncidentEvent {
        id: "I1".to_owned(),
        service: "acme/api".to_owned(),
        title: "Down".to_owned(),
        ..IncidentEvent::default()
    };
    let incident = incident.check(at(NOW)).map_err(|invalid| anyhow::anyhow!("{invalid:?}"))?;
    let stored = poster.post_incident(&sender, &digest, &incident, at(NOW)).await??;
    assert_eq!(stored.link.map(|(_, rule)| rule), Some(LinkRule::Window));
    let refused = poster.change_incident(&sender, &digest, "I2", IncidentChange::Resolved(at(NOW)), at(NOW)).await?;
    assert_eq!(refused, Err(EventRefusal::UnknownIncident));
    assert_eq!(store.derive_all(false).await?.rows, 0);
    poster.close().await;
    let other = Writer::connect(&settings, Actor::Collector);
    assert!(apply(&other, &teams(&[("pay", "{ github: ben }")])).await.is_err());
    other.close().await;
    let rights: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', c.relname, string_agg(lower(p.name), ' ' order by p.name))
        from pg_class as c
        cross join (values ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) as p (name)
        where
            c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
            and has_table_privilege($1, c.oid, p.name)
        group by c.relname
        order by 1",
    )
    .bind(&role)
    .fetch_all(&pool)
    .await?;
    let expected = [
        "announcements insert",
        "deployment_attempts delete insert",
        "deployment_facts delete insert update",
        "deployment_failures delete insert update",
        "deployment_revisions insert",
        "deployment_shares delete insert update",
        "deployment_states insert",
        "deployments insert",
        "incident_facts delete insert update",
        "incident_states insert",
        "incidents insert",
        "pr_deliveries delete insert update",
        "received_events insert",
    ];
    assert_eq!(rights, expected, "of other tables, only columns that are derived");
    let columns: Vec<String> = sqlx::query_scalar(
        "select c.relname || '.' || a.attname
        from pg_class as c
        inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
        where
            c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
            and has_column_privilege($1, c.oid, a.attnum, 'UPDATE') and not has_table_privilege($1, c.oid, 'UPDATE')
        order by 1",
    )
    .bind(&role)
    .fetch_all(&pool)
    .await?;
    assert_eq!(columns, CHANGED_BY_POSTING);
    execute(&pool, &format!("drop role {login}")).await
}

#[tokio::test]
async fn behind_a_pooler_posts_act_as_their_role_too() -> Result<()> {
    let (database, store, reader) = migrated().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let pgbouncer = PgBouncer::start(&database, "transaction").await?;
    // One, so that the second post is made by the connection of the first.
    let poster = Poster::connect(&settings(pgbouncer.url())?.with_connections(1));
    let (sender, digest) = (Sender::default(), [1; 32]);
    poster.post_deployment(&sender, &digest, &posted("1")?, at(NOW)).await??;
    let role = reader.replace("reader", "poster");
    let pool = database.superuser_pool().await?;
    execute(&pool, &format!("revoke insert on received_events from {role}")).await?;
    // A poster whose role lacks a right does not use it; the one that is connected is refused.
    assert!(poster.post_deployment(&sender, &digest, &posted("2")?, at(NOW)).await.is_err());
    store.migrate().await?;
    poster.post_deployment(&sender, &digest, &posted("2")?, at(NOW)).await??;
    poster.close().await;
    Ok(())
}

#[tokio::test]
async fn a_login_without_createrole_gets_the_statements() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.superuser_pool().await?;
    let (login, url) = owner_of(&database, "login", "", Some("public")).await?;
    let store = Writer::connect(&settings(&url)?, Actor::Collector);
    let statements = store.migrate().await?.context("the login may not create roles")?;
    let role = role(&pool).await?;
    let expected = format!(
        "CREATE ROLE {role} NOLOGIN; GRANT {role} TO {login}; GRANT USAGE ON SCHEMA public TO {role}; \
                            GRANT SELECT ON public._sqlx_migrations, public.accounts, "
    );
    assert!(statements.starts_with(&expected), "{statements}");
    assert_eq!(store.database_status().await?.missing_role.as_ref(), Some(&statements));
    // Without the role, reading works with the login's rights, and still cannot write.
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    Reader::connect(&settings(&url)?).snapshot().await?.context("it may read")?;
    execute(&pool, &statements).await?;
    assert_eq!((store.migrate().await?, store.database_status().await?.missing_role), (None, None));
    reveal_access(&pool).await?;
    assert_eq!(access(&Reader::connect(&settings(&url)?)).await?, format!("as {role}, read only: on"));
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn a_reader_finds_the_schema_of_its_login() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.superuser_pool().await?;
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(&pool).await?;
    let (login, url) = owner_of(&database, "Team", "createrole", None).await?;
    let store = Writer::connect(&settings(&url)?, Actor::Collector);
    assert_eq!(store.migrate().await?, None);
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    Reader::connect(&settings(&url)?).snapshot().await?.context("`$user` is the login, not the role")?;
    let user = url::Url::parse(database.url())?.username().to_owned();
    execute(
        &pool,
        &format!("alter database {name} set search_path = \"$user\", \"{login}\"; grant \"{login}\" to {user}"),
    )
    .await?;
    let pgbouncer = PgBouncer::start(&database, "transaction").await?;
    Reader::connect(&settings(pgbouncer.url())?).snapshot().await?.context("behind a pooler too")?;
    // Without a right that it needs, readers do not act as the role.
    let role = role(&pool).await?;
    execute(&pool, &format!("revoke select on \"{login}\".teams from {role}")).await?;
    Reader::connect(&settings(&url)?).snapshot().await?.context("it may read")?;
    assert_eq!(Reader::connect(&settings(&url)?).teams(at(NOW)).await?.len(), 1);
    assert_eq!(store.migrate().await?, None);
    let may_read: bool = sqlx::query_scalar("select has_table_privilege($1, $2, 'select')")
        .bind(&role)
        .bind(format!("\"{login}\".teams"))
        .fetch_one(&pool)
        .await?;
    assert!(may_read, "the next migration repairs it");
    store.close().await;
    Ok(())
}

/// A login with these rights, which owns the only schema of a database, and its URL. The schema has this name, or that of
/// the login.
async fn owner_of(
    database: &TestDatabase,
    suffix: &str,
    rights: &str,
    schema: Option<&str>,
) -> Result<(String, String)> {
    let pool = database.superuser_pool().await?;
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(&pool).await?;
    let login = format!("{name}_{suffix}");
    let schema = schema.unwrap_or(&login);
    execute(
        &pool,
        &format!(
            "drop schema public cascade; create role \"{login}\" login {rights};
            create schema \"{schema}\" authorization \"{login}\"; grant create on database {name} to \"{login}\""
        ),
    )
    .await?;
    let url = with_login(database.url(), &login);
    Ok((login, url))
}

/// The URL with another login, and without a password: the test's server trusts every login of this machine.
fn with_login(url: &str, login: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{login}@{host}")
}

/// A store on an empty database with this login, and the owner of its tables once they are there.
async fn migrated_by(url: &str, pool: &PgPool) -> Result<(Writer, String)> {
    let store = Writer::connect(&settings(url)?, Actor::Collector);
    store.migrate().await?;
    let owner = "select tableowner::text from pg_tables where tablename = 'tenants'";
    Ok((store, sqlx::query_scalar(owner).fetch_one(pool).await?))
}

#[tokio::test]
async fn a_superuser_acts_as_the_tables_owner() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.superuser_pool().await?;
    let login = url::Url::parse(database.url())?.username().to_owned();
    // The tables of another login.
    let (store, owner) = migrated_by(database.superuser_url(), &pool).await?;
    assert_eq!((owner, store.database_status().await?.bypasses_policies), (login, false));
    // The tables that the login itself creates. Neither policies nor indexes would work for it.
    let name = "select 'mergeline_owner_' || oid from pg_database where datname = current_database()";
    let made: String = sqlx::query_scalar(name).fetch_one(&pool).await?;
    let (_, bypassing) = owner_of(&database, "bypassing", "createrole bypassrls", Some("public")).await?;
    for url in [&bypassing, database.superuser_url()] {
        let (store, owner) = migrated_by(url, &pool).await?;
        let status = store.database_status().await?;
        assert_eq!((owner, status.bypasses_policies, status.missing_role), (made.clone(), false, None), "{url}");
        assert_eq!(store.migrate().await?, None, "again");
        apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
        execute(&pool, "insert into tenants default values").await?;
        let other = store.for_tenant(Tenant::new(2));
        assert_eq!((store.teams(at(NOW)).await?.len(), other.teams(at(NOW)).await?.len()), (1, 0), "{url}");
        Reader::connect(&settings(url)?).snapshot().await?.context("it may read")?;
        store.close().await;
        execute(&pool, "drop schema public cascade; create schema public; grant all on schema public to public")
            .await?;
    }
    // Without the right to create roles it works with its own rights.
    let (_, powerless) = owner_of(&database, "powerless", "bypassrls", Some("public")).await?;
    let (store, _) = migrated_by(&powerless, &pool).await?;
    assert!(store.database_status().await?.bypasses_policies);
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    Ok(())
}

/// The URLs of a login for the collector and one for the API on a database. No test uses the same names.
fn login_urls(database: &TestDatabase) -> Result<[String; 2]> {
    let name = url::Url::parse(database.url())?.path().trim_matches('/').to_owned();
    Ok(["writer", "reader"].map(|kind| {
        let (scheme, rest) = database.url().split_once("://").unwrap_or_default();
        let host = rest.split_once('@').map_or(rest, |(_, host)| host);
        format!("{scheme}://{name}_{kind}:canary-{kind}@{host}")
    }))
}

fn logins(owner: &str, [writer, reader]: &[String; 2]) -> Result<Logins> {
    let logins = Logins::from_vars(|name| match name {
        "DB_URL" => Some(owner.to_owned()),
        "DB_WRITER_URL" => Some(writer.clone()),
        "DB_READER_URL" => Some(reader.clone()),
        _ => None,
    });
    logins.map_err(Problems::from)?.context("both are set")
}

/// A database with three logins, whose owner migrated it, and the URLs of the other two.
async fn with_three_logins() -> Result<(TestDatabase, Writer, [String; 2])> {
    let (database, owner) = fresh().await?;
    let urls = login_urls(&database)?;
    assert_eq!(owner.migrate_with(&logins(database.url(), &urls)?).await?, None, "its login may create them");
    Ok((database, owner, urls))
}

#[tokio::test]
async fn logins_are_let_in_by_iam_only_while_that_is_wanted() -> Result<()> {
    let (database, owner) = fresh().await?;
    let urls = login_urls(&database)?;
    let superuser = database.superuser_pool().await?;
    // The role that RDS has, and that its administrator may give.
    let made = "do $$ begin create role rds_iam; exception when duplicate_object or unique_violation then null; end $$";
    execute(&superuser, made).await?;
    let user = url::Url::parse(database.url())?.username().to_owned();
    execute(&superuser, &format!("grant rds_iam to {user} with admin option")).await?;
    let migrate = async |way: Option<&str>| -> Result<Option<String>> {
        let logins = Logins::from_vars(|name| match name {
            "DB_URL" => Some(database.url().to_owned()),
            "DB_WRITER_URL" => Some(urls[0].clone()),
            "DB_READER_URL" => Some(urls[1].clone()),
            "DB_LOGIN" => way.map(str::to_owned),
            _ => None,
        });
        Ok(owner.migrate_with(&logins.map_err(Problems::from)?.context("both are set")?).await?)
    };
    let name = url::Url::parse(&urls[0])?.username().to_owned();
    // Whether the writer is let in by IAM, and whether it has a password.
    let found = async || -> Result<(bool, bool)> {
        let sql = "select
            exists (
                select from pg_auth_members as m inner join pg_roles as r on r.oid = m.roleid
                where r.rolname = 'rds_iam' and m.member = a.oid
            ),
            rolpassword is not null
            from pg_authid as a
            where rolname = $1";
        Ok(sqlx::query_as(sql).bind(&name).fetch_one(&superuser).await?)
    };
    assert_eq!(migrate(Some("iam")).await?, None);
    assert_eq!(found().await?, (true, false), "RDS would refuse a password");
    assert_eq!(migrate(None).await?, None);
    assert!(found().await?.0, "who does not say is not asked");
    assert_eq!(migrate(Some("secret")).await?, None);
    assert!(!found().await?.0);
    assert_eq!(migrate(Some("iam")).await?, None);
    assert!(found().await?.0, "and again");
    assert!(migrate(Some("kerberos")).await.is_err());
    Ok(())
}

#[tokio::test]
async fn each_of_three_logins_does_its_part() -> Result<()> {
    let (database, owner, urls) = with_three_logins().await?;
    let [writer, reader] = [settings(&urls[0])?, settings(&urls[1])?];
    let collector = Writer::connect(&writer, Actor::Collector);
    assert_eq!(collector.migrate().await?, None, "it only checks");
    apply(&collector, &teams(&[("pay", "{ github: ana }")])).await?;
    keep(&collector, &[pr("acme/api", 1).by("ana").merged("2026-06-10T12:00:00Z")]).await?;
    let snapshot = collector.snapshot().await?.context("configured")?;
    collector.start_run(snapshot.revision, 1, &[], at(NOW)).await?;
    assert_eq!(collector.derive_all(false).await?.rows, 0);
    let (api, poster) = (Reader::connect(&reader), Poster::connect(&reader));
    assert_eq!(api.teams(at(NOW)).await?.len(), 1);
    let stored = poster.post_deployment(&Sender::default(), &[1; 32], &posted("1")?, at(NOW)).await??;
    assert_eq!(stored.outcome, EventOutcome::Created);
    // Rows of another organization are there for those who name it, and for nobody else.
    execute(&database.superuser_pool().await?, "insert into tenants default values").await?;
    let other = Tenant::new(2);
    apply(&collector.for_tenant(other), &teams(&[("web", "{ github: ben }"), ("app", "{ github: cy }")])).await?;
    assert_eq!((api.teams(at(NOW)).await?.len(), api.for_tenant(other).teams(at(NOW)).await?.len()), (1, 2));
    let unknown =
        poster.for_tenant(other).post_deployment(&Sender::default(), &[1; 32], &posted("1")?, at(NOW)).await?;
    assert!(unknown.is_ok(), "acme/api is in both files: {unknown:?}");
    assert_eq!(
        poster.for_tenant(other).post_deployment(&Sender::default(), &[1; 32], &posted("2")?, at(NOW)).await??.outcome,
        EventOutcome::Created
    );
    // Again, and with a table that a newer release made.
    execute(&database.pool().await?, "create table later (id integer)").await?;
    assert_eq!(owner.migrate().await?, None);
    let pool = database.superuser_pool().await?;
    let user = url::Url::parse(&urls[0])?.username().to_owned();
    let may_write: bool =
        sqlx::query_scalar("select has_table_privilege($1, 'later', 'insert')").bind(&user).fetch_one(&pool).await?;
    assert!(may_write, "also where the logins are not named");
    for store in [&collector, &api] {
        store.close().await;
    }
    poster.close().await;
    Ok(())
}

#[tokio::test]
async fn behind_a_pooler_three_logins_do_their_parts_too() -> Result<()> {
    let (database, _owner, urls) = with_three_logins().await?;
    execute(&database.superuser_pool().await?, "insert into tenants default values").await?;
    let pgbouncer = PgBouncer::start(&database, "transaction").await?;
    let [writer, reader] = [0, 1].map(|place| {
        let user = url::Url::parse(&urls[place]).map(|url| url.username().to_owned()).unwrap_or_default();
        with_login(pgbouncer.url(), &user)
    });
    let collector = Writer::connect(&settings(&writer)?.with_connections(1), Actor::Collector);
    assert_eq!(collector.migrate().await?, None);
    apply(&collector, &teams(&[("pay", "{ github: ana }")])).await?;
    let poster = Poster::connect(&settings(&reader)?.with_connections(1));
    for id in ["1", "2"] {
        poster.post_deployment(&Sender::default(), &[1; 32], &posted(id)?, at(NOW)).await??;
    }
    assert_eq!(Reader::connect(&settings(&reader)?).teams(at(NOW)).await?.len(), 1);
    collector.close().await;
    poster.close().await;
    Ok(())
}

/// Runs a statement with its own connection, and returns the code of the error, empty if it succeeds. Nothing stays.
async fn refusal(connection: &mut PgConnection, begin: &str, statement: &str) -> Result<String> {
    let outcome = sqlx::raw_sql(AssertSqlSafe(format!("{begin}; {statement}"))).execute(&mut *connection).await;
    sqlx::raw_sql("rollback; reset role").execute(connection).await?;
    let Err(error) = outcome else { return Ok(String::new()) };
    Ok(error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .context("an error of the database")?
        .into_owned())
}

/// The code of what is refused for lack of a right, and in a transaction that only reads.
const NOT_ALLOWED: &str = "42501";
const READS_ONLY: &str = "25006";

#[tokio::test]
async fn the_apis_login_writes_only_what_is_posted_with_any_sql() -> Result<()> {
    let (database, _owner, urls) = with_three_logins().await?;
    let pool = database.superuser_pool().await?;
    let mut connection = PgConnection::connect(&urls[1]).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1",
    )
    .fetch_all(&pool)
    .await?;
    assert!(tables.len() > 40, "{tables:?}");
    let mut writable = Vec::new();
    let roles = roles(&pool).await?;
    for table in &tables {
        for (right, statement) in [
            ("insert", format!("insert into {table} default values")),
            ("delete", format!("delete from {table} where false")),
            ("truncate", format!("truncate {table}")),
        ] {
            // Without saying that it writes, it writes nothing, as whichever role.
            for role in ["", "set local role mergeline_reader_OID; ", "set local role mergeline_poster_OID; "] {
                let role = role.replace("OID", &roles.oid);
                let code = refusal(&mut connection, "begin", &format!("{role}{statement}")).await?;
                assert!([NOT_ALLOWED, READS_ONLY].contains(&&*code), "{role}{statement}: {code}");
            }
            if refusal(&mut connection, "begin read write", &statement).await? != NOT_ALLOWED {
                writable.push(format!("{table} {right}"));
            }
        }
    }
    let posted = "announcements insert, deployment_attempts insert, deployment_attempts delete, deployment_facts insert, \
        deployment_facts delete, deployment_failures insert, deployment_failures delete, deployment_revisions insert, \
        deployment_shares insert, deployment_shares delete, deployment_states insert, deployments insert, \
        incident_facts insert, incident_facts delete, incident_states insert, incidents insert, pr_deliveries insert, \
        pr_deliveries delete, received_events insert";
    assert_eq!(writable.join(", "), posted);
    let views = "select count(*) from pg_class
        where
            relnamespace = 'public'::regnamespace and relkind = 'v'
            and has_table_privilege($1, oid, 'insert, update, delete, truncate, trigger')";
    let views: i64 = sqlx::query_scalar(views).bind(url::Url::parse(&urls[1])?.username()).fetch_one(&pool).await?;
    assert_eq!(views, 0);
    let updated: Vec<String> = sqlx::query_scalar(
        "select c.relname || '.' || a.attname
        from pg_class as c
        inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
        where
            c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
            and has_column_privilege($1, c.oid, a.attnum, 'UPDATE')
            and not has_column_privilege($2, c.oid, a.attnum, 'UPDATE')",
    )
    .bind(url::Url::parse(&urls[1])?.username())
    .bind(format!("mergeline_poster_{}", roles.oid))
    .fetch_all(&pool)
    .await?;
    assert_eq!(updated, Vec::<String>::new(), "no column that the role which posts may not change");
    connection.close().await?;
    Ok(())
}

/// What roles of this database are called.
struct RoleNames {
    oid: String,
    owner: String,
}

async fn roles(pool: &PgPool) -> Result<RoleNames> {
    let sql = "select d.oid::text, (select tableowner::text from pg_tables where tablename = 'tenants')
        from pg_database as d where d.datname = current_database()";
    let (oid, owner) = sqlx::query_as(sql).fetch_one(pool).await?;
    Ok(RoleNames { oid, owner })
}

#[tokio::test]
async fn the_other_logins_own_nothing_and_cannot_become_the_owner() -> Result<()> {
    let (database, _owner, urls) = with_three_logins().await?;
    let pool = database.superuser_pool().await?;
    let RoleNames { oid, owner } = roles(&pool).await?;
    for (url, other) in [(&urls[0], &urls[1]), (&urls[1], &urls[0])] {
        let (name, other) =
            (url::Url::parse(url)?.username().to_owned(), url::Url::parse(other)?.username().to_owned());
        let owned: i64 =
            sqlx::query_scalar("select count(*) from pg_shdepend where refobjid = $1::regrole and deptype = 'o'")
                .bind(&name)
                .fetch_one(&pool)
                .await?;
        assert_eq!(owned, 0, "{name}");
        let mut connection = PgConnection::connect(url).await?;
        for statement in [
            format!("set role {owner}"),
            format!("set role {other}"),
            format!("grant {owner} to {name}"),
            format!("grant mergeline_writer_{oid} to {other}"),
            format!("alter role {other} password 'another'"),
            "create table t (id integer)".to_owned(),
            "create schema s".to_owned(),
            "create role r".to_owned(),
            "alter table teams add column c integer".to_owned(),
            "alter table teams disable row level security".to_owned(),
            "drop table teams".to_owned(),
            "create function f() returns integer language sql as 'select 1'".to_owned(),
            "create or replace function current_tenant() returns integer language sql as 'select 1'".to_owned(),
            "update schema_requirements set least_migration = 1".to_owned(),
            "delete from _sqlx_migrations".to_owned(),
            "insert into tenants default values".to_owned(),
            "insert into readers (role, tenant_id) values ('somebody', 1)".to_owned(),
        ] {
            let code = refusal(&mut connection, "begin read write", &statement).await?;
            assert_eq!(code, NOT_ALLOWED, "{name}: {statement}");
        }
        connection.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_login_that_does_not_own_the_tables_reports_an_outdated_schema() -> Result<()> {
    let (database, owner, urls) = with_three_logins().await?;
    let pool = database.superuser_pool().await?;
    let collector = Writer::connect(&settings(&urls[0])?, Actor::Collector);
    let (last, _) = Writer::known_migrations().pop().context("migrations")?;
    sqlx::query("delete from _sqlx_migrations where version = $1").bind(last).execute(&pool).await?;
    let error = collector.migrate().await.err().context("it cannot migrate")?;
    assert_eq!(error.code(), "schema_outdated");
    assert!(error.to_string().starts_with("1 migration is missing, and this login does not own the tables"), "{error}");
    assert!(matches!(collector.migrate_with(&logins(database.url(), &urls)?).await, Err(StoreError::NotOwner)));
    assert_eq!(owner.migrate().await?, None);
    assert_eq!(collector.migrate().await?, None);
    sqlx::raw_sql("update schema_requirements set least_migration = 99991231000000").execute(&pool).await?;
    assert_eq!(collector.migrate().await.err().map(|error| error.code()), Some("db_schema"), "and one that is too new");
    Ok(())
}

#[tokio::test]
async fn logins_with_too_many_or_too_few_rights_are_named() -> Result<()> {
    let (database, owner, urls) = with_three_logins().await?;
    let pool = database.superuser_pool().await?;
    let names = urls.clone().map(|url| url::Url::parse(&url).map(|url| url.username().to_owned()).unwrap_or_default());
    let [writer, reader] = &names;
    let statuses = async |store: &Reader| {
        let status = store.database_status().await?;
        anyhow::Ok((status.owns_tables, status.missing_role, status.logins))
    };
    let fine = |name: &str, kind| LoginStatus { name: name.to_owned(), kind, excess: vec![], lacking: vec![] };
    let both = vec![fine(writer, LoginKind::Writer), fine(reader, LoginKind::Reader)];
    assert_eq!(statuses(&owner).await?, (true, None, both.clone()));
    for url in &urls {
        let store = Writer::connect(&settings(url)?, Actor::Collector);
        assert_eq!(statuses(&store).await?, (false, None, both.clone()), "any login sees that");
        store.close().await;
    }
    let RoleNames { oid, owner: owner_name } = roles(&pool).await?;
    execute(
        &pool,
        &format!(
            "grant {owner_name} to {writer}; alter role {reader} createdb; alter role {reader} in database {database} reset all;
            grant delete on teams to {reader}; revoke insert on received_events from mergeline_poster_{oid};
            revoke select on teams, accounts from mergeline_reader_{oid}, mergeline_poster_{oid};
            revoke update on pull_requests from mergeline_writer_{oid}",
            database = url::Url::parse(database.url())?.path().trim_matches('/')
        ),
    )
    .await?;
    let (_, _, found) = statuses(&owner).await?;
    let found: Vec<_> = found.into_iter().map(|it| (it.excess.join("; "), it.lacking.join("; "))).collect();
    let expected = [
        ("may act as the owner of the tables; may create tables in the schema public; may create schemas", ""),
        (
            "may create databases; has more rights than its role to teams; may write in transactions that do not say so",
            "cannot read accounts, teams; cannot store what is posted in received_events",
        ),
    ];
    assert_eq!(found, expected.map(|(excess, lacking)| (excess.to_owned(), lacking.to_owned())));
    execute(
        &pool,
        &format!(
            "revoke {owner_name} from {writer}; alter role {reader} nocreatedb; revoke delete on teams from {reader}"
        ),
    )
    .await?;
    assert_eq!(owner.migrate_with(&logins(database.url(), &urls)?).await?, None);
    assert_eq!(statuses(&owner).await?, (true, None, both), "migrating repairs what is lacking");
    Ok(())
}

#[tokio::test]
async fn without_createrole_the_statements_make_the_logins() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.superuser_pool().await?;
    let (_, url) = owner_of(&database, "plain", "", Some("public")).await?;
    let store = Writer::connect(&settings(&url)?, Actor::Collector);
    let urls = login_urls(&database)?;
    let made = logins(&url, &urls)?;
    let statements = store.migrate_with(&made).await?.context("the login may not create roles")?;
    assert!(!statements.contains("canary") && !statements.contains("SCRAM"), "{statements}");
    let [writer, reader] =
        urls.clone().map(|url| url::Url::parse(&url).map(|url| url.username().to_owned()).unwrap_or_default());
    for part in [
        format!("CREATE ROLE {writer} LOGIN; GRANT mergeline_writer_"),
        "SET default_transaction_read_only = on".to_owned(),
        format!("ALTER ROLE {reader} IN DATABASE"),
    ] {
        assert!(statements.contains(&part), "{part}: {statements}");
    }
    // Setting the passwords is for psql, and here nobody asks for them.
    let (for_psql, for_all): (Vec<&str>, Vec<&str>) = statements.split("; ").partition(|it| it.starts_with('\\'));
    assert_eq!(for_psql, [format!("\\password {writer}"), format!("\\password {reader}")]);
    execute(&pool, &for_all.join("; ")).await?;
    assert_eq!(store.migrate_with(&made).await?, None, "nothing is left");
    let collector = Writer::connect(&settings(&urls[0])?, Actor::Collector);
    apply(&collector, &teams(&[("pay", "{ github: ana }")])).await?;
    assert_eq!(Reader::connect(&settings(&urls[1])?).teams(at(NOW)).await?.len(), 1);
    collector.close().await;
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn the_login_that_aws_rotates_to_works_and_migrating_completes_it() -> Result<()> {
    let (database, owner, urls) = with_three_logins().await?;
    apply(&owner, &teams(&[("pay", "{ github: ana }")])).await?;
    let name = url::Url::parse(&urls[1])?.username().to_owned();
    // What SecretsManagerRDSPostgreSQLRotationMultiUser runs as the owner.
    let pool = database.pool().await?;
    execute(&pool, &format!("create role {name}_clone with login password 'canary'; grant {name} to {name}_clone"))
        .await?;
    let url = urls[1].replacen(&name, &format!("{name}_clone"), 1);
    let (api, poster) = (Reader::connect(&settings(&url)?), Poster::connect(&settings(&url)?));
    assert_eq!(api.teams(at(NOW)).await?.len(), 1);
    poster.post_deployment(&Sender::default(), &[1; 32], &posted("1")?, at(NOW)).await??;
    let excess = async || {
        let logins = owner.database_status().await?.logins;
        let login = logins.into_iter().find(|login| login.name.ends_with("_clone")).context("it is listed")?;
        anyhow::Ok((login.excess, login.lacking))
    };
    let unset = "may write in transactions that do not say so".to_owned();
    assert_eq!(excess().await?, (vec![unset], vec![]));
    assert_eq!(owner.migrate_with(&logins(database.url(), &[urls[0].clone(), url])?).await?, None);
    assert_eq!(excess().await?, (vec![], vec![]));
    api.close().await;
    poster.close().await;
    Ok(())
}

#[tokio::test]
async fn a_login_of_somebody_else_is_not_taken_over() -> Result<()> {
    let (database, owner) = fresh().await?;
    let urls = login_urls(&database)?;
    let name = url::Url::parse(&urls[1])?.username().to_owned();
    let pool = database.superuser_pool().await?;
    execute(&pool, &format!("create role {name} login password 'theirs'")).await?;
    let password = "select rolpassword from pg_authid where rolname = $1";
    let before: String = sqlx::query_scalar(password).bind(&name).fetch_one(&pool).await?;
    let error = owner.migrate_with(&logins(database.url(), &urls)?).await.err().context("the name is taken")?;
    assert_eq!(error.code(), "db_login_taken");
    assert!(error.to_string().contains(&format!("to {name}").replace("to", "TO")), "{error}");
    assert_eq!(sqlx::query_scalar::<_, String>(password).bind(&name).fetch_one(&pool).await?, before);
    Ok(())
}

#[test]
fn half_given_or_equal_logins_are_refused() {
    let refused = |given: &[(&str, &str)]| {
        let found = |name: &str| given.iter().find(|(it, _)| *it == name).map(|(_, url)| (*url).to_owned());
        Logins::from_vars(found).err().map(|problem| (problem.code, problem.path))
    };
    let (owner, a, b) = ("postgres://o:p@localhost/m", "postgres://a:p@localhost/m", "postgres://b:p@localhost/m");
    assert_eq!(refused(&[("DB_URL", owner), ("DB_WRITER_URL", a), ("DB_READER_URL", b)]), None);
    for (given, variable) in [
        (vec![("DB_WRITER_URL", a)], "DB_READER_URL"),
        (vec![("DB_READER_URL", b)], "DB_WRITER_URL"),
        (vec![("DB_WRITER_URL", a), ("DB_READER_URL", a)], "DB_WRITER_URL"),
        (vec![("DB_URL", b), ("DB_WRITER_URL", a), ("DB_READER_URL", b)], "DB_WRITER_URL"),
        (vec![("DB_WRITER_URL", a), ("DB_READER_URL", "postgres://b@localhost/m")], "DB_READER_URL"),
        (vec![("DB_WRITER_URL", a), ("DB_READER_URL", "postgres://b:p%C3%A4ss@localhost/m")], "DB_READER_URL"),
    ] {
        assert_eq!(refused(&given), Some(("config.db_logins", variable.to_owned())), "{given:?}");
    }
}

/// Kind, actor and subject of all events, oldest first.
async fn events(store: &Reader) -> Result<Vec<(EventKind, String, String)>> {
    let mut events = store.events(None, 100).await?;
    events.reverse();
    Ok(events.into_iter().map(|Event { kind, actor, subject, .. }| (kind, actor, subject)).collect())
}

#[tokio::test]
async fn an_applied_file_is_an_event_with_its_actor() -> Result<()> {
    let database = TestDatabase::create().await?;
    let store = Writer::connect(&settings(database.url())?, Actor::Person("maria".to_owned()));
    let file = teams(&[("pay", "{ github: ana }")]);
    store.apply(&file, ApplyOptions { dry_run: true, ..ApplyOptions::default() }, at(NOW)).await?;
    assert_eq!(events(&store).await?, []);
    for _ in 0..2 {
        store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    }
    let applied = store.events(None, 100).await?;
    let [event] = applied.as_slice() else {
        anyhow::bail!("one, because the second time nothing changes: {applied:?}")
    };
    assert_eq!((event.kind, event.actor.as_str(), event.at), (EventKind::ConfigurationApplied, "maria", at(NOW)));
    assert_eq!((&event.payload["teams_added"][0], &event.payload["memberships_changed"]), (&"pay".into(), &1.into()));
    assert!(!event.payload.to_string().contains("ana"), "no logins: {}", event.payload);
    Ok(())
}

#[tokio::test]
async fn a_repository_starts_failing_and_recovers_once() -> Result<()> {
    let (_database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let repository = store.snapshot().await?.context("configured")?.repositories[0].id;
    let reason = Reason { code: "github_not_found", message: "it is not visible".to_owned() };
    for ending in [
        LeaseOutcome::Succeeded,
        LeaseOutcome::Failed,
        LeaseOutcome::Deferred,
        LeaseOutcome::Failed,
        LeaseOutcome::Succeeded,
        LeaseOutcome::Succeeded,
    ] {
        let (lease, _) = store.lease(repository, at(NOW), Duration::from_secs(60)).await?.context("free")?;
        let reason = (ending == LeaseOutcome::Failed).then_some(&reason);
        // Twice, as after a lost reply.
        for _ in 0..2 {
            store.release(&lease, ending, reason, at(NOW)).await?;
        }
    }
    let of_repository = |kind| (kind, "collector".to_owned(), "acme/api".to_owned());
    assert_eq!(
        events(&store).await?[1..],
        [of_repository(EventKind::RepositoryFailing), of_repository(EventKind::RepositoryRecovered)]
    );
    let failing = &store.events(None, 2).await?[1];
    assert_eq!(failing.payload["code"], "github_not_found");
    assert_eq!(store.events(Some(failing.id), 100).await?.len(), 1, "the page before it");
    Ok(())
}

#[tokio::test]
async fn a_finished_backfill_is_one_event() -> Result<()> {
    let (_database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let snapshot = store.snapshot().await?.context("configured")?;
    let repository = snapshot.repositories[0].id;
    let (lease, _) = store.lease(repository, at(NOW), Duration::from_secs(60)).await?.context("free")?;
    let backfill = Backfill::by_creation(at("2026-01-01T00:00:00Z"), Some(at("2026-06-10T00:00:00Z")));
    let begin = ProgressEvent::BackfillStarted { backfill, at: at(NOW) };
    store.advance_listing(&lease, snapshot.revision, begin, None, at(NOW)).await?;
    for _ in 0..2 {
        store.advance(&lease, ProgressEvent::BackfillFinished { at: at(NOW) }, at(NOW)).await?;
    }
    let finished = (EventKind::BackfillFinished, "collector".to_owned(), "acme/api".to_owned());
    assert_eq!(events(&store).await?[1..], [finished]);
    assert_eq!(store.events(None, 1).await?[0].payload["covered_since"], "2026-01-01T00:00:00Z");
    Ok(())
}

#[tokio::test]
async fn each_week_becomes_complete_once_in_the_files_zone() -> Result<()> {
    let (_database, store) = fresh().await?;
    apply(&store, &common::teams_in("Asia/Tokyo", &[("pay", "{ github: ana }")])).await?;
    keep(&store, &[pr("acme/api", 1).by("ana").merged("2026-06-01T00:00:00Z")]).await?;
    let snapshot = store.snapshot().await?.context("configured")?;
    let repository = snapshot.repositories[0].id;
    let collected = async |until: &str| {
        finish_reading(&store, Some(at(until)), at(until), at("2026-05-01T00:00:00Z")).await?;
        let run = store.start_run(snapshot.revision, 1, &[], at(until)).await?;
        store.record_result(run, repository, at(until), &RepositoryResult::default()).await?;
        store.settle_run(run, at(until)).await?;
        let weeks = events(&store).await?.into_iter().filter(|(kind, ..)| *kind == EventKind::WeekCompleted);
        anyhow::Ok(weeks.map(|(.., subject)| subject).collect::<Vec<_>>())
    };
    assert_eq!(collected("2026-06-10T00:00:00Z").await?, ["2026-W23"], "of the past only the last one");
    // In Tokyo, Monday begins at 15:00 UTC on Sunday.
    assert_eq!(collected("2026-06-14T14:59:59Z").await?.len(), 1);
    assert_eq!(collected("2026-06-14T15:00:00Z").await?, ["2026-W23", "2026-W24"]);
    assert_eq!(collected("2026-06-15T15:00:00Z").await?.len(), 2);
    assert_eq!(collected("2026-07-01T00:00:00Z").await?, ["2026-W23", "2026-W24", "2026-W25", "2026-W26"]);
    let last = &store.events(None, 1).await?[0];
    assert_eq!((&last.payload["from"], &last.payload["to"]), (&"2026-06-22".into(), &"2026-06-29".into()));
    Ok(())
}
