//! The weighted percentile in SQL, compared with known values and with plain Rust.

mod common;

use anyhow::Result;
use common::fresh;
use mergeline_domain::{Sample, Weight, weighted_percentile};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sqlx::PgPool;

const FRACTIONS: [f64; 4] = [0.5, 0.75, 0.9, 0.95];

async fn in_sql(pool: &PgPool, values: &[f64], units: &[i32]) -> Result<Option<Vec<f64>>> {
    let statement = "select weighted_percentiles(
        array_agg(weighted_sample(s.value, s.units) order by weighted_sample(s.value, s.units) desc), sum(s.units), $3
    ) from unnest($1::double precision [], $2::integer []) as s (value, units)";
    Ok(sqlx::query_scalar(statement).bind(values).bind(units).bind(FRACTIONS.to_vec()).fetch_one(pool).await?)
}

#[tokio::test]
async fn the_oracles_hold_in_sql() -> Result<()> {
    let (database, _) = fresh().await?;
    let pool = database.pool().await?;
    for (values, units, expected) in [
        (vec![2.0, 10.0, 20.0], vec![10_000, 10_000, 10_000], (10.0, 15.0, 19.0)),
        (vec![2.0, 10.0, 20.0], vec![10_000, 5_000, 5_000], (8.6667, 13.75, 18.75)),
        (vec![4.0, 8.0, 100.0], vec![10_000, 10_000, 1_000], (7.1, 35.1818, 87.0364)),
        (vec![5.0], vec![2_500], (5.0, 5.0, 5.0)),
    ] {
        let found = in_sql(&pool, &values, &units).await?.expect("values");
        let rounded = |value: f64| (value * 10_000.0).round() / 10_000.0;
        assert_eq!((rounded(found[0]), rounded(found[1]), rounded(found[3])), expected, "{values:?}");
    }
    assert_eq!(in_sql(&pool, &[], &[]).await?, None);
    Ok(())
}

#[tokio::test]
async fn equal_weights_give_postgresqls_own_percentile() -> Result<()> {
    let (database, _) = fresh().await?;
    let pool = database.pool().await?;
    let worst: f64 = sqlx::query_scalar(
        "select max(abs(ours.value - theirs.value))
        from generate_series(1, 40) as n
        cross join lateral (select array_agg((i * 7919) % 1000 * 1.5::double precision) as v from generate_series(1, n) as i) as sample
        cross join lateral (
            select value, position from unnest((
                    select weighted_percentiles(array_agg(weighted_sample(x, 3333) order by x desc), sum(3333), array[0.5, 0.75, 0.9, 0.95])
                    from unnest(sample.v) as x
                ))
                with ordinality as u (value, position)
        ) as ours
        cross join lateral (
            select value, position
            from unnest((select percentile_cont(array[0.5, 0.75, 0.9, 0.95]) within group (order by x) from unnest(sample.v) as x))
                with ordinality as u (value, position)
        ) as theirs
        where ours.position = theirs.position",
    )
    .fetch_one(&pool)
    .await?;
    assert!(worst < 1e-9, "{worst}");
    Ok(())
}

#[tokio::test]
async fn sql_equals_plain_rust_for_random_samples() -> Result<()> {
    let (database, _) = fresh().await?;
    let pool = database.pool().await?;
    let mut runner = TestRunner::deterministic();
    // Few distinct values, so that ties are common.
    let sample = (prop_oneof![0u32..5, 0u32..10_000_000], prop_oneof![Just(10_000u16), Just(5_000), 1..=Weight::UNITS]);
    let samples = prop::collection::vec(sample, 1..40);
    for _ in 0..200 {
        let drawn = samples.new_tree(&mut runner).map_err(anyhow::Error::msg)?.current();
        let values: Vec<f64> = drawn.iter().map(|(value, _)| f64::from(*value)).collect();
        let units: Vec<i32> = drawn.iter().map(|(_, units)| i32::from(*units)).collect();
        let found = in_sql(&pool, &values, &units).await?.expect("values");
        let plain: Vec<Sample> = (0..)
            .zip(&drawn)
            .map(|(id, (value, units))| Sample {
                seconds: f64::from(*value),
                weight: Weight::from_units(*units).expect("in range"),
                id,
            })
            .collect();
        for (fraction, found) in FRACTIONS.into_iter().zip(found) {
            let expected = weighted_percentile(&plain, fraction).expect("not empty");
            assert!((found - expected).abs() <= 1e-9 * expected.max(1.0), "{found} {expected} {drawn:?}");
        }
    }
    Ok(())
}
