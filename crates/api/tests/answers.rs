//! What the API answers, over the real router and a real PostgreSQL.

mod common;

use anyhow::Result;
use axum::body::Body;
use common::{Backend, KEY, body, history, send};
use http::Request;
use mergeline_test_support::{FakePullRequest, pr};
use serde_json::{Value, json};

#[tokio::test]
async fn velocity_has_every_week_of_the_range_and_its_total() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (status, answer) = backend.get("/v1/metrics/team/payments/velocity?from=2026-05-25&to=2026-06-18").await?;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(answer);
    Ok(())
}

#[tokio::test]
async fn lead_time_is_by_month_and_says_that_it_is_not_doras() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (status, answer) =
        backend.get("/v1/metrics/team/platform/lead-time?from=2026-05-01&to=2026-07-01&tz=UTC").await?;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(answer);
    Ok(())
}

#[tokio::test]
async fn teams_are_listed_with_their_members_in_force() -> Result<()> {
    let (status, answer) = Backend::empty().await?.get("/v1/teams").await?;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "data": [
        {
          "archived_at": null,
          "id": 3,
          "members": 0,
          "members_weight": 0.0,
          "name": "nobody",
          "slug": "nobody"
        },
        {
          "archived_at": null,
          "id": 1,
          "members": 2,
          "members_weight": 1.5,
          "name": "Payments",
          "slug": "payments"
        },
        {
          "archived_at": null,
          "id": 2,
          "members": 1,
          "members_weight": 0.5,
          "name": "Platform",
          "slug": "platform"
        }
      ],
      "meta": {
        "count": 3
      },
      "trace_id": "TRACE"
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn a_team_is_found_by_number_and_by_slug() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let query = "velocity?from=2026-06-01&to=2026-06-15";
    let by_number = backend.get(&format!("/v1/metrics/team/1/{query}")).await?;
    let by_slug = backend.get(&format!("/v1/metrics/team/payments/{query}")).await?;
    assert_eq!(by_number, by_slug);
    assert_eq!(by_slug.1["data"]["team"], json!({ "id": 1, "slug": "payments", "name": "Payments" }));
    Ok(())
}

#[tokio::test]
async fn a_team_without_data_has_zero_counts_and_null_durations() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (status, answer) = backend.get("/v1/metrics/team/nobody/velocity?from=2026-06-01&to=2026-06-15").await?;
    assert_eq!(status, 200);
    assert_eq!(answer["data"]["buckets"].as_array().map(Vec::len), Some(2));
    let nothing = json!({ "n": 0, "weight": 0.0, "mean_hours": null, "p50_hours": null, "p75_hours": null, "p90_hours": null, "p95_hours": null });
    for counts in [&answer["data"]["total"], &answer["data"]["buckets"][0]] {
        assert_eq!((&counts["prs_merged"], &counts["prs_merged_weighted"]), (&json!(0), &json!(0.0)));
        assert_eq!(counts["cycle_time"], nothing);
    }
    assert_eq!(answer["meta"]["warnings"][0], json!("no_data: no pull request of this team was merged in the range"));
    Ok(())
}

#[tokio::test]
async fn before_any_collection_nothing_is_claimed_to_be_fresh() -> Result<()> {
    let (status, answer) = Backend::empty().await?.get("/v1/metrics/team/payments/velocity").await?;
    assert_eq!((status, &answer["meta"]["data_as_of"]), (200, &Value::Null));
    assert_eq!(answer["meta"]["coverage"]["repositories"]["pending"], json!(["acme/api"]));
    Ok(())
}

#[tokio::test]
async fn time_before_everything_was_read_is_not_complete_and_said() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (_, answer) = backend.get("/v1/metrics/team/payments/velocity?from=2026-04-20&to=2026-05-11&tz=UTC").await?;
    let complete: Vec<&Value> =
        answer["data"]["buckets"].as_array().into_iter().flatten().map(|b| &b["complete"]).collect();
    assert_eq!(complete, [&json!(false), &json!(false), &json!(true)], "read from 2026-05-01 on, a Friday");
    assert_eq!(answer["meta"]["coverage"]["since"], json!("2026-05-01T00:00:00Z"));
    let warnings = answer["meta"]["warnings"].to_string();
    assert!(warnings.contains("before_collection"), "{warnings}");
    Ok(())
}

#[tokio::test]
async fn an_unreachable_database_is_unavailable_and_no_timeout() -> Result<()> {
    let lookup = |name: &str| match name {
        "DB_URL" => Some("postgres://nobody@127.0.0.1:9/none".to_owned()),
        "REQUEST_TIMEOUT_SECONDS" => Some("2".to_owned()),
        _ => None,
    };
    let settings = mergeline_api::Settings::from_vars(lookup)?;
    let store = mergeline_store::Store::connect(&settings.database);
    let (timeout, clock) = (settings.timeout, || mergeline_test_support::at(common::NOW));
    let router = mergeline_api::router(mergeline_api::Api { store, keys: None, timeout, clock, renewal: None });
    let response = send(&router, Request::get("/v1/teams").body(Body::empty())?).await?;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(body(response).await?["error"]["code"], json!("unavailable"));
    Ok(())
}

#[tokio::test]
async fn the_oracles_of_the_definition_hold_through_the_api() -> Result<()> {
    // Seconds become hours, so that the answer can be compared as it is.
    for (values, weights, p50, p75, p95) in [
        (vec![2, 10, 20], vec!["1", "1", "1"], 10.0, 15.0, 19.0),
        (vec![2, 10, 20], vec!["1", "0.5", "0.5"], 8.6667, 13.75, 18.75),
        (vec![4, 8, 100], vec!["1", "1", "0.1"], 7.1, 35.1818, 87.0364),
        (vec![5], vec!["0.25"], 5.0, 5.0, 5.0),
    ] {
        let members: Vec<String> =
            weights.iter().enumerate().map(|(n, weight)| format!("{{ github: user{n}, weight: {weight} }}")).collect();
        let teams = format!(
            "version: 1\nrepositories: [acme/api]\nteams: [{{ slug: oracle, members: [{}] }}]",
            members.join(", ")
        );
        let backend = Backend::with_teams(&teams).await?;
        let pull_requests: Vec<FakePullRequest> = (1..)
            .zip(&values)
            .map(|(number, hours)| {
                let opened = pr("acme/api", number).by(&format!("user{}", number - 1)).created("2026-06-01T00:00:00Z");
                let merged = opened.created_at + chrono::TimeDelta::hours(*hours);
                opened.merged_at_instant(merged)
            })
            .collect();
        backend.keep(&pull_requests).await?;
        for (path, pointer) in [("velocity", "/data/total/cycle_time"), ("lead-time", "/data/total")] {
            let (_, answer) =
                backend.get(&format!("/v1/metrics/team/oracle/{path}?from=2026-06-01&to=2026-07-01")).await?;
            let statistics = answer.pointer(pointer).expect("statistics");
            let rounded = |name: &str| (statistics[name].as_f64().expect("a number") * 10_000.0).round() / 10_000.0;
            assert_eq!(
                (rounded("p50_hours"), rounded("p75_hours"), rounded("p95_hours")),
                (p50, p75, p95),
                "{values:?} {path}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_half_hour_is_half_an_hour() -> Result<()> {
    let backend =
        Backend::with(&[pr("acme/api", 1).created("2026-06-02T10:00:00Z").merged("2026-06-02T10:30:00Z")]).await?;
    let (_, answer) = backend.get("/v1/metrics/team/payments/lead-time?from=2026-06-01&to=2026-07-01").await?;
    assert_eq!(answer["data"]["total"]["p50_hours"], json!(0.5));
    Ok(())
}

#[tokio::test]
async fn a_merge_at_midnight_belongs_to_the_week_of_the_asked_time_zone() -> Result<()> {
    // Sunday evening in UTC is Monday in Oslo.
    let backend =
        Backend::with(&[pr("acme/api", 1).created("2026-06-07T20:00:00Z").merged("2026-06-07T22:30:00Z")]).await?;
    let weeks = async |zone: &str| -> Result<Vec<String>> {
        let (_, answer) =
            backend.get(&format!("/v1/metrics/team/payments/velocity?from=2026-06-01&to=2026-06-15&tz={zone}")).await?;
        let buckets = answer["data"]["buckets"].as_array().cloned().unwrap_or_default();
        Ok(buckets
            .iter()
            .filter(|b| b["prs_merged"] == json!(1))
            .map(|b| b["week"].as_str().unwrap_or_default().to_owned())
            .collect())
    };
    assert_eq!(weeks("UTC").await?, ["2026-W23"]);
    assert_eq!(weeks("Europe/Oslo").await?, ["2026-W24"]);
    Ok(())
}

#[tokio::test]
async fn refusals_have_one_form_and_their_status() -> Result<()> {
    let backend = Backend::empty().await?;
    for (path, status, code) in [
        ("/v1/metrics/team/unknown/velocity", 404, "not_found"),
        ("/v1/metrics/team/99/velocity", 404, "not_found"),
        ("/v1/metrics/team/0/velocity", 400, "validation_error"),
        ("/v1/metrics/team/9223372036854775808/velocity", 400, "validation_error"),
        ("/v1/metrics/team/1;DROP%20TABLE%20x/velocity", 400, "validation_error"),
        ("/v1/metrics/team/%00/velocity", 400, "validation_error"),
        ("/v1/metrics/team/..%2f/velocity", 400, "validation_error"),
        ("/v1/metrics/team/%ff/velocity", 400, "validation_error"),
        ("/v1/metrics/team/payments/velocity?week=1", 400, "validation_error"),
        ("/v1/metrics/team/payments/velocity?from=2026-01-01&from=2026-01-02", 400, "validation_error"),
        ("/v1/teams?limit=1", 400, "validation_error"),
        ("/v1/metrics/team/payments/cycle", 404, "not_found"),
        ("/", 404, "not_found"),
    ] {
        let (found, answer) = backend.get(path).await?;
        assert_eq!((found, answer["error"]["code"].as_str()), (status, Some(code)), "{path}");
    }
    let (_, answer) = backend.get("/v1/metrics/team/payments/velocity?form=2026-01-01&tz=Mars/Phobos").await?;
    insta::assert_json_snapshot!(answer, @r#"
    {
      "error": {
        "code": "validation_error",
        "details": [
          {
            "message": "unknown; did you mean `from`?",
            "parameter": "form",
            "reason": "unknown"
          },
          {
            "message": "write a name of the IANA database, Europe/Oslo for example",
            "parameter": "tz",
            "reason": "invalid"
          }
        ],
        "message": "The request cannot be understood; see details.",
        "trace_id": "TRACE"
      }
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn only_reading_is_offered() -> Result<()> {
    let router = Backend::empty().await?.router(None);
    let response = send(&router, Request::post("/v1/teams").body(Body::from("{}"))?).await?;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    assert_eq!(body(response).await?["error"]["code"], json!("method_not_allowed"));
    Ok(())
}

#[tokio::test]
async fn with_a_key_set_every_number_needs_it_and_health_does_not() -> Result<()> {
    let router = Backend::empty().await?.router(Some(KEY));
    let status = async |path: &str, key: Option<&str>| -> Result<(u16, Option<String>)> {
        let mut request = Request::get(path);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let response = send(&router, request.body(Body::empty())?).await?;
        let status = response.status().as_u16();
        Ok((status, body(response).await?["error"]["code"].as_str().map(str::to_owned)))
    };
    for path in ["/v1/teams", "/v1/metrics/team/payments/velocity", "/v1/metrics/team/payments/lead-time"] {
        assert_eq!(status(path, None).await?, (401, Some("unauthorized".to_owned())), "{path}");
        for wrong in ["", "wrong", &KEY[1..], &format!("{KEY}x")] {
            assert_eq!(status(path, Some(wrong)).await?, (403, Some("forbidden".to_owned())), "{path} {wrong}");
        }
        assert_eq!(status(path, Some(KEY)).await?.0, 200, "{path}");
    }
    assert_eq!(status("/healthz", None).await?, (200, None));
    Ok(())
}

#[tokio::test]
async fn the_trace_id_of_aws_is_kept_and_a_forged_one_is_not() -> Result<()> {
    let router = Backend::empty().await?.router(None);
    let trace_id = async |header: &str| -> Result<String> {
        use http_body_util::BodyExt;
        let request = Request::get("/v1/teams").header("x-amzn-trace-id", header).body(Body::empty())?;
        let bytes = send(&router, request).await?.into_body().collect().await?.to_bytes();
        let json: Value = serde_json::from_slice(&bytes)?;
        Ok(json["trace_id"].as_str().unwrap_or_default().to_owned())
    };
    let real = "1-5759e988-bd862e3fe1be46a994272793";
    assert_eq!(trace_id(&format!("Root={real};Sampled=1")).await?, real);
    for forged in ["Root=<script>", "nonsense", &format!("Root={}", "a".repeat(100))] {
        let id = trace_id(forged).await?;
        assert!(id.len() == 36 && !forged.contains(&id), "{forged}: {id}");
    }
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_gone_is_a_503_and_a_missing_schema_says_so() -> Result<()> {
    let backend = Backend::empty().await?;
    sqlx::raw_sql("drop schema public cascade").execute(&backend.database.pool().await?).await?;
    let (status, answer) = backend.get("/v1/teams").await?;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("schema_outdated")));
    backend.store.close().await;
    let (status, answer) = backend.get("/v1/teams").await?;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("unavailable")));
    Ok(())
}

#[tokio::test]
async fn a_connection_that_was_cut_between_two_requests_is_renewed() -> Result<()> {
    let backend = Backend::empty().await?;
    assert_eq!(backend.get("/v1/teams").await?.0, 200);
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
        .execute(&backend.database.pool().await?)
        .await?;
    assert_eq!(backend.get("/v1/teams").await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_slow_database_is_a_504_and_the_next_request_is_answered() -> Result<()> {
    let backend = Backend::empty().await?;
    let pool = backend.database.pool().await?;
    let mut blocker = pool.begin().await?;
    sqlx::raw_sql("lock table teams in access exclusive mode").execute(&mut *blocker).await?;
    let router = mergeline_api::router(mergeline_api::Api {
        store: backend.store.clone(),
        keys: None,
        timeout: std::time::Duration::from_millis(200),
        clock: || mergeline_test_support::at(common::NOW),
        renewal: None,
    });
    let response = send(&router, Request::get("/v1/teams").body(Body::empty())?).await?;
    assert_eq!(response.status(), 504);
    assert_eq!(body(response).await?["error"]["code"], json!("timeout"));
    blocker.rollback().await?;
    assert_eq!(backend.get("/v1/teams").await?.0, 200);
    Ok(())
}
