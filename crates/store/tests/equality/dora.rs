//! DORA's metrics in plain Rust, over the rows that they are made of, compared with those of SQL.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use fastrand::Rng;
use mergeline_domain::delivery::{FailureReason, ServiceId, Share};
use mergeline_domain::metrics::{Basis, Count, DeploymentCounts, DoraBucket, Interval, Timing, Unattributed};
use mergeline_domain::{Sample, TeamId, Weight, start_of_day, weighted_percentile};
use mergeline_store::{Bucketing, DoraScope, DoraTerms};
use mergeline_test_support::TestDatabase;
use sqlx::PgPool;

type At = DateTime<Utc>;

#[derive(sqlx::FromRow)]
struct Fact {
    deployment_id: i64,
    service_id: i64,
    succeeded_at: Option<At>,
    finished_at: At,
    kind: Option<String>,
    rework: Vec<String>,
    remedied_at: Option<At>,
}

#[derive(sqlx::FromRow)]
struct Incident {
    service_id: Option<i64>,
    severity: Option<String>,
    started_at: At,
    resolved_at: Option<At>,
    deployment_id: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Owner {
    service_id: i64,
    team_id: i64,
    share: i64,
    owned_from: Option<At>,
    owned_to: Option<At>,
}

/// A pull request that counts for a scope: when it was delivered, its times, and its weight in ten-thousandths.
#[derive(sqlx::FromRow)]
struct LeadTime {
    team_id: Option<i64>,
    service_id: Option<i64>,
    delivered_at: At,
    lead: Option<f64>,
    deploy: Option<f64>,
    units: i32,
}

/// All rows that numbers are made of.
struct Rows {
    facts: Vec<Fact>,
    failures: BTreeMap<i64, Vec<(FailureReason, Option<At>)>>,
    /// By basis and deployment: the share of each team.
    shares: BTreeMap<(String, i64), BTreeMap<i64, i64>>,
    incidents: Vec<Incident>,
    owners: Vec<Owner>,
    delivered: Vec<LeadTime>,
    teams: Vec<i64>,
    services: Vec<i64>,
}

impl Rows {
    async fn read(pool: &PgPool) -> Result<Self> {
        let failures: Vec<(i64, String, Option<At>)> =
            sqlx::query_as("select deployment_id, reason, remedied_at from deployment_failures")
                .fetch_all(pool)
                .await?;
        let shares: Vec<(String, i64, i64, i64)> =
            sqlx::query_as("select basis, deployment_id, team_id, (share * 100000000)::bigint from deployment_shares")
                .fetch_all(pool)
                .await?;
        let mut rows = Self {
            facts: sqlx::query_as("select * from deployment_facts").fetch_all(pool).await?,
            failures: BTreeMap::new(),
            shares: BTreeMap::new(),
            incidents: sqlx::query_as("select * from incident_facts").fetch_all(pool).await?,
            owners: sqlx::query_as(
                "select service_id, team_id, (weight * 100000000)::bigint as share, owned_from, owned_to
                from service_owners where removed_in is null",
            )
            .fetch_all(pool)
            .await?,
            delivered: sqlx::query_as(
                "with each as (
                    select p.id, d.service_id, d.delivered_at, x.source,
                        case when d.delivered_at >= p.first_commit_at
                            then extract(epoch from d.delivered_at - p.first_commit_at)::double precision end as lead,
                        -- When a merge counts as a deployment, nobody knows how long it took.
                        case when d.delivered_at >= p.merged_at and x.source <> 'merges'
                            then extract(epoch from d.delivered_at - p.merged_at)::double precision end as deploy
                    from pr_deliveries as d
                    inner join pull_requests as p on d.pull_request_id = p.id
                    inner join deployments as x on d.deployment_id = x.id
                    where p.deleted_at is null
                ),
                late as (
                    select id, service_id, delivered_at, lead, deploy from each
                    union all
                    -- The first of its services, for the team and the organization.
                    (select distinct on (id) id, null, delivered_at, lead, deploy
                    from each order by id, delivered_at, source = 'merges')
                )
                select null::bigint as team_id, l.service_id, l.delivered_at, l.lead, l.deploy, 10000 as units from late as l
                union all
                select a.team_id, l.service_id, l.delivered_at, l.lead, l.deploy, (a.weight * 10000)::integer
                from late as l inner join pr_attributions as a on l.id = a.pull_request_id",
            )
            .fetch_all(pool)
            .await?,
            teams: sqlx::query_scalar("select id from teams").fetch_all(pool).await?,
            services: sqlx::query_scalar("select id from services").fetch_all(pool).await?,
        };
        for (deployment, reason, at) in failures {
            rows.failures.entry(deployment).or_default().push((reason.parse()?, at));
        }
        for (basis, deployment, team, share) in shares {
            rows.shares.entry((basis, deployment)).or_default().insert(team, share);
        }
        Ok(rows)
    }
}

/// A question.
#[derive(Debug)]
struct Asked {
    team: Option<i64>,
    service: Option<i64>,
    basis: Basis,
    failures: Vec<FailureReason>,
    severities: Option<Vec<String>>,
    days: (NaiveDate, NaiveDate),
    interval: Interval,
    zone: Tz,
    ignore_weights: bool,
}

/// The share of a scope in something, and what of it any team has.
type Part = (i64, i64);

impl Asked {
    fn random(random: &mut Rng, rows: &Rows) -> Result<Self> {
        const ZONES: [Tz; 4] = [Tz::UTC, Tz::Europe__Oslo, Tz::America__St_Johns, Tz::Asia__Kolkata];
        // All of them have the most to say.
        let maybe = |random: &mut Rng, of: &[i64]| {
            if random.u32(0..3) == 0 { random.choice(of).copied() } else { None }
        };
        let from = NaiveDate::from_ymd_opt(2026, 4, 28).context("a day")? + TimeDelta::days(random.i64(0..20));
        let chosen: Vec<FailureReason> = FailureReason::ALL.iter().copied().filter(|_| random.u32(0..3) > 0).collect();
        Ok(Self {
            team: maybe(random, &rows.teams),
            service: maybe(random, &rows.services),
            basis: if random.bool() { Basis::Delivered } else { Basis::Owned },
            failures: if chosen.is_empty() { FailureReason::ALL.to_vec() } else { chosen },
            severities: (random.u32(0..4) == 0).then(|| vec!["critical".to_owned(), "low".to_owned()]),
            days: (from, from + TimeDelta::days(random.i64(5..40))),
            interval: [Interval::Day, Interval::Week, Interval::Month][random.usize(0..3)],
            zone: ZONES[random.usize(0..4)],
            ignore_weights: random.u32(0..4) == 0,
        })
    }

    fn range(&self) -> (At, At) {
        (start_of_day(self.days.0, self.zone), start_of_day(self.days.1, self.zone))
    }

    fn has(&self, at: At) -> bool {
        let (start, end) = self.range();
        start <= at && at < end
    }

    fn is_of_service(&self, service: Option<i64>) -> bool {
        self.service.is_none_or(|asked| service == Some(asked))
    }

    /// The bucket of an instant.
    fn bucket(&self, at: At) -> NaiveDate {
        self.interval.start(at.with_timezone(&self.zone).date_naive()).max(self.interval.start(self.days.0))
    }

    /// This scope's part of a whole of which teams have shares; `None` if it has none.
    fn part(&self, shares: &BTreeMap<i64, i64>) -> Option<Part> {
        let all = shares.values().sum();
        match self.team {
            Some(team) => shares.get(&team).map(|share| (*share, all)),
            None => Some((Share::WHOLE.0, all)),
        }
    }

    fn part_of_deployment(&self, rows: &Rows, deployment: i64) -> Option<Part> {
        let nobody = BTreeMap::new();
        let basis = <&str>::from(self.basis).to_owned();
        self.part(rows.shares.get(&(basis, deployment)).unwrap_or(&nobody))
    }

    fn part_of_incident(&self, rows: &Rows, incident: &Incident) -> Option<Part> {
        match (self.basis, incident.deployment_id) {
            (Basis::Delivered, Some(deployment)) => self.part_of_deployment(rows, deployment),
            (Basis::Delivered, None) => self.part(&BTreeMap::new()),
            (Basis::Owned, _) => {
                let in_charge = rows.owners.iter().filter(|owner| {
                    Some(owner.service_id) == incident.service_id
                        && owner.owned_from.is_none_or(|from| from <= incident.started_at)
                        && owner.owned_to.is_none_or(|to| incident.started_at < to)
                });
                self.part(&in_charge.map(|owner| (owner.team_id, owner.share)).collect())
            }
        }
    }

    fn remedy(&self, rows: &Rows, fact: &Fact) -> Option<At> {
        let mut chosen =
            rows.failures.get(&fact.deployment_id)?.iter().filter(|(it, _)| self.failures.contains(it)).peekable();
        chosen.peek()?;
        fact.remedied_at.or(chosen.filter_map(|(_, at)| *at).min())
    }

    fn incidents<'a>(&'a self, rows: &'a Rows) -> impl Iterator<Item = (&'a Incident, Part)> {
        let is_chosen = |it: &&Incident| {
            let severity = it.severity.as_deref();
            self.is_of_service(it.service_id)
                && self.severities.as_ref().is_none_or(|chosen| chosen.iter().any(|one| Some(one.as_str()) == severity))
        };
        rows.incidents.iter().filter(is_chosen).filter_map(|it| Some((it, self.part_of_incident(rows, it)?)))
    }

    /// The numbers of what happened when `is_in` says so.
    fn numbers(&self, rows: &Rows, is_in: &dyn Fn(At) -> bool, end: At) -> DoraBucket {
        let is_in = |at: At| self.has(at) && is_in(at);
        let mut deployments = DeploymentCounts::default();
        let mut unattributed = Unattributed::default();
        let add = |count: &mut Count, (share, _): Part| {
            count.n += 1;
            count.share.0 += if self.ignore_weights { Share::WHOLE.0 } else { share };
        };
        let note = |left: &mut Share, (_, all): Part| {
            if self.team.is_none() {
                left.0 += Share::WHOLE.0 - all;
            }
        };
        let mut recovered = Vec::new();
        for fact in &rows.facts {
            let Some(part) = self.part_of_deployment(rows, fact.deployment_id) else { continue };
            if !self.is_of_service(Some(fact.service_id)) {
                continue;
            }
            if let Some((at, succeeded_at)) =
                self.remedy(rows, fact).zip(fact.succeeded_at).filter(|(at, _)| is_in(*at))
            {
                recovered.push(((at - succeeded_at).as_seconds_f64(), part));
            }
            if !is_in(fact.finished_at) || fact.kind.as_deref() == Some("rollout") {
                continue;
            }
            add(&mut deployments.finished, part);
            note(&mut unattributed.finished, part);
            if let Some(kind) = &fact.kind {
                add(&mut deployments.succeeded, part);
                note(&mut unattributed.succeeded, part);
                add(deployments.kinds.entry(kind.parse().expect("a kind")).or_default(), part);
                let reasons: BTreeSet<FailureReason> =
                    rows.failures.get(&fact.deployment_id).into_iter().flatten().map(|it| it.0).collect();
                let reasons: Vec<FailureReason> = reasons.into_iter().filter(|it| self.failures.contains(it)).collect();
                if !reasons.is_empty() {
                    add(&mut deployments.failed, part);
                    note(&mut unattributed.failed, part);
                    if self.remedy(rows, fact).is_none() {
                        add(&mut deployments.unremedied, part);
                    }
                }
                for reason in reasons {
                    add(deployments.failures.entry(reason).or_default(), part);
                }
            }
            if !fact.rework.is_empty() {
                add(&mut deployments.rework, part);
                note(&mut unattributed.rework, part);
            }
            for reason in &fact.rework {
                add(deployments.reworks.entry(reason.parse().expect("a reason")).or_default(), part);
            }
        }
        let (mut mttr, mut linked) = (Vec::new(), Vec::new());
        let (mut open, mut open_linked) = (Count::default(), Count::default());
        for (incident, part) in self.incidents(rows) {
            let resolved = incident.resolved_at.filter(|at| is_in(*at) && *at >= incident.started_at);
            if let Some(at) = resolved {
                let sample = ((at - incident.started_at).as_seconds_f64(), part);
                mttr.push(sample);
                note(&mut unattributed.incidents, part);
                linked.extend(incident.deployment_id.map(|_| sample));
            }
            if incident.started_at < end && incident.resolved_at.is_none_or(|at| at >= end) {
                add(&mut open, part);
                note(&mut unattributed.open_incidents, part);
                if incident.deployment_id.is_some() {
                    add(&mut open_linked, part);
                }
            }
        }
        let delivered = rows
            .delivered
            .iter()
            .filter(|it| it.team_id == self.team && it.service_id == self.service && is_in(it.delivered_at));
        let (mut count, mut lead, mut deploy) = (Count::default(), Vec::new(), Vec::new());
        for it in delivered {
            let part = (i64::from(it.units) * 10_000, 0);
            add(&mut count, part);
            lead.extend(it.lead.map(|seconds| (seconds, part)));
            deploy.extend(it.deploy.map(|seconds| (seconds, part)));
        }
        DoraBucket {
            start: self.days.0,
            deployments,
            delivered: count,
            lead_time: self.timing(&lead),
            deploy: self.timing(&deploy),
            recovery: self.timing(&linked),
            mttr: self.timing(&mttr),
            deployment_recovery: self.timing(&recovered),
            open_incidents: open,
            open_linked_incidents: open_linked,
            unattributed,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "shares are small")]
    fn timing(&self, samples: &[(f64, Part)]) -> Timing {
        let share = |part: &Part| if self.ignore_weights { Share::WHOLE.0 } else { part.0 };
        let units = |part: &Part| {
            let rounded = (share(part) + 5_000) / 10_000;
            u16::try_from(rounded.max(1)).ok().and_then(Weight::from_units).expect("at most one")
        };
        let weighted: Vec<Sample> = (0..)
            .zip(samples)
            .map(|(id, (seconds, part))| Sample { seconds: *seconds, weight: units(part), id })
            .collect();
        let sum: i64 = samples.iter().map(|(_, part)| share(part)).sum();
        let mean = samples.iter().map(|(seconds, part)| seconds * share(part) as f64).sum::<f64>() / sum as f64;
        let durations = weighted_percentile(&weighted, 0.5).map(|p50| {
            let at = |fraction| weighted_percentile(&weighted, fraction).unwrap_or(f64::NAN);
            mergeline_domain::metrics::Durations {
                mean,
                p50,
                p75: at(0.75),
                p90: at(0.9),
                p95: at(0.95),
                median_interval: None,
            }
        });
        Timing {
            count: Count { n: i64::try_from(samples.len()).unwrap_or(i64::MAX), share: Share(sum) },
            durations,
            contributors: 0,
        }
    }
}

/// What differs between two sets of numbers.
fn difference(found: &DoraBucket, expected: &DoraBucket) -> Option<String> {
    let text = |bucket: &DoraBucket| {
        let timing = |timing: &Timing| {
            let rounded =
                timing.durations.map(|it| [it.mean, it.p50, it.p75, it.p90, it.p95].map(|it| format!("{it:.3}")));
            format!("{:?} {rounded:?}", timing.count)
        };
        let timings = [&bucket.lead_time, &bucket.deploy, &bucket.recovery, &bucket.mttr, &bucket.deployment_recovery];
        format!(
            "{:#?}\n{:?}\n{:?}\n{:?}\n{:?}\n{}",
            bucket.deployments,
            bucket.delivered,
            bucket.open_incidents,
            bucket.open_linked_incidents,
            bucket.unattributed,
            timings.map(timing).join("\n")
        )
    };
    let (found, expected) = (text(found), text(expected));
    (found != expected).then(|| format!("SQL says\n{found}\nthe rows say\n{expected}"))
}

/// Asks for some numbers, and counts them from the rows.
pub(crate) async fn check(database: &TestDatabase, random: &mut Rng, questions: usize) -> Result<()> {
    let pool = database.pool().await?;
    let rows = Rows::read(&pool).await?;
    let reader = database.reader()?;
    for _ in 0..questions {
        let asked = Asked::random(random, &rows)?;
        let scope = DoraScope { team: asked.team.map(TeamId), service: asked.service.map(ServiceId) };
        let terms =
            DoraTerms { basis: asked.basis, failures: asked.failures.clone(), severities: asked.severities.clone() };
        let bucketing = Bucketing {
            interval: asked.interval,
            zone: asked.zone,
            ignore_weights: asked.ignore_weights,
            count_contributors: false,
            measures: None,
        };
        let mut found = reader.session().await?.dora(scope, &terms, asked.days, &bucketing).await?;
        let (_, end) = asked.range();
        let total = asked.numbers(&rows, &|_| true, end);
        if let Some(difference) = difference(&found.total, &total) {
            anyhow::bail!("{asked:?}\nin all: {difference}");
        }
        for bucket in &mut found.buckets {
            let last = asked.interval.end(bucket.start).min(asked.days.1);
            let (start, end) = (bucket.start, start_of_day(last, asked.zone));
            let expected = asked.numbers(&rows, &|at| asked.bucket(at) == start, end);
            if let Some(difference) = difference(bucket, &expected) {
                anyhow::bail!("{asked:?}\nfrom {start}: {difference}");
            }
        }
        ensure!(!found.buckets.is_empty(), "{asked:?} has buckets");
    }
    Ok(())
}
