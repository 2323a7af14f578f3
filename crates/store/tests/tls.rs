//! Verified TLS, tried on a PostgreSQL with a certificate of its own. docs/faults.md has the table.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mergeline_domain::Problems;
use mergeline_local_postgres::Server;
use mergeline_store::{DatabaseSettings, Store};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::NamedTempFile;
use tokio::sync::OnceCell;

const MINUTE: Duration = Duration::from_secs(60);

static SERVER: OnceCell<TlsServer> = OnceCell::const_new();

/// A server with a certificate for `localhost`, signed by an authority that nobody else knows.
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
        let url = server.url("postgres");
        let mut connection = PgConnection::connect(&url).await?;
        for (file, pem) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
            // The server refuses a key that belongs to anybody else: it writes it itself.
            let copy =
                format!("copy (select string_to_table('{pem}', E'\\n')) to program 'umask 077; cat > \"{file}\"'");
            sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut connection).await?;
        }
        sqlx::raw_sql("alter system set ssl = on").execute(&mut connection).await?;
        sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await?;
        // It reads its settings a moment later.
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

/// A port that no system gives away by chance, as it would one that was free a moment ago.
fn unused_port() -> Result<u16> {
    let first = 10_000 + u16::try_from(std::process::id() % 10_000)?;
    (first..30_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).context("no port is free")
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

fn store(url: &str) -> Result<Store> {
    Ok(Store::connect(&DatabaseSettings::parse(&SecretString::from(url)).map_err(Problems::from)?))
}

/// Works on the database, beside the pool and in it, and asks it whether that is encrypted.
async fn is_encrypted(url: &str) -> Result<bool> {
    let store = store(url)?;
    store.ping().await?;
    store.migrate().await?;
    ensure!(store.snapshot().await?.is_none(), "an empty database");
    Ok(store.database_status().await?.is_encrypted)
}

/// What is said when a server is not trusted, wherever that is noticed.
async fn refusals(url: &str) -> Result<Vec<String>> {
    let store = store(url)?;
    let mut said = Vec::new();
    for outcome in [store.ping().await, store.migrate().await, store.snapshot().await.map(|_| ())] {
        let error = outcome.err().context("it is trusted")?;
        assert_eq!(error.code(), "db_unavailable", "{error:?}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        said.push(format!("{:#}", anyhow::Error::from(error)));
    }
    Ok(said)
}

#[tokio::test]
async fn f42_a_server_with_an_authority_of_its_own_is_reached_by_tls_where_the_url_names_it() -> Result<()> {
    let server = TlsServer::shared().await?;
    let ours = file(&server.authority)?;
    assert!(is_encrypted(&trusting(&server.url("localhost"), &ours)).await?);
    Ok(())
}

#[tokio::test]
async fn f42_a_server_with_an_authority_of_its_own_is_reached_by_tls_where_the_environment_names_it() -> Result<()> {
    let server = TlsServer::shared().await?;
    let ours = file(&server.authority)?;
    // This test binary once more, as a process with other variables.
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
    let (said, failure) = child(Some(&ours))?;
    assert!(said.contains("1 passed"), "{said}{failure}");
    let (said, failure) = child(None)?;
    assert!(said.contains("1 failed") && failure.contains("not trusted"), "{said}{failure}");
    assert!(!failure.contains("s3cret"), "{failure}");
    Ok(())
}

#[tokio::test]
#[ignore = "not a test: the process of f42_a_server_with_an_authority_of_its_own_is_reached_by_tls_where_the_environment_names_it"]
async fn is_encrypted_for_another_test() -> Result<()> {
    let Some(url) = std::env::var("TLS_URL").ok() else { return Ok(()) };
    ensure!(is_encrypted(&url).await?, "it is not encrypted");
    Ok(())
}

#[tokio::test]
async fn f42_a_certificate_that_another_authority_signed_is_not_trusted() -> Result<()> {
    let server = TlsServer::shared().await?;
    let another = file(&authority("Somebody")?.pem())?;
    for said in refusals(&trusting(&server.url("localhost"), &another)).await? {
        assert!(said.contains("the certificate of the server is not trusted"), "{said}");
        assert!(said.contains("PGSSLROOTCERT"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn f42_a_certificate_for_another_host_is_not_trusted() -> Result<()> {
    let server = TlsServer::shared().await?;
    let ours = file(&server.authority)?;
    for said in refusals(&trusting(&server.url("127.0.0.1"), &ours)).await? {
        assert!(said.contains("the certificate of the server is not trusted"), "{said}");
        assert!(said.contains("not valid for name \"127.0.0.1\""), "{said}");
    }
    Ok(())
}
