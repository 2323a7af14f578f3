//! Verified TLS, tested on a PostgreSQL with its own certificate. docs/faults.md has the table.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mergeline_domain::Problems;
use mergeline_local_postgres::Server;
use mergeline_store::{Actor, DatabaseSettings, Writer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::NamedTempFile;
use tokio::sync::OnceCell;

const MINUTE: Duration = Duration::from_secs(60);

static SERVER: OnceCell<TlsServer> = OnceCell::const_new();

/// A server with a certificate for `localhost`, signed by a private authority.
struct TlsServer {
    _server: Server,
    port: u16,
    authority: String,
}

impl TlsServer {
    async fn shared() -> Result<&'static Self> {
        SERVER.get_or_try_init(Self::start).await
    }

    async fn start() -> Result<Self> {
        let port = unused_port()?;
        let server = tokio::task::spawn_blocking(move || Server::throwaway_on(port)).await??;
        let (authority, key) = (authority("Tests")?, KeyPair::generate()?);
        let certificate = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &authority)?;
        let url = server.superuser_url("postgres");
        let mut connection = PgConnection::connect(&url).await?;
        for (file, pem) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
            // The server refuses a key owned by another user, so it writes the file itself.
            let copy =
                format!("copy (select string_to_table('{pem}', E'\\n')) to program 'umask 077; cat > \"{file}\"'");
            sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut connection).await?;
        }
        sqlx::raw_sql("alter system set ssl = on").execute(&mut connection).await?;
        sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await?;
        // It reloads its settings a moment later.
        tokio::time::timeout(MINUTE, async {
            while !has_tls(&url).await? {}
            anyhow::Ok(())
        })
        .await??;
        Ok(Self { _server: server, port, authority: authority.pem() })
    }

    fn url(&self, host: &str) -> String {
        format!("postgres://postgres:s3cret@{host}:{}/postgres?sslmode=verify-full", self.port)
    }
}

async fn has_tls(url: &str) -> Result<bool> {
    let mut connection = PgConnection::connect(url).await?;
    let is: String = sqlx::query_scalar("show ssl").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(is == "on")
}

/// A free port below the ephemeral range, so that the system does not hand it out to others.
fn unused_port() -> Result<u16> {
    let first = 10_000 + u16::try_from(std::process::id() % 10_000)?;
    (first..30_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).context("no free port")
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn file(pem: &str) -> Result<NamedTempFile> {
    let file = NamedTempFile::with_suffix(".pem")?;
    std::fs::write(&file, pem)?;
    Ok(file)
}

fn trusting(url: &str, authority: &NamedTempFile) -> String {
    format!("{url}&sslrootcert={}", authority.path().display())
}

fn store(url: &str) -> Result<Writer> {
    Ok(Writer::connect(&DatabaseSettings::parse(&SecretString::from(url)).map_err(Problems::from)?, Actor::Collector))
}

/// Uses the database both outside the pool and through it. Returns whether the connection is encrypted.
async fn is_encrypted(url: &str) -> Result<bool> {
    let store = store(url)?;
    store.ping().await?;
    store.migrate().await?;
    ensure!(store.snapshot().await?.is_none(), "an empty database");
    Ok(store.database_status().await?.is_encrypted)
}

/// The errors for an untrusted server, from each kind of connection.
async fn refusals(url: &str) -> Result<Vec<String>> {
    let store = store(url)?;
    let mut messages = Vec::new();
    for outcome in [store.ping().await, store.migrate().await.map(|_| ()), store.snapshot().await.map(|_| ())] {
        let error = outcome.err().context("the server is trusted")?;
        assert_eq!(error.code(), "db_unavailable", "{error:?}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        messages.push(format!("{:#}", anyhow::Error::from(error)));
    }
    Ok(messages)
}

#[tokio::test]
async fn f42_tls_trusts_a_private_authority_from_the_url() -> Result<()> {
    let server = TlsServer::shared().await?;
    let ours = file(&server.authority)?;
    assert!(is_encrypted(&trusting(&server.url("localhost"), &ours)).await?);
    Ok(())
}

#[tokio::test]
async fn f42_tls_trusts_a_private_authority_from_the_environment() -> Result<()> {
    let server = TlsServer::shared().await?;
    let ours = file(&server.authority)?;
    // Runs this test binary again, as a process with other variables.
    let child = |variable: Option<&NamedTempFile>| {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", "is_encrypted_for_another_test", "--ignored", "--nocapture"]);
        command.env("TLS_URL", server.url("localhost")).env_remove("PGSSLROOTCERT");
        command.envs(variable.map(|file| ("PGSSLROOTCERT", file.path())));
        let output = command.output()?;
        anyhow::Ok((
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    };
    let (output, failure) = child(Some(&ours))?;
    assert!(output.contains("1 passed"), "{output}{failure}");
    let (output, failure) = child(None)?;
    assert!(output.contains("1 failed") && failure.contains("not trusted"), "{output}{failure}");
    assert!(!failure.contains("s3cret"), "{failure}");
    Ok(())
}

#[tokio::test]
#[ignore = "not a test: the process of f42_tls_trusts_a_private_authority_from_the_environment"]
async fn is_encrypted_for_another_test() -> Result<()> {
    let Some(url) = std::env::var("TLS_URL").ok() else { return Ok(()) };
    ensure!(is_encrypted(&url).await?, "not encrypted");
    Ok(())
}

#[tokio::test]
async fn f42_a_certificate_from_another_authority_is_refused() -> Result<()> {
    let server = TlsServer::shared().await?;
    let another = file(&authority("Somebody")?.pem())?;
    for message in refusals(&trusting(&server.url("localhost"), &another)).await? {
        assert!(message.contains("the server's certificate is not trusted"), "{message}");
        assert!(message.contains("PGSSLROOTCERT"), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn f42_a_certificate_for_another_host_is_refused() -> Result<()> {
    let server = TlsServer::shared().await?;
    let ours = file(&server.authority)?;
    for message in refusals(&trusting(&server.url("127.0.0.1"), &ours)).await? {
        assert!(message.contains("the server's certificate is not trusted"), "{message}");
        assert!(message.contains("not valid for name \"127.0.0.1\""), "{message}");
    }
    Ok(())
}
