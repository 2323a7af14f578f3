//! What a reader can do with only the table of pull requests.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use chrono::NaiveDate;
use chrono_tz::Tz;
use serde_json::Value;

use crate::DURATIONS;
use crate::definitions::{assert_near, local_day};
use crate::world::Row;

/// Asserts that a velocity's buckets and total can be computed from these rows.
pub(crate) fn assert_redone(rows: &[Row], velocity: &Value, context: &str) -> Result<()> {
    let counted: Vec<&Row> = rows.iter().filter(|row| row["counts"] == "true").collect();
    assert_numbers(&counted, &velocity["data"]["total"], &format!("total, {context}"))?;
    let zone: Tz = velocity["meta"]["timezone"].as_str().context("a zone")?.parse()?;
    for bucket in velocity["data"]["buckets"].as_array().context("buckets")? {
        let day = |key: &str| bucket[key].as_str().unwrap_or_default().parse::<NaiveDate>();
        let (start, end) = (day("start")?, day("end")?);
        let mut inside = Vec::new();
        for row in &counted {
            let merged_on = local_day(row["merged_at"].parse()?, zone);
            if start <= merged_on && merged_on < end {
                inside.push(*row);
            }
        }
        assert_numbers(&inside, bucket, &format!("{}, {context}", bucket["bucket"]))?;
    }
    Ok(())
}

fn assert_numbers(rows: &[&Row], found: &Value, context: &str) -> Result<()> {
    let weights = rows.iter().map(|row| row["weight"].parse()).collect::<Result<Vec<f64>, _>>()?;
    assert_eq!(found["prs_merged"], rows.len(), "{context}");
    assert_near(&found["prs_merged_weighted"], weights.iter().sum(), context);
    let authors: BTreeSet<&str> = rows.iter().map(|row| row["author"].as_str()).collect();
    assert_eq!(found["contributors"], authors.len(), "{context}");
    for (pointer, column) in DURATIONS {
        let mut cells: Vec<(f64, f64)> = Vec::new();
        for (row, weight) in rows.iter().zip(&weights).filter(|(row, _)| !row[column].is_empty()) {
            cells.push((row[column].parse()?, *weight));
        }
        let statistics = found.pointer(pointer).unwrap_or(&Value::Null);
        assert_statistics(&cells, statistics, &format!("{column}, {context}"));
    }
    Ok(())
}

fn assert_statistics(cells: &[(f64, f64)], found: &Value, context: &str) {
    let weight: f64 = cells.iter().map(|(_, weight)| weight).sum();
    assert_eq!(found["n"], cells.len(), "{context}");
    assert_near(&found["weight"], weight, context);
    if cells.is_empty() {
        return;
    }
    let sum: f64 = cells.iter().map(|(hours, weight)| hours * weight).sum();
    assert_near(&found["mean_hours"], sum / weight, &format!("mean, {context}"));
    for (key, p) in [("p50_hours", 0.5), ("p75_hours", 0.75), ("p90_hours", 0.9), ("p95_hours", 0.95)] {
        assert_near(&found[key], percentile(cells, p), &format!("{key}, {context}"));
    }
}

/// The weighted percentile of (value, weight), by columns as in a spreadsheet.
fn percentile(cells: &[(f64, f64)], p: f64) -> f64 {
    let mut sorted = cells.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut sum = 0.0;
    let centres: Vec<f64> = sorted
        .iter()
        .map(|(_, weight)| {
            sum += weight;
            sum - weight / 2.0
        })
        .collect();
    let (first, last) = (centres[0], centres[centres.len() - 1]);
    let places: Vec<f64> = centres.iter().map(|centre| (centre - first) / (last - first)).collect();
    // `None` for a single value.
    let Some(k) = (1..places.len()).find(|k| places[*k] >= p) else { return sorted[0].0 };
    let (low, high) = (sorted[k - 1].0, sorted[k].0);
    low + (high - low) * (p - places[k - 1]) / (places[k] - places[k - 1])
}

#[test]
fn a_spreadsheet_matches_the_percentile_definition() {
    for (cells, p50, p75, p95) in [
        (vec![(2.0, 1.0), (10.0, 1.0), (20.0, 1.0)], 10.0, 15.0, 19.0),
        (vec![(2.0, 1.0), (10.0, 0.5), (20.0, 0.5)], 8.6667, 13.75, 18.75),
        (vec![(4.0, 1.0), (8.0, 1.0), (100.0, 0.1)], 7.1, 35.1818, 87.0364),
        (vec![(5.0, 0.25)], 5.0, 5.0, 5.0),
    ] {
        for (p, expected) in [(0.5, p50), (0.75, p75), (0.95, p95)] {
            assert!((percentile(&cells, p) - expected).abs() < 6e-5, "{cells:?} {p}");
        }
    }
}
