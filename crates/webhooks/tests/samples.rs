//! The sample deliveries that GitHub's users contributed, of github.com and of Enterprise Server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use mergeline_test_support::NodePackages;
use mergeline_webhooks::{Delivery, Meaning, Plugin, WebhookSecrets};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

const SAMPLES: NodePackages = NodePackages { folder: "webhook-samples", manifest: "crates/webhooks/tests/samples" };
const SECRET: &str = "a secret of the samples";

/// An event with its examples.
#[derive(Deserialize)]
struct Samples {
    name: String,
    examples: Vec<Value>,
}

/// The samples of each server.
fn samples() -> Result<BTreeMap<String, Vec<Samples>>> {
    let package = SAMPLES.install()?.join("@octokit/webhooks-examples");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&package)? {
        let index = entry?.path().join("index.json");
        if !index.exists() {
            continue;
        }
        let server = index.parent().and_then(|it| it.file_name()).unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&index).with_context(|| server.clone())?;
        found.insert(server, serde_json::from_str(&text)?);
    }
    ensure!(found.contains_key("api.github.com"), "no samples in {}", package.display());
    Ok(found)
}

/// What a delivery means: the repository that it says changed, if any.
fn read(event: &str, body: &[u8]) -> Result<Option<(i64, String)>> {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?.chain_update(body).finalize().into_bytes();
    let signature: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    let pairs = [
        ("x-github-event", event),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-hub-signature-256", &format!("sha256={signature}")),
        ("content-type", "application/json"),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
    }
    let received_at = DateTime::from_timestamp(1_780_000_000, 0).context("out of range")?;
    let delivery = Delivery { plugin: Plugin::GitHub, headers: &headers, body, received_at };
    let secrets = serde_json::json!({ "github": [SECRET] }).to_string();
    let secrets = WebhookSecrets::from_vars(|_| Some(secrets.clone())).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    delivery.verify(&secrets).with_context(|| format!("{event} is refused"))?;
    match delivery.read().with_context(|| event.to_owned())?.meaning {
        Meaning::Changed(changed) => Ok(Some((changed.id, changed.name.to_string()))),
        Meaning::Nothing => Ok(None),
        Meaning::Incidents(incidents) => anyhow::bail!("{event} means incidents: {incidents:?}"),
    }
}

/// Each sample is read, and leads to the repository that it is about if it is among the kinds that change what is stored.
#[test]
fn every_sample_delivery_leads_to_its_repository_or_to_nothing() -> Result<()> {
    let samples = samples()?;
    let mut changing: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut count = 0;
    for (server, events) in &samples {
        for Samples { name, examples } in events {
            for example in examples {
                let body = serde_json::to_vec(example)?;
                let found = read(name, &body).with_context(|| format!("{server}: {name} {}", example["action"]))?;
                count += 1;
                let Some((id, repository)) = found else { continue };
                let about = &example["repository"];
                let expected = about["full_name"].as_str().map(str::to_lowercase);
                ensure!(about["id"] == id && expected.as_ref() == Some(&repository), "{name}: {repository}");
                let action = example["action"].as_str().unwrap_or("-");
                changing.entry(name).or_default().insert(action.to_owned());
            }
        }
    }
    let changing: Vec<String> = changing
        .iter()
        .map(|(event, actions)| format!("{event}: {}", actions.iter().cloned().collect::<Vec<_>>().join(" ")))
        .collect();
    let expected = [
        "deployment: - created",
        "deployment_status: - created",
        "issues: deleted edited labeled opened reopened transferred unlabeled",
        "pull_request: closed converted_to_draft labeled opened ready_for_review reopened synchronize unlabeled",
        "pull_request_review: dismissed submitted",
        "release: deleted edited prereleased published released",
        "repository: deleted renamed transferred",
        "workflow_run: completed",
    ];
    assert_eq!(changing, expected);
    ensure!(count > 300, "only {count} samples");
    Ok(())
}
