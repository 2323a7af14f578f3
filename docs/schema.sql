-- The schema that the migrations make. Written by .ci/schema: change it with a new file in migrations/.
set check_function_bodies = false;

CREATE FUNCTION public.add_instances() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    before constant text := current_setting('app.tenant', true);
begin
    perform set_config('app.tenant', new.id::text, true);
    insert into instances (tenant_id, id, forge, base_url)
    values (new.id, 1, 'github', 'https://github.com'), (new.id, 2, 'gitlab', 'https://gitlab.com');
    perform set_config('app.tenant', coalesce(before, ''), true);
    return null;
end
$$;

COMMENT ON FUNCTION public.add_instances() IS 'Adds the instances of a new tenant.';

CREATE FUNCTION public.add_service() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    insert into services (tenant_id, repository_id) values (new.tenant_id, new.id);
    return null;
end
$$;

COMMENT ON FUNCTION public.add_service() IS 'Adds the service that a new repository is by itself.';

CREATE FUNCTION public.add_to_counters(of_tenant integer, repository bigint, stored bigint, lacking bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    -- By its key, no matter what was planned for the rows that a statement wrote.
    update repositories
    set pull_requests = pull_requests + stored, without_details = without_details + lacking
    where tenant_id = of_tenant and id = repository and (stored <> 0 or lacking <> 0);
end
$$;

COMMENT ON FUNCTION public.add_to_counters(of_tenant integer, repository bigint, stored bigint, lacking bigint) IS 'Adds to the counters of a repository.';

CREATE FUNCTION public.allocations(range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, repository_ids bigint[] DEFAULT NULL::bigint[], base_branch text DEFAULT NULL::text) RETURNS TABLE(bucket date, measure text, n bigint, weight numeric)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    with merged as (
        select
            greatest(
                date_trunc(unit, p.merged_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            p.deleted_at is not null as is_deleted,
            (select sum(a.weight) from pr_attributions as a where a.pull_request_id = p.id) as weight
        from pull_requests as p
        where
            p.merged_at >= range_from
            and p.merged_at < range_to
            and (repository_ids is null or p.repository_id = any(repository_ids))
            and (base_branch is null or p.base_ref = base_branch)
    )

    select m.bucket, x.measure, count(*), sum(x.weight)
    from merged as m
    cross join lateral (
        select 'deleted' as measure, 0::numeric as weight where m.is_deleted
        union all
        select 'allocated', m.weight where not m.is_deleted and m.weight is not null
        union all
        select 'no_team', 1 where not m.is_deleted and m.weight is null
        union all
        select 'partly', 1 - m.weight where not m.is_deleted and m.weight < 1
    ) as x
    group by grouping sets ((m.bucket, x.measure), (x.measure))
$$;

COMMENT ON FUNCTION public.allocations(range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, repository_ids bigint[], base_branch text) IS 'Merged pull requests by whether they count for teams: one row per bucket and measure; bucket is null for the whole range.';

CREATE FUNCTION public.count_after_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform recount_repositories();
    return null;
end
$$;

COMMENT ON FUNCTION public.count_after_truncate() IS 'Recomputes the counters after a truncate.';

CREATE FUNCTION public.count_deployments(team bigint, service bigint, by_basis text, range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, reasons text[]) RETURNS TABLE(bucket date, measure text, n bigint, share numeric, attributed numeric)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    with judged as (
        select
            greatest(
                date_trunc(unit, d.finished_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            d.deployment_id,
            d.share,
            d.attributed,
            d.kind,
            d.rework,
            array(
                select f.reason from deployment_failures as f
                where d.kind is not null and f.deployment_id = d.deployment_id and f.reason = any(reasons)
            ) as failed_by
        from scoped_deployments(team, service, by_basis, range_from, range_to) as d
    )

    select j.bucket, m.measure, count(*), sum(j.share), sum(j.attributed)
    from judged as j
    cross join lateral (
        select 'finished' as measure
        union all
        select unnest(array['succeeded', j.kind]) where j.kind is not null
        union all
        select 'failed' where j.failed_by <> '{}'
        union all
        select 'unremedied' where j.failed_by <> '{}' and remedy_of(j.deployment_id, reasons) is null
        union all
        select 'failed:' || f.reason from unnest(j.failed_by) as f (reason)
        union all
        select 'rework' where j.rework <> '{}'
        union all
        select 'rework:' || r.reason from unnest(j.rework) as r (reason)
    ) as m
    group by grouping sets ((j.bucket, m.measure), (m.measure))
$$;

COMMENT ON FUNCTION public.count_deployments(team bigint, service bigint, by_basis text, range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, reasons text[]) IS 'Deployments by kind, failure and rework: one row per bucket and measure; bucket is null for the whole range.';

CREATE FUNCTION public.count_pull_requests() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op = 'INSERT' then
        perform add_to_counters(
            n.tenant_id, n.repository_id, count(*), count(*) filter (where n.detailed_at is distinct from n.updated_at)
        )
        from new_rows as n
        where n.deleted_at is null
        group by n.tenant_id, n.repository_id
        order by n.tenant_id, n.repository_id;
    elsif tg_op = 'DELETE' then
        perform add_to_counters(
            o.tenant_id, o.repository_id, - count(*), - count(*) filter (where o.detailed_at is distinct from o.updated_at)
        )
        from old_rows as o
        where o.deleted_at is null
        group by o.tenant_id, o.repository_id
        order by o.tenant_id, o.repository_id;
    else
        perform add_to_counters(
            c.tenant_id, c.repository_id, sum(c.sign), coalesce(sum(c.sign) filter (where c.is_lacking), 0)::bigint
        )
        from (
            select tenant_id, repository_id, 1 as sign, detailed_at is distinct from updated_at as is_lacking
            from new_rows
            where deleted_at is null
            union all
            select tenant_id, repository_id, -1, detailed_at is distinct from updated_at
            from old_rows
            where deleted_at is null
        ) as c
        group by c.tenant_id, c.repository_id
        order by c.tenant_id, c.repository_id;
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION public.count_pull_requests() IS 'Maintains pull_requests and without_details of repositories.';

CREATE FUNCTION public.count_quarantine() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op = 'INSERT' then
        perform recount_quarantine(n.tenant_id, array_agg(distinct n.repository_id)) from new_rows as n group by n.tenant_id;
    elsif tg_op = 'DELETE' then
        perform recount_quarantine(o.tenant_id, array_agg(distinct o.repository_id)) from old_rows as o group by o.tenant_id;
    else
        perform recount_quarantine(c.tenant_id, array_agg(c.repository_id))
        from (select tenant_id, repository_id from new_rows union select tenant_id, repository_id from old_rows) as c
        group by c.tenant_id;
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION public.count_quarantine() IS 'Maintains the quarantine counters of repositories.';

CREATE FUNCTION public.current_tenant() RETURNS integer
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    acting constant name := coalesce(nullif(current_setting('role'), 'none'), session_user);
    named constant text := nullif(current_setting('app.tenant', true), '');
    chooses constant boolean := acting in (
        select r.name || d.oid
        from pg_database as d cross join (values ('mergeline_reader_'), ('mergeline_poster_'), ('mergeline_writer_')) as r (name)
        where d.datname = current_database()
    )
    or pg_has_role(acting, (select c.relowner from pg_class as c where c.oid = 'tenants'::regclass), 'usage');
    tenant integer;
begin
    if chooses and named is not null then
        return named;
    end if;
    tenant := (select r.tenant_id from readers as r where r.role = session_user);
    if tenant is null then
        tenant := (select min(t.id) from tenants as t having count(*) = 1);
    end if;
    if tenant is null and chooses then
        raise exception 'several organizations share this database, and none is named'
        using hint = 'SET app.tenant = N, with an id of the table tenants';
    end if;
    return tenant;
end
$$;

COMMENT ON FUNCTION public.current_tenant() IS 'The tenant whose rows this transaction sees: the one that the program names, else that of a registered reader, else the only one.';

CREATE FUNCTION public.delivery_times(team bigint, service bigint, range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, ignore_weights boolean DEFAULT false, repository_ids bigint[] DEFAULT NULL::bigint[], base_branch text DEFAULT NULL::text) RETURNS TABLE(bucket date, measure text, n bigint, weight numeric, contributors bigint, mean double precision, percentiles double precision[], median_interval double precision[])
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    with delivered as (
        select a.delivered_at, a.author_id, a.lead_seconds as lead, a.deploy_seconds as deploy, (a.weight * 10000)::integer as units
        from pr_attributions as a
        where
            team is not null and service is null and a.team_id = team
            and a.delivered_at >= range_from and a.delivered_at < range_to
            and (repository_ids is null or a.repository_id = any(repository_ids))
            and (
                base_branch is null
                or (select p.base_ref from pull_requests as p where p.id = a.pull_request_id) = base_branch
            )
        union all
        select p.delivered_at, p.author_id, lead_seconds(p), deploy_seconds(p), 10000
        from pull_requests as p
        where
            team is null and service is null and p.deleted_at is null
            and p.delivered_at >= range_from and p.delivered_at < range_to
            and (repository_ids is null or p.repository_id = any(repository_ids))
            and (base_branch is null or p.base_ref = base_branch)
        union all
        select
            d.delivered_at,
            p.author_id,
            case when d.delivered_at >= p.first_commit_at
                then extract(epoch from d.delivered_at - p.first_commit_at)::double precision end,
            case when d.delivered_at >= p.merged_at and x.source <> 'merges'
                then extract(epoch from d.delivered_at - p.merged_at)::double precision end,
            case when team is null then 10000 else (
                select (a.weight * 10000)::integer from pr_attributions as a
                where a.pull_request_id = p.id and a.team_id = team
            ) end
        from pr_deliveries as d
        inner join pull_requests as p on d.pull_request_id = p.id
        inner join deployments as x on d.deployment_id = x.id
        where
            service is not null and d.service_id = service and p.deleted_at is null
            and d.delivered_at >= range_from and d.delivered_at < range_to
            and (repository_ids is null or p.repository_id = any(repository_ids))
            and (base_branch is null or p.base_ref = base_branch)
    ),

    weighted as (
        select
            greatest(
                date_trunc(unit, d.delivered_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            d.author_id,
            d.lead,
            d.deploy,
            case when ignore_weights then 10000 else d.units end as units
        from delivered as d
        where d.units is not null
    ),

    aggregated as (
        select
            w.bucket,
            count(*) as n,
            sum(w.units) as units,
            count(distinct w.author_id) as contributors,
            count(distinct w.author_id) filter (where w.lead is not null) as lead_contributors,
            count(distinct w.author_id) filter (where w.deploy is not null) as deploy_contributors,
            count(w.lead) as lead_n,
            sum(w.units) filter (where w.lead is not null) as lead_units,
            sum(w.lead * w.units) as lead_sum,
            array_agg(weighted_sample(w.lead, w.units) order by weighted_sample(w.lead, w.units) desc)
                filter (where w.lead is not null) as lead_samples,
            count(w.deploy) as deploy_n,
            sum(w.units) filter (where w.deploy is not null) as deploy_units,
            sum(w.deploy * w.units) as deploy_sum,
            array_agg(weighted_sample(w.deploy, w.units) order by weighted_sample(w.deploy, w.units) desc)
                filter (where w.deploy is not null) as deploy_samples
        from weighted as w
        group by grouping sets ((w.bucket), ())
    )

    select
        a.bucket,
        m.measure,
        m.n,
        coalesce(m.units, 0)::numeric / 10000,
        m.contributors,
        m.sum / m.units,
        weighted_percentiles(m.samples, m.units, array[0.5, 0.75, 0.9, 0.95]),
        median_interval(m.samples)
    from aggregated as a
    cross join lateral (
        values
        ('delivered', a.n, a.units, a.contributors, null::double precision, null::bigint []),
        ('change_lead_time', a.lead_n, a.lead_units, a.lead_contributors, a.lead_sum, a.lead_samples),
        ('deploy', a.deploy_n, a.deploy_units, a.deploy_contributors, a.deploy_sum, a.deploy_samples)
    ) as m (measure, n, units, contributors, sum, samples)
$$;

COMMENT ON FUNCTION public.delivery_times(team bigint, service bigint, range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, ignore_weights boolean, repository_ids bigint[], base_branch text) IS 'Lead times of delivered pull requests: one row per bucket and measure; bucket is null for the whole range.';

CREATE TABLE public.pull_requests (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    repository_id bigint NOT NULL,
    number bigint NOT NULL,
    instance_id bigint NOT NULL,
    external_id text NOT NULL,
    node_id text,
    author_id bigint NOT NULL,
    title text NOT NULL,
    state text NOT NULL,
    is_draft boolean NOT NULL,
    base_ref text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    merged_at timestamp with time zone,
    deleted_at timestamp with time zone,
    attributed_at timestamp with time zone GENERATED ALWAYS AS (COALESCE(merged_at, closed_at, created_at)) STORED NOT NULL,
    cycle_seconds double precision GENERATED ALWAYS AS (
CASE
    WHEN (merged_at >= created_at) THEN (EXTRACT(epoch FROM (merged_at - created_at)))::double precision
    ELSE NULL::double precision
END) STORED,
    detailed_at timestamp with time zone,
    detail_failures integer DEFAULT 0 NOT NULL,
    detail_retry_at timestamp with time zone,
    first_commit_at timestamp with time zone,
    has_unread_commits boolean DEFAULT false NOT NULL,
    first_review_at timestamp with time zone,
    first_approval_at timestamp with time zone,
    ready_at timestamp with time zone,
    draft_periods tstzmultirange,
    is_draft_history_incomplete boolean DEFAULT false NOT NULL,
    additions integer,
    deletions integer,
    changed_files integer,
    merge_commit text,
    coding_seconds double precision GENERATED ALWAYS AS (
CASE
    WHEN (first_commit_at <= created_at) THEN (EXTRACT(epoch FROM (created_at - first_commit_at)))::double precision
    ELSE NULL::double precision
END) STORED,
    pickup_seconds double precision GENERATED ALWAYS AS (
CASE
    WHEN ((first_review_at >= COALESCE(ready_at, created_at)) AND COALESCE((first_review_at <= merged_at), true)) THEN (EXTRACT(epoch FROM (first_review_at - COALESCE(ready_at, created_at))))::double precision
    ELSE NULL::double precision
END) STORED,
    review_seconds double precision GENERATED ALWAYS AS (
CASE
    WHEN ((first_review_at >= created_at) AND (first_review_at <= merged_at)) THEN (EXTRACT(epoch FROM (merged_at - first_review_at)))::double precision
    ELSE NULL::double precision
END) STORED,
    merge_committed_at timestamp with time zone,
    head_commit text,
    head_ref text,
    labels text[],
    reverts bigint,
    closes bigint[],
    delivered_at timestamp with time zone,
    is_delivery_assumed boolean DEFAULT false NOT NULL,
    reviews_at timestamp with time zone,
    has_unread_reviews boolean DEFAULT false NOT NULL,
    CONSTRAINT pull_requests_check CHECK (((state = 'merged'::text) = (merged_at IS NOT NULL))),
    CONSTRAINT pull_requests_check1 CHECK (((state = 'open'::text) = (closed_at IS NULL))),
    CONSTRAINT pull_requests_external_id_check CHECK ((external_id <> ''::text)),
    CONSTRAINT pull_requests_number_check CHECK ((number > 0)),
    CONSTRAINT pull_requests_state_check CHECK ((state = ANY (ARRAY['open'::text, 'closed'::text, 'merged'::text])))
);

ALTER TABLE ONLY public.pull_requests FORCE ROW LEVEL SECURITY;

CREATE FUNCTION public.deploy_seconds(p public.pull_requests) RETURNS double precision
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select case when p.delivered_at >= p.merged_at and not p.is_delivery_assumed
        then extract(epoch from p.delivered_at - p.merged_at)::double precision end
$$;

COMMENT ON FUNCTION public.deploy_seconds(p public.pull_requests) IS 'From the merge to the delivery. Null if unknown, negative or only assumed.';

CREATE FUNCTION public.first_delivery(pull_request bigint, OUT delivered_at timestamp with time zone, OUT is_assumed boolean) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select p.delivered_at, d.source = 'merges'
    from pr_deliveries as p
    inner join deployments as d on p.deployment_id = d.id
    where p.pull_request_id = pull_request
    order by p.delivered_at, d.source = 'merges'
    limit 1
$$;

COMMENT ON FUNCTION public.first_delivery(pull_request bigint, OUT delivered_at timestamp with time zone, OUT is_assumed boolean) IS 'When the first service delivered a pull request, and whether that is only assumed.';

CREATE FUNCTION public.incident_state_rank(state text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select array_position(array ['opened', 'reopened', 'resolved', 'dismissed', 'merged'], state)
$$;

COMMENT ON FUNCTION public.incident_state_rank(state text) IS 'Which of several states of an incident at one instant decides: the highest one.';

CREATE FUNCTION public.knows_timezone(name text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
begin
    perform timezone(name, now());
    return true;
exception when invalid_parameter_value then
    return false;
end
$$;

COMMENT ON FUNCTION public.knows_timezone(name text) IS 'Whether the server knows a time zone with this name.';

CREATE FUNCTION public.lead_seconds(p public.pull_requests) RETURNS double precision
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select case when p.delivered_at >= p.first_commit_at
        then extract(epoch from p.delivered_at - p.first_commit_at)::double precision end
$$;

COMMENT ON FUNCTION public.lead_seconds(p public.pull_requests) IS 'From the first commit to the delivery (change_lead_time@1). Null if unknown or negative.';

CREATE FUNCTION public.median_interval(samples bigint[]) RETURNS double precision[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
declare
    n constant integer := cardinality(samples);
    -- The interval is from the sample with this rank to the one with the same rank from above.
    rank integer := 0;
    -- Of n coins: the chance of exactly `rank` heads, and of fewer.
    chance double precision;
    below double precision := 0;
begin
    if n < 6 then
        return null;
    end if;
    if n <= 1000 then
        chance := power(0.5::double precision, n);
        while below + chance <= 0.025 loop
            below := below + chance;
            chance := chance * (n - rank) / (rank + 1);
            rank := rank + 1;
        end loop;
    else
        -- The normal distribution is as good, and 0.5 ^ n would be too small.
        rank := floor(n / 2.0 + 0.5 - 0.979982 * sqrt(n));
    end if;
    return array[(samples[n + 1 - rank] >> 14) / 1000.0::double precision, (samples[rank] >> 14) / 1000.0::double precision];
end
$$;

COMMENT ON FUNCTION public.median_interval(samples bigint[]) IS 'The 95 % interval of the median in seconds (median_interval@1). Takes weighted_samples in descending order. Null below six.';

CREATE FUNCTION public.merge_statistics(team bigint, range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, repository_ids bigint[] DEFAULT NULL::bigint[], base_branch text DEFAULT NULL::text, ignore_weights boolean DEFAULT false, count_people boolean DEFAULT false, measures text[] DEFAULT NULL::text[]) RETURNS TABLE(bucket date, measure text, n bigint, weight numeric, contributors bigint, mean double precision, percentiles double precision[], median_interval double precision[])
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    with merged as (
        select
            -- Where clocks go back over midnight, the day before the first one comes a second time: it belongs to the first.
            greatest(
                date_trunc(unit, a.merged_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            a.author_id,
            case when ignore_weights then 10000 else (a.weight * 10000)::integer end as units,
            a.cycle_seconds as cycle,
            a.coding_seconds as coding,
            a.pickup_seconds as pickup,
            a.review_seconds as review,
            a.deploy_seconds as deploy
        from pr_attributions as a
        where
            a.team_id = team
            and a.merged_at >= range_from
            and a.merged_at < range_to
            and (repository_ids is null or a.repository_id = any(repository_ids))
            and (
                base_branch is null
                or (select p.base_ref from pull_requests as p where p.id = a.pull_request_id) = base_branch
            )
        union all
        select
            greatest(
                date_trunc(unit, p.merged_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date,
            p.author_id,
            10000,
            p.cycle_seconds,
            p.coding_seconds,
            p.pickup_seconds,
            p.review_seconds,
            deploy_seconds(p)
        from pull_requests as p
        where
            team is null
            and p.deleted_at is null
            and p.merged_at >= range_from
            and p.merged_at < range_to
            and (repository_ids is null or p.repository_id = any(repository_ids))
            and (base_branch is null or p.base_ref = base_branch)
    ),

    aggregated as (
        select
            m.bucket,
            count(*) as n,
            sum(m.units) as units,
            count(distinct m.author_id) as contributors,

            count(m.cycle) as cycle_n,
            sum(m.units) filter (where m.cycle is not null) as cycle_units,
            count(distinct m.author_id) filter (where count_people and m.cycle is not null) as cycle_contributors,
            sum(m.cycle * m.units) as cycle_sum,
            array_agg(weighted_sample(m.cycle, m.units) order by weighted_sample(m.cycle, m.units) desc)
                filter (where m.cycle is not null and (measures is null or 'cycle_time' = any(measures))) as cycle_samples,

            count(m.coding) as coding_n,
            sum(m.units) filter (where m.coding is not null) as coding_units,
            count(distinct m.author_id) filter (where count_people and m.coding is not null) as coding_contributors,
            sum(m.coding * m.units) as coding_sum,
            array_agg(weighted_sample(m.coding, m.units) order by weighted_sample(m.coding, m.units) desc)
                filter (where m.coding is not null and (measures is null or 'coding' = any(measures))) as coding_samples,

            count(m.pickup) as pickup_n,
            sum(m.units) filter (where m.pickup is not null) as pickup_units,
            least(
                count(distinct m.author_id) filter (where count_people and m.pickup is not null),
                nullif(count(distinct m.author_id) filter (where count_people and m.pickup is null and m.cycle is not null), 0)
            ) as pickup_contributors,
            sum(m.pickup * m.units) as pickup_sum,
            array_agg(weighted_sample(m.pickup, m.units) order by weighted_sample(m.pickup, m.units) desc)
                filter (where m.pickup is not null and (measures is null or 'pickup' = any(measures))) as pickup_samples,

            count(m.review) as review_n,
            sum(m.units) filter (where m.review is not null) as review_units,
            least(
                count(distinct m.author_id) filter (where count_people and m.review is not null),
                nullif(count(distinct m.author_id) filter (where count_people and m.review is null and m.cycle is not null), 0)
            ) as review_contributors,
            sum(m.review * m.units) as review_sum,
            array_agg(weighted_sample(m.review, m.units) order by weighted_sample(m.review, m.units) desc)
                filter (where m.review is not null and (measures is null or 'review' = any(measures))) as review_samples,

            count(m.deploy) as deploy_n,
            sum(m.units) filter (where m.deploy is not null) as deploy_units,
            count(distinct m.author_id) filter (where count_people and m.deploy is not null) as deploy_contributors,
            sum(m.deploy * m.units) as deploy_sum,
            array_agg(weighted_sample(m.deploy, m.units) order by weighted_sample(m.deploy, m.units) desc)
                filter (where m.deploy is not null and (measures is null or 'deploy' = any(measures))) as deploy_samples
        from merged as m
        group by grouping sets ((m.bucket), ())
    ),

    -- From local times, which an instant has exactly one of: no bucket is lost or doubled where clocks change.
    calendar as (
        select
            generate_series(
                date_trunc(unit, range_from at time zone zone),
                (range_to - interval '1 microsecond') at time zone zone,
                case unit when 'quarter' then interval '3 months' else ('1 ' || unit)::interval end
            )::date as bucket
        where range_from < range_to
        union all
        select null
    )

    select
        c.bucket,
        m.measure,
        coalesce(m.n, 0),
        coalesce(m.units, 0)::numeric / 10000,
        coalesce(m.contributors, 0),
        m.sum / m.units,
        weighted_percentiles(m.samples, m.units, array[0.5, 0.75, 0.9, 0.95]),
        median_interval(m.samples)
    from calendar as c
    left join aggregated as a on a.bucket is not distinct from c.bucket
    cross join lateral (
        values
        ('merged', a.n, a.units, a.contributors, null::double precision, null::bigint []),
        ('cycle_time', a.cycle_n, a.cycle_units, a.cycle_contributors, a.cycle_sum, a.cycle_samples),
        ('coding', a.coding_n, a.coding_units, a.coding_contributors, a.coding_sum, a.coding_samples),
        ('pickup', a.pickup_n, a.pickup_units, a.pickup_contributors, a.pickup_sum, a.pickup_samples),
        ('review', a.review_n, a.review_units, a.review_contributors, a.review_sum, a.review_samples),
        ('deploy', a.deploy_n, a.deploy_units, a.deploy_contributors, a.deploy_sum, a.deploy_samples)
    ) as m (measure, n, units, contributors, sum, samples)
    order by c.bucket nulls last
$$;

COMMENT ON FUNCTION public.merge_statistics(team bigint, range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, repository_ids bigint[], base_branch text, ignore_weights boolean, count_people boolean, measures text[]) IS 'Measures of merged pull requests, of a team or (null) of the organization: one row per bucket and measure; bucket is null for the whole range. With measures, only these have percentiles.';

CREATE FUNCTION public.paths_digest(repository bigint) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select string_agg(w.service_id || '@' || w.paths_revision, ' ' order by w.service_id)
    from services_with_paths as w
    where w.repository_id = paths_digest.repository and w.is_collected
$$;

COMMENT ON FUNCTION public.paths_digest(repository bigint) IS 'Changes with the paths of the services of a repository. Null if none has any.';

CREATE FUNCTION public.pull_request_flags(p public.pull_requests) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select array_remove(
        array[
            case when p.merged_at < p.created_at then 'merged_before_creation' end,
            case when p.detailed_at is distinct from p.updated_at then 'details_pending' end,
            case when p.has_unread_commits then 'commits_incomplete' end,
            case when p.first_commit_at > p.created_at then 'first_commit_after_creation' end,
            case when p.first_review_at < coalesce(p.ready_at, p.created_at) then 'review_before_ready' end,
            case when p.first_review_at > p.merged_at then 'reviewed_after_merge' end,
            case when p.is_draft_history_incomplete then 'draft_times_missing' end,
            case when p.delivered_at < p.merged_at then 'deployed_before_merge' end,
            case when exists (
                select from pull_request_files as f
                inner join pull_request_services as t on f.pull_request_id = t.pull_request_id
                inner join services as s on t.service_id = s.id
                where f.pull_request_id = p.id and f.is_incomplete and t.is_touched and s.paths is not null
            ) then 'files_incomplete' end
        ],
        null
    )
$$;

COMMENT ON FUNCTION public.pull_request_flags(p public.pull_requests) IS 'Why a duration of a pull request is null although one might expect it.';

CREATE FUNCTION public.reason_not_delivered(of_pull_request bigint) RETURNS TABLE(reason text)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select coalesce(
        (
            select d.missing from pr_deliveries as d
            where d.pull_request_id = of_pull_request
            order by
                array_position(
                    array['not_deployed_yet', 'not_collected', 'unknown_history', 'before_first_deployment'], d.missing
                ) nulls first
            limit 1
        ),
        (
            select r.reason
            from pull_requests as p
            cross join reason_of_paths(p.id, p.repository_id) as r
            where p.id = of_pull_request
        ),
        'no_source'
    )
$$;

COMMENT ON FUNCTION public.reason_not_delivered(of_pull_request bigint) IS 'Why a merged pull request was not delivered so far.';

CREATE FUNCTION public.reason_of_paths(of_pull_request bigint, of_repository bigint) RETURNS TABLE(reason text)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select case
        when bool_or(t.is_touched) then null
        -- A repository that is no longer collected is not compared again.
        when bool_or(t.service_id is null or w.is_collected and t.paths_revision is distinct from w.paths_revision)
            then 'not_collected'
        else 'no_service'
    end
    from services_with_paths as w
    left join pull_request_services as t on w.service_id = t.service_id and t.pull_request_id = of_pull_request
    where
        w.repository_id = of_repository
        and not exists (
            select from repositories as r
            inner join service_repositories as o on o.repository in (r.name, r.current_name)
            inner join services as s on o.service_id = s.id
            where r.id = of_repository and s.paths is null and s.archived_at is null
        )
    having count(*) > 0
$$;

COMMENT ON FUNCTION public.reason_of_paths(of_pull_request bigint, of_repository bigint) IS 'Why a pull request belongs to no service of its repository, if it does not.';

CREATE FUNCTION public.recount_quarantine(of_tenant integer, of_repositories bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    -- First locked, then counted: who counted at the same time as another one would not see what that one wrote.
    perform from repositories where tenant_id = of_tenant and id = any(of_repositories) order by id for no key update;
    update repositories as r
    set (quarantined, missing_from, has_undated_missing) = (
        select
            count(*),
            min(q.created_from) filter (where q.accepted_at is null),
            coalesce(bool_or(q.created_from is null) filter (where q.accepted_at is null), false)
        from quarantined_pull_requests as q
        where q.tenant_id = of_tenant and q.repository_id = r.id
    )
    where r.tenant_id = of_tenant and r.id = any(of_repositories);
end
$$;

COMMENT ON FUNCTION public.recount_quarantine(of_tenant integer, of_repositories bigint[]) IS 'Recomputes the quarantine counters of some repositories.';

CREATE FUNCTION public.recount_repositories() RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
    before constant text := current_setting('app.tenant', true);
    of_tenant integer;
begin
    -- In the order in which pages are written.
    lock table repositories, pull_requests, quarantined_pull_requests in share row exclusive mode;
    -- One tenant after the other, because policies show the rows of one.
    for of_tenant in select t.id from tenants as t order by t.id loop
        perform set_config('app.tenant', of_tenant::text, true);
        update repositories as r
        set pull_requests = c.stored, without_details = c.lacking
        from (
            select i.id, count(p.id) as stored, count(p.id) filter (where p.detailed_at is distinct from p.updated_at) as lacking
            from repositories as i
            left join pull_requests as p on i.tenant_id = p.tenant_id and i.id = p.repository_id and p.deleted_at is null
            where i.tenant_id = of_tenant
            group by i.id
        ) as c
        where r.tenant_id = of_tenant and r.id = c.id and (r.pull_requests, r.without_details) is distinct from (c.stored, c.lacking);
        perform recount_quarantine(of_tenant, array(select id from repositories where tenant_id = of_tenant));
    end loop;
    perform set_config('app.tenant', coalesce(before, ''), true);
end
$$;

COMMENT ON FUNCTION public.recount_repositories() IS 'Recomputes all counters of repositories, of all tenants, for use after triggers were disabled.';

CREATE FUNCTION public.recovery_times(team bigint, service bigint, by_basis text, range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, reasons text[], severities text[], ignore_weights boolean DEFAULT false) RETURNS TABLE(bucket date, measure text, n bigint, weight numeric, mean double precision, percentiles double precision[], attributed numeric)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    with incidents as (
        select
            i.resolved_at as at,
            extract(epoch from i.resolved_at - i.started_at)::double precision as seconds,
            i.share,
            i.attributed,
            i.has_deployment
        from scoped_incidents(team, service, by_basis, severities) as i
        where i.resolved_at >= range_from and i.resolved_at < range_to and i.resolved_at >= i.started_at
    ),

    -- Those of other teams are left out first: to find a remedy takes two looks.
    remedied as materialized (
        select
            f.deployment_id,
            f.succeeded_at,
            case when team is null then 1 else (
                select s.share from deployment_shares as s
                where s.basis = by_basis and s.team_id = team and s.deployment_id = f.deployment_id
            ) end as share
        from (
            select f.deployment_id from deployment_failures as f where f.remedied_at >= range_from and f.remedied_at < range_to
            union
            select f.deployment_id from deployment_facts as f where f.remedied_at >= range_from and f.remedied_at < range_to
        ) as r
        inner join deployment_facts as f on r.deployment_id = f.deployment_id
        where service is null or f.service_id = service
    ),

    recovered as materialized (
        select remedy_of(r.deployment_id, reasons) as at, r.succeeded_at, r.share
        from remedied as r
        where r.share is not null
    ),

    samples as (
        select 'recovery_time' as measure, i.at, i.seconds, i.share, i.attributed from incidents as i where i.has_deployment
        union all
        select 'mttr', i.at, i.seconds, i.share, i.attributed from incidents as i
        union all
        select
            'deployment_recovery_time', r.at, extract(epoch from r.at - r.succeeded_at)::double precision, r.share, null
        from recovered as r
        where r.at >= range_from and r.at < range_to
    ),

    weighted as (
        select
            s.measure,
            greatest(
                date_trunc(unit, s.at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            s.seconds,
            s.attributed,
            case when ignore_weights then 1 else s.share end as share,
            -- Sums stay exact; only percentiles use rounded weights.
            case when ignore_weights then 10000 else greatest((s.share * 10000)::integer, 1) end as units
        from samples as s
    )

    select
        w.bucket,
        w.measure,
        count(*),
        sum(w.share),
        sum(w.seconds * w.share::double precision) / sum(w.share)::double precision,
        weighted_percentiles(
            array_agg(weighted_sample(w.seconds, w.units) order by weighted_sample(w.seconds, w.units) desc),
            sum(w.units),
            array[0.5, 0.75, 0.9, 0.95]
        ),
        sum(w.attributed)
    from weighted as w
    group by grouping sets ((w.bucket, w.measure), (w.measure))
$$;

COMMENT ON FUNCTION public.recovery_times(team bigint, service bigint, by_basis text, range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, reasons text[], severities text[], ignore_weights boolean) IS 'Times to recover of incidents and failed deployments: one row per bucket and measure; bucket is null for the whole range. Of incidents also what belongs to any team.';

CREATE FUNCTION public.remedy_of(deployment bigint, reasons text[]) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select coalesce(
        (select f.remedied_at from deployment_facts as f where f.deployment_id = deployment),
        min(f.remedied_at)
    )
    from deployment_failures as f
    where f.deployment_id = deployment and f.reason = any(reasons)
    having count(*) > 0
$$;

COMMENT ON FUNCTION public.remedy_of(deployment bigint, reasons text[]) IS 'When a deployment that failed for one of these reasons was remedied.';

CREATE FUNCTION public.remember_other_logins() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    new.other_logins := array(
        select distinct l.login
        from unnest(new.other_logins || old.other_logins || old.configured_login || old.login) as l (login)
        where l.login not in (new.configured_login, new.login)
        order by l.login
    );
    return new;
end
$$;

COMMENT ON FUNCTION public.remember_other_logins() IS 'Keeps the earlier logins of an account after any change.';

CREATE FUNCTION public.scoped_deployments(team bigint, service bigint, by_basis text, range_from timestamp with time zone, range_to timestamp with time zone) RETURNS TABLE(deployment_id bigint, finished_at timestamp with time zone, succeeded_at timestamp with time zone, kind text, rework text[], share numeric, attributed numeric)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select s.deployment_id, s.finished_at, s.succeeded_at, s.kind, s.rework, s.share, s.share
    from deployment_shares as s
    where
        team is not null and s.basis = by_basis and s.team_id = team and (service is null or s.service_id = service)
        and s.finished_at >= range_from and s.finished_at < range_to
        and s.kind is distinct from 'rollout'
    union all
    select f.deployment_id, f.finished_at, f.succeeded_at, f.kind, f.rework, 1, coalesce(a.share, 0)
    from deployment_facts as f
    left join (
        select s.deployment_id, sum(s.share) as share
        from deployment_shares as s
        where
            s.basis = by_basis and (service is null or s.service_id = service)
            and s.finished_at >= range_from and s.finished_at < range_to
        group by s.deployment_id
    ) as a on f.deployment_id = a.deployment_id
    where
        team is null and (service is null or f.service_id = service)
        and f.finished_at >= range_from and f.finished_at < range_to
        and f.kind is distinct from 'rollout'
$$;

COMMENT ON FUNCTION public.scoped_deployments(team bigint, service bigint, by_basis text, range_from timestamp with time zone, range_to timestamp with time zone) IS 'Finished deployments of a team, a service or the organization in a range, each with the scope''s share of it and what of it belongs to any team.';

CREATE FUNCTION public.scoped_incidents(team bigint, service bigint, by_basis text, severities text[]) RETURNS TABLE(incident_id bigint, started_at timestamp with time zone, resolved_at timestamp with time zone, has_deployment boolean, share numeric, attributed numeric)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select
        f.incident_id, f.started_at, f.resolved_at, f.deployment_id is not null, 1,
        coalesce(
            case by_basis
                when 'delivered' then (
                    select sum(s.share) from deployment_shares as s
                    where s.basis = 'delivered' and s.deployment_id = f.deployment_id
                )
                else (
                    select sum(o.weight) from service_owners as o
                    where
                        o.service_id = f.service_id and o.removed_in is null
                        and (o.owned_from is null or o.owned_from <= f.started_at)
                        and (o.owned_to is null or f.started_at < o.owned_to)
                )
            end,
            0
        )
    from incident_facts as f
    where
        team is null and (service is null or f.service_id = service)
        and (severities is null or f.severity = any(severities))
    union all
    select f.incident_id, f.started_at, f.resolved_at, true, s.share, s.share
    from incident_facts as f
    inner join deployment_shares as s on f.deployment_id = s.deployment_id
    where
        team is not null and by_basis = 'delivered' and s.basis = 'delivered' and s.team_id = team
        and (service is null or f.service_id = service)
        and (severities is null or f.severity = any(severities))
    union all
    select f.incident_id, f.started_at, f.resolved_at, f.deployment_id is not null, o.weight, o.weight
    from incident_facts as f
    inner join service_owners as o on f.service_id = o.service_id
    where
        team is not null and by_basis = 'owned' and o.team_id = team and o.removed_in is null
        and (o.owned_from is null or o.owned_from <= f.started_at) and (o.owned_to is null or f.started_at < o.owned_to)
        and (service is null or f.service_id = service)
        and (severities is null or f.severity = any(severities))
$$;

COMMENT ON FUNCTION public.scoped_incidents(team bigint, service bigint, by_basis text, severities text[]) IS 'Incidents of a team, a service or the organization, each with the scope''s share of it and what of it belongs to any team.';

CREATE PROCEDURE public.separate_tenants(VARIADIC tables text[])
    LANGUAGE plpgsql
    AS $$
declare
    name text;
begin
    foreach name in array tables loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format(
            'create policy rows_of_tenant on %I using (tenant_id = (select current_tenant())) '
            'with check (tenant_id = (select current_tenant()))',
            name
        );
    end loop;
end
$$;

COMMENT ON PROCEDURE public.separate_tenants(VARIADIC tables text[]) IS 'Lets a transaction see and change only the rows of its tenant in these tables.';

CREATE FUNCTION public.smallest_groups(of_service bigint, range_from timestamp with time zone, range_to timestamp with time zone, zone text) RETURNS TABLE(bucket date, measure text, contributors bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    with merged as (
        select
            greatest(
                date_trunc('week', p.merged_at at time zone zone), (select date_trunc('week', range_from at time zone zone))
            )::date as bucket,
            a.team_id,
            p.author_id,
            p.cycle_seconds,
            p.coding_seconds,
            p.pickup_seconds,
            p.review_seconds,
            deploy_seconds(p) as deploy_seconds
        from pull_requests as p
        left join pr_attributions as a on p.id = a.pull_request_id
        where p.deleted_at is null and p.merged_at >= range_from and p.merged_at < range_to
    ),

    deliveries as (
        select p.id, p.delivered_at, lead_seconds(p) as lead_seconds, deploy_seconds(p) as deploy_seconds
        from pull_requests as p
        where
            of_service is null and p.deleted_at is null and p.delivered_at >= range_from and p.delivered_at < range_to
        union all
        select
            p.id,
            d.delivered_at,
            case when d.delivered_at >= p.first_commit_at
                then extract(epoch from d.delivered_at - p.first_commit_at)::double precision end,
            case when d.delivered_at >= p.merged_at and x.source <> 'merges'
                then extract(epoch from d.delivered_at - p.merged_at)::double precision end
        from pr_deliveries as d
        inner join pull_requests as p on d.pull_request_id = p.id
        inner join deployments as x on d.deployment_id = x.id
        where
            d.service_id = of_service and p.deleted_at is null and d.delivered_at >= range_from and d.delivered_at < range_to
    ),

    delivered as (
        select
            greatest(
                date_trunc('week', d.delivered_at at time zone zone), (select date_trunc('week', range_from at time zone zone))
            )::date as bucket,
            a.team_id,
            p.author_id,
            d.lead_seconds,
            d.deploy_seconds
        from deliveries as d
        inner join pull_requests as p on d.id = p.id
        left join pr_attributions as a on d.id = a.pull_request_id
    ),

    groups as (
        select d.bucket, x.measure, d.team_id, count(distinct d.author_id) as contributors
        from delivered as d
        cross join lateral (
            values ('change_lead_time', d.lead_seconds), ('delivered_deploy', d.deploy_seconds)
        ) as x (measure, seconds)
        where x.seconds is not null
        group by d.bucket, x.measure, d.team_id
        union all
        select m.bucket, d.measure, m.team_id, count(distinct m.author_id) as contributors
        from merged as m
        cross join lateral (
            values
            ('cycle_time', m.cycle_seconds),
            ('coding', m.coding_seconds),
            ('pickup', m.pickup_seconds),
            ('review', m.review_seconds),
            ('deploy', m.deploy_seconds)
        ) as d (measure, seconds)
        where d.seconds is not null
        group by m.bucket, d.measure, m.team_id
        union all
        -- The sum of all without the sums of both phases is of those who lack one.
        select m.bucket, d.measure, m.team_id, count(distinct m.author_id) as contributors
        from merged as m
        cross join lateral (values ('pickup', m.pickup_seconds), ('review', m.review_seconds)) as d (measure, seconds)
        where d.seconds is null and m.cycle_seconds is not null
        group by m.bucket, d.measure, m.team_id
    )

    select g.bucket, g.measure, min(g.contributors) from groups as g group by g.bucket, g.measure
$$;

COMMENT ON FUNCTION public.smallest_groups(of_service bigint, range_from timestamp with time zone, range_to timestamp with time zone, zone text) IS 'How many people are behind a measure of the smallest team of a week. Other measures of the week would reveal theirs.';

CREATE FUNCTION public.team_bucket(team bigint, unit text, bucket_start date) RETURNS TABLE(measure text, n bigint, weight numeric, contributors bigint, mean double precision, percentiles double precision[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER COST 1000 ROWS 5 PARALLEL SAFE
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    zone text;
    group_size integer;
    may_show boolean;
    bucket_end date := bucket_start + case unit when 'month' then interval '1 month' else interval '7 days' end;
begin
    if not (
        has_table_privilege(session_user, 'view_team_velocity', 'select')
        or has_table_privilege(session_user, 'view_dora_lead_time', 'select')
        or has_table_privilege(session_user, 'view_team_phases', 'select')
    ) then
        raise insufficient_privilege using message = format('permission denied for the numbers of teams: %s may not read their views', session_user);
    end if;
    select c.timezone, c.min_group_size into zone, group_size from configuration_in_force as c;
    may_show := group_size = 0 or (unit = 'week' and bucket_end::timestamp at time zone zone <= now());
    return query
    select
        s.measure,
        s.n,
        s.weight,
        s.contributors,
        case when may_show and s.contributors >= group_size then s.mean end,
        case when may_show and s.contributors >= group_size then s.percentiles end
    -- A day more on both sides, of which the bucket takes what is its own by local time: where clocks change at midnight, an
    -- instant can stand for two local times.
    from merge_statistics(
        team,
        (bucket_start - 1)::timestamp at time zone zone,
        (bucket_end + 1)::timestamp at time zone zone,
        zone,
        unit,
        count_people => group_size > 0
    ) as s
    where s.bucket = bucket_start;
end
$$;

COMMENT ON FUNCTION public.team_bucket(team bigint, unit text, bucket_start date) IS 'Measures of one week or month of a team in the configured time zone, in seconds. Durations of small groups are null.';

CREATE FUNCTION public.team_deliveries(team bigint, unit text, bucket_start date) RETURNS TABLE(measure text, n bigint, weight numeric, mean double precision, percentiles double precision[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER COST 1000 ROWS 5 PARALLEL SAFE
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    zone text;
    group_size integer;
    may_show boolean;
    bucket_end date := bucket_start + case unit when 'month' then interval '1 month' else interval '7 days' end;
    -- A day more on both sides, of which the bucket takes what is its own by local time.
    range_from timestamptz;
    range_to timestamptz;
begin
    if not (
        has_table_privilege(session_user, 'view_dora_lead_time', 'select')
        or has_table_privilege(session_user, 'view_team_dora', 'select')
    ) then
        raise insufficient_privilege using message = format('permission denied for the numbers of teams: %s may not read their views', session_user);
    end if;
    select c.timezone, c.min_group_size into zone, group_size from configuration_in_force as c;
    may_show := group_size = 0 or (unit = 'week' and bucket_end::timestamp at time zone zone <= now());
    range_from := (bucket_start - 1)::timestamp at time zone zone;
    range_to := (bucket_end + 1)::timestamp at time zone zone;
    return query
    select
        d.measure,
        d.n,
        d.weight,
        case when may_show and d.contributors >= group_size then d.mean end,
        case when may_show and d.contributors >= group_size then d.percentiles end
    from delivery_times(team, null, range_from, range_to, zone, unit) as d
    where d.bucket = bucket_start;
end
$$;

COMMENT ON FUNCTION public.team_deliveries(team bigint, unit text, bucket_start date) IS 'Deliveries of pull requests in one week or month of a team in the configured time zone, in seconds. Durations of small groups are null.';

CREATE FUNCTION public.team_dora(team bigint, unit text, bucket_start date) RETURNS TABLE(measure text, n bigint, weight numeric, mean double precision, percentiles double precision[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER COST 1000 ROWS 5 PARALLEL SAFE
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    zone text;
    group_size integer;
    may_show boolean;
    bucket_end date := bucket_start + case unit when 'month' then interval '1 month' else interval '7 days' end;
    -- A day more on both sides, of which the bucket takes what is its own by local time.
    range_from timestamptz;
    range_to timestamptz;
begin
    if not (
        has_table_privilege(session_user, 'view_team_dora', 'select')
    ) then
        raise insufficient_privilege using message = format('permission denied for the numbers of teams: %s may not read their views', session_user);
    end if;
    select c.timezone, c.min_group_size into zone, group_size from configuration_in_force as c;
    may_show := group_size = 0 or (unit = 'week' and bucket_end::timestamp at time zone zone <= now());
    range_from := (bucket_start - 1)::timestamp at time zone zone;
    range_to := (bucket_end + 1)::timestamp at time zone zone;
    return query
    select c.measure, c.n, c.share, null::double precision, null::double precision []
    from count_deployments(
        team, null, 'delivered', range_from, range_to, zone, unit,
        array['incident', 'rolled_back', 'reverted', 'failed_afterwards', 'declared']
    ) as c
    where c.bucket = bucket_start
    union all
    select r.measure, r.n, r.weight, r.mean, r.percentiles
    from recovery_times(
        team, null, 'delivered', range_from, range_to, zone, unit,
        array['incident', 'rolled_back', 'reverted', 'failed_afterwards', 'declared'], null
    ) as r
    where r.bucket = bucket_start
    union all
    select
        d.measure,
        d.n,
        d.weight,
        case when may_show and d.contributors >= group_size then d.mean end,
        case when may_show and d.contributors >= group_size then d.percentiles end
    from delivery_times(team, null, range_from, range_to, zone, unit) as d
    where d.bucket = bucket_start;
end
$$;

COMMENT ON FUNCTION public.team_dora(team bigint, unit text, bucket_start date) IS 'Deployments and recovery in one week or month of a team in the configured time zone, by delivered@1, in seconds.';

CREATE FUNCTION public.team_statistics(team bigint, range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, repository_ids bigint[] DEFAULT NULL::bigint[], base_branch text DEFAULT NULL::text, ignore_weights boolean DEFAULT false, count_people boolean DEFAULT false) RETURNS TABLE(bucket date, measure text, n bigint, weight numeric, contributors bigint, mean double precision, percentiles double precision[])
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    with merged as (
        select
            -- Where clocks go back over midnight, the day before the first one comes a second time: it belongs to the first.
            greatest(
                date_trunc(unit, a.merged_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            a.author_id,
            case when ignore_weights then 10000 else (a.weight * 10000)::integer end as units,
            a.cycle_seconds as cycle,
            a.coding_seconds as coding,
            a.pickup_seconds as pickup,
            a.review_seconds as review
        from pr_attributions as a
        where
            a.team_id = team
            and a.merged_at >= range_from
            and a.merged_at < range_to
            and (repository_ids is null or a.repository_id = any(repository_ids))
            and (
                base_branch is null
                or (select p.base_ref from pull_requests as p where p.id = a.pull_request_id) = base_branch
            )
    ),

    aggregated as (
        select
            m.bucket,
            count(*) as n,
            sum(m.units) as units,
            count(distinct m.author_id) as contributors,

            count(m.cycle) as cycle_n,
            sum(m.units) filter (where m.cycle is not null) as cycle_units,
            count(distinct m.author_id) filter (where count_people and m.cycle is not null) as cycle_contributors,
            sum(m.cycle * m.units) as cycle_sum,
            array_agg(weighted_sample(m.cycle, m.units) order by weighted_sample(m.cycle, m.units) desc)
                filter (where m.cycle is not null) as cycle_samples,

            count(m.coding) as coding_n,
            sum(m.units) filter (where m.coding is not null) as coding_units,
            count(distinct m.author_id) filter (where count_people and m.coding is not null) as coding_contributors,
            sum(m.coding * m.units) as coding_sum,
            array_agg(weighted_sample(m.coding, m.units) order by weighted_sample(m.coding, m.units) desc)
                filter (where m.coding is not null) as coding_samples,

            count(m.pickup) as pickup_n,
            sum(m.units) filter (where m.pickup is not null) as pickup_units,
            count(distinct m.author_id) filter (where count_people and m.pickup is not null) as pickup_contributors,
            sum(m.pickup * m.units) as pickup_sum,
            array_agg(weighted_sample(m.pickup, m.units) order by weighted_sample(m.pickup, m.units) desc)
                filter (where m.pickup is not null) as pickup_samples,

            count(m.review) as review_n,
            sum(m.units) filter (where m.review is not null) as review_units,
            count(distinct m.author_id) filter (where count_people and m.review is not null) as review_contributors,
            sum(m.review * m.units) as review_sum,
            array_agg(weighted_sample(m.review, m.units) order by weighted_sample(m.review, m.units) desc)
                filter (where m.review is not null) as review_samples
        from merged as m
        group by grouping sets ((m.bucket), ())
    ),

    -- From local times, which an instant has exactly one of: no bucket is lost or doubled where clocks change.
    calendar as (
        select
            generate_series(
                date_trunc(unit, range_from at time zone zone),
                (range_to - interval '1 microsecond') at time zone zone,
                case unit when 'quarter' then interval '3 months' else ('1 ' || unit)::interval end
            )::date as bucket
        where range_from < range_to
        union all
        select null
    )

    select
        c.bucket,
        m.measure,
        coalesce(m.n, 0),
        coalesce(m.units, 0)::numeric / 10000,
        coalesce(m.contributors, 0),
        m.sum / m.units,
        weighted_percentiles(m.samples, m.units, array[0.5, 0.75, 0.9, 0.95])
    from calendar as c
    left join aggregated as a on a.bucket is not distinct from c.bucket
    cross join lateral (
        values
        ('merged', a.n, a.units, a.contributors, null::double precision, null::bigint []),
        ('cycle_time', a.cycle_n, a.cycle_units, a.cycle_contributors, a.cycle_sum, a.cycle_samples),
        ('coding', a.coding_n, a.coding_units, a.coding_contributors, a.coding_sum, a.coding_samples),
        ('pickup', a.pickup_n, a.pickup_units, a.pickup_contributors, a.pickup_sum, a.pickup_samples),
        ('review', a.review_n, a.review_units, a.review_contributors, a.review_sum, a.review_samples)
    ) as m (measure, n, units, contributors, sum, samples)
    order by c.bucket nulls last
$$;

COMMENT ON FUNCTION public.team_statistics(team bigint, range_from timestamp with time zone, range_to timestamp with time zone, zone text, unit text, repository_ids bigint[], base_branch text, ignore_weights boolean, count_people boolean) IS 'Measures of a team''s merged pull requests: one row per bucket and measure; bucket is null for the whole range.';

CREATE FUNCTION public.undelivered(team bigint, service bigint, range_from timestamp with time zone, range_to timestamp with time zone) RETURNS TABLE(reason text, n bigint, weight numeric)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    with merged as (
        select p.id, p.repository_id, 1::numeric as weight
        from pull_requests as p
        where
            team is null and p.deleted_at is null and p.merged_at >= range_from and p.merged_at < range_to
            and (service is not null or p.delivered_at is null)
        union all
        select a.pull_request_id, a.repository_id, a.weight
        from pr_attributions as a
        where
            a.team_id = team and a.merged_at >= range_from and a.merged_at < range_to
            and (service is not null or a.delivered_at is null)
    ),

    of_paths as materialized (select distinct w.repository_id from services_with_paths as w where service is null),

    explained as (
        select
            m.weight,
            coalesce(
                (
                    select d.missing from pr_deliveries as d
                    where d.pull_request_id = m.id
                    order by
                        array_position(
                            array['not_deployed_yet', 'not_collected', 'unknown_history', 'before_first_deployment'], d.missing
                        ) nulls first
                    limit 1
                ),
                case when m.repository_id in (select o.repository_id from of_paths as o)
                    then (select r.reason from reason_of_paths(m.id, m.repository_id) as r) end,
                'no_source'
            ) as reason
        from merged as m
        where service is null
        union all
        select
            m.weight,
            case
                when d.missing is not null then d.missing
                when s.paths is not null and r.removed_at is null and t.paths_revision is distinct from s.paths_revision
                    then 'not_collected'
                else 'no_source'
            end
        from merged as m
        inner join services as s on s.id = service
        inner join repositories as r on m.repository_id = r.id
        left join pr_deliveries as d on d.service_id = service and m.id = d.pull_request_id
        left join pull_request_services as t on t.service_id = service and m.id = t.pull_request_id
        where
            service is not null and d.delivered_at is null
            and m.repository_id in (select o.repository_id from repositories_of_services as o where o.service_id = service)
            -- What was not compared may belong to it.
            and (
                s.paths is null or t.is_touched
                or r.removed_at is null and t.paths_revision is distinct from s.paths_revision
            )
    )

    select e.reason, count(*), sum(e.weight)
    from explained as e
    group by e.reason
$$;

COMMENT ON FUNCTION public.undelivered(team bigint, service bigint, range_from timestamp with time zone, range_to timestamp with time zone) IS 'Merged pull requests that were not delivered so far, by reason.';

CREATE FUNCTION public.weighted_percentiles(samples bigint[], weight_units bigint, fractions double precision[]) RETURNS double precision[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
declare
    answer double precision [] := array_fill(null::double precision, array[cardinality(fractions)]);
    -- Fractions from here on are answered.
    f integer := cardinality(fractions);
    -- The weight up to the sample, doubled.
    below bigint := 2 * weight_units;
    first_centre constant bigint := samples[cardinality(samples)] & 16383;
    span constant bigint := below - (samples[1] & 16383) - first_centre;
    target double precision := first_centre + fractions[f] * span;
    sample bigint;
    centre bigint;
    seconds double precision;
    later_centre bigint;
    later_sample bigint;
begin
    foreach sample in array samples loop
        -- Most samples are only counted, so they take as few statements as possible.
        if below - (sample & 16383) <= target then
            centre := below - (sample & 16383);
            later_centre := below + (later_sample & 16383);
            while centre <= target loop
                seconds := (sample >> 14) / 1000.0::double precision;
                if later_sample is not null then
                    seconds := seconds
                    + ((later_sample >> 14) / 1000.0::double precision - seconds)
                    * (target - centre) / (later_centre - centre);
                end if;
                answer[f] := seconds;
                f := f - 1;
                if f = 0 then
                    return answer;
                end if;
                target := first_centre + fractions[f] * span;
            end loop;
        end if;
        below := below - 2 * (sample & 16383);
        later_sample := sample;
    end loop;
    return answer;
end
$$;

COMMENT ON FUNCTION public.weighted_percentiles(samples bigint[], weight_units bigint, fractions double precision[]) IS 'Weighted percentiles in seconds. Takes weighted_samples in descending order, the sum of their weights in ten-thousandths, and fractions in ascending order. Null for null.';

CREATE FUNCTION public.weighted_sample(seconds double precision, weight_units integer) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    select (seconds * 1000)::bigint * 16384 + weight_units
$$;

COMMENT ON FUNCTION public.weighted_sample(seconds double precision, weight_units integer) IS 'A duration with its weight in ten-thousandths, as one number that sorts by duration, then weight.';

CREATE TABLE public.accounts (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    person_id bigint NOT NULL,
    instance_id bigint NOT NULL,
    external_id text,
    configured_login text NOT NULL,
    login text NOT NULL,
    other_logins text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT accounts_configured_login_check CHECK ((configured_login = lower(configured_login))),
    CONSTRAINT accounts_external_id_check CHECK ((external_id <> ''::text)),
    CONSTRAINT accounts_login_check CHECK ((login = lower(login)))
);

ALTER TABLE ONLY public.accounts FORCE ROW LEVEL SECURITY;

CREATE TABLE public.announcements (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    repository_id bigint NOT NULL,
    last_at timestamp with time zone NOT NULL,
    missed bigint DEFAULT 0 NOT NULL,
    missed_at timestamp with time zone
);

ALTER TABLE ONLY public.announcements FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.announcements IS 'When webhooks last announced a change of each repository, and how often they did not.';

CREATE TABLE public.repositories (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    instance_id bigint DEFAULT 1 NOT NULL,
    name text NOT NULL,
    current_name text,
    display_name text GENERATED ALWAYS AS (COALESCE(current_name, name)) STORED NOT NULL,
    external_id text,
    pattern text,
    added_at timestamp with time zone NOT NULL,
    removed_at timestamp with time zone,
    has_pull_requests boolean DEFAULT true NOT NULL,
    watermark timestamp with time zone,
    listed_at timestamp with time zone,
    collected_at timestamp with time zone,
    covered_since timestamp with time zone,
    reopened_since timestamp with time zone,
    verified_at timestamp with time zone,
    etag text,
    etag_scope text,
    page_size smallint DEFAULT 100 NOT NULL,
    unreadable_from timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    unreadable_until timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    backfill_order text,
    backfill_since timestamp with time zone,
    backfill_anchor timestamp with time zone,
    backfill_rows integer DEFAULT 0 NOT NULL,
    backfill_cursor text,
    backfill_length integer,
    backfill_newest timestamp with time zone,
    backfill_seen integer DEFAULT 0 NOT NULL,
    backfill_readings smallint DEFAULT 0 NOT NULL,
    backfill_reading_at timestamp with time zone,
    fence bigint DEFAULT 0 NOT NULL,
    leased_until timestamp with time zone,
    leased_at timestamp with time zone,
    lease_host text,
    lease_process bigint,
    lease_instance text,
    lease_token bigint,
    served_at timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL,
    retry_at timestamp with time zone,
    pull_requests bigint DEFAULT 0 NOT NULL,
    without_details bigint DEFAULT 0 NOT NULL,
    quarantined bigint DEFAULT 0 NOT NULL,
    missing_from timestamp with time zone,
    has_undated_missing boolean DEFAULT false NOT NULL,
    data_version bigint DEFAULT 0 NOT NULL,
    without_files integer DEFAULT 0 NOT NULL,
    CONSTRAINT repositories_backfill_is_whole CHECK (((backfill_order IS NULL) = (backfill_since IS NULL))),
    CONSTRAINT repositories_backfill_order_check CHECK ((backfill_order = ANY (ARRAY['creation'::text, 'update'::text]))),
    CONSTRAINT repositories_backfill_rows_check CHECK ((backfill_rows >= 0)),
    CONSTRAINT repositories_current_name_check CHECK ((current_name = lower(current_name))),
    CONSTRAINT repositories_external_id_check CHECK ((external_id <> ''::text)),
    CONSTRAINT repositories_failures_check CHECK ((failures >= 0)),
    CONSTRAINT repositories_name_check CHECK (((name = lower(name)) AND (name ~ '^[^/]+(/[^/]+)+$'::text))),
    CONSTRAINT repositories_page_size_check CHECK (((page_size >= 1) AND (page_size <= 100)))
);

ALTER TABLE ONLY public.repositories FORCE ROW LEVEL SECURITY;

CREATE VIEW public.collection_coverage AS
 SELECT
        CASE
            WHEN bool_and(r.is_read) THEN max(r.covered_since)
            ELSE NULL::timestamp with time zone
        END AS covered_since,
    min(r.collected_at) AS data_as_of,
        CASE
            WHEN bool_and(r.is_read) THEN min(LEAST(r.collected_at, r.reopened_since, r.backfill_since, r.missing_since))
            ELSE NULL::timestamp with time zone
        END AS complete_until,
    count(*) FILTER (WHERE (r.is_read AND (NOT r.is_pending) AND (r.failures = 0))) AS collected,
    count(*) FILTER (WHERE (r.failures > 0)) AS failing,
    count(*) FILTER (WHERE (r.is_pending OR (NOT r.is_read))) AS pending,
    count(*) FILTER (WHERE (NOT r.is_read)) AS never_collected,
    (COALESCE(sum(r.quarantined), (0)::numeric))::bigint AS quarantined
   FROM ( SELECT repositories.covered_since,
            repositories.collected_at,
            repositories.reopened_since,
            repositories.backfill_since,
            repositories.failures,
            repositories.quarantined,
            LEAST(repositories.missing_from,
                CASE
                    WHEN repositories.has_undated_missing THEN repositories.covered_since
                    ELSE NULL::timestamp with time zone
                END) AS missing_since,
            ((repositories.covered_since IS NOT NULL) AND (repositories.collected_at IS NOT NULL)) AS is_read,
            ((repositories.reopened_since IS NOT NULL) OR (repositories.backfill_order IS NOT NULL)) AS is_pending
           FROM public.repositories
          WHERE (repositories.removed_at IS NULL)) r;

COMMENT ON VIEW public.collection_coverage IS 'All data from covered_since to complete_until is stored. Both are null while any repository was never read. One row.';

CREATE TABLE public.collection_results (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    run_id bigint NOT NULL,
    repository_id bigint NOT NULL,
    state text NOT NULL,
    error_code text,
    error_message text,
    deferred_until timestamp with time zone,
    started_at timestamp with time zone NOT NULL,
    duration_seconds double precision NOT NULL,
    requests integer NOT NULL,
    graphql_requests integer DEFAULT 0 NOT NULL,
    graphql_points integer DEFAULT 0 NOT NULL,
    pages integer NOT NULL,
    listed integer NOT NULL,
    kept integer NOT NULL,
    skipped_ghost integer NOT NULL,
    skipped_bot integer NOT NULL,
    skipped_not_a_member integer NOT NULL,
    quarantined integer NOT NULL,
    changed integer NOT NULL,
    enriched integer DEFAULT 0 NOT NULL,
    is_unchanged boolean DEFAULT false NOT NULL,
    rate_limit_remaining integer,
    written_as bigint,
    deployments integer DEFAULT 0 NOT NULL,
    commits integer DEFAULT 0 NOT NULL,
    CONSTRAINT collection_results_check CHECK ((listed = ((((kept + skipped_ghost) + skipped_bot) + skipped_not_a_member) + quarantined))),
    CONSTRAINT collection_results_duration_seconds_check CHECK ((duration_seconds >= (0)::double precision)),
    CONSTRAINT collection_results_reason_check CHECK (((state = 'succeeded'::text) = (error_code IS NULL))),
    CONSTRAINT collection_results_state_check CHECK ((state = ANY (ARRAY['succeeded'::text, 'failed'::text, 'deferred'::text, 'busy'::text])))
);

ALTER TABLE ONLY public.collection_results FORCE ROW LEVEL SECURITY;

CREATE TABLE public.collection_runs (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    state text DEFAULT 'running'::text NOT NULL,
    configuration_revision bigint,
    planned integer DEFAULT 0 NOT NULL,
    problems text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT collection_runs_check CHECK (((state = 'running'::text) = (finished_at IS NULL))),
    CONSTRAINT collection_runs_state_check CHECK ((state = ANY (ARRAY['running'::text, 'succeeded'::text, 'deferred'::text, 'partial'::text, 'failed'::text, 'interrupted'::text])))
);

ALTER TABLE ONLY public.collection_runs FORCE ROW LEVEL SECURITY;

ALTER TABLE public.collection_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.collection_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.commits (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    repository_id bigint NOT NULL,
    oid bytea NOT NULL,
    parents bytea[] NOT NULL,
    committed_at timestamp with time zone NOT NULL,
    CONSTRAINT commits_oid_check CHECK ((length(oid) = ANY (ARRAY[20, 32])))
);

ALTER TABLE ONLY public.commits FORCE ROW LEVEL SECURITY;

CREATE TABLE public.configurations (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    revision bigint NOT NULL,
    applied_at timestamp with time zone NOT NULL,
    timezone text NOT NULL,
    bots text[] NOT NULL,
    repository_patterns text[] DEFAULT '{}'::text[] NOT NULL,
    repository_rules text[] DEFAULT '{}'::text[] NOT NULL,
    includes_archived boolean DEFAULT false NOT NULL,
    min_group_size integer DEFAULT 0 NOT NULL,
    delivery jsonb DEFAULT '{}'::jsonb NOT NULL,
    access jsonb DEFAULT '[]'::jsonb NOT NULL,
    goals jsonb DEFAULT '[]'::jsonb NOT NULL,
    investment jsonb DEFAULT '[]'::jsonb NOT NULL,
    channels jsonb DEFAULT '[]'::jsonb NOT NULL,
    metrics jsonb DEFAULT '[]'::jsonb NOT NULL,
    CONSTRAINT configurations_min_group_size_check CHECK (((min_group_size >= 0) AND (min_group_size <= 100)))
);

ALTER TABLE ONLY public.configurations FORCE ROW LEVEL SECURITY;

CREATE VIEW public.configuration_in_force AS
 SELECT configurations.revision,
    configurations.applied_at,
    configurations.timezone,
    configurations.bots,
    configurations.repository_patterns,
    configurations.includes_archived,
    configurations.min_group_size,
    configurations.repository_rules,
    configurations.delivery,
    configurations.access,
    configurations.goals,
    configurations.investment,
    configurations.channels,
    configurations.metrics
   FROM public.configurations
  ORDER BY configurations.revision DESC
 LIMIT 1;

COMMENT ON VIEW public.configuration_in_force IS 'The newest configuration. One row, or none before the first configuration.';

ALTER TABLE public.configurations ALTER COLUMN revision ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.configurations_revision_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.deployment_lists (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    repository_id bigint NOT NULL,
    source text NOT NULL,
    list text NOT NULL,
    etag text,
    etag_scope text,
    reading_since timestamp with time zone,
    reading_started_at timestamp with time zone,
    reading_cursor text,
    covered_since timestamp with time zone,
    listed_at timestamp with time zone,
    read_at timestamp with time zone,
    problem text,
    problem_message text,
    CONSTRAINT deployment_lists_check CHECK (((problem IS NULL) = (problem_message IS NULL))),
    CONSTRAINT deployment_lists_check1 CHECK (((reading_since IS NULL) = (reading_started_at IS NULL))),
    CONSTRAINT deployment_lists_source_check CHECK ((source = ANY (ARRAY['github-actions'::text, 'github-releases'::text, 'merges'::text, 'events'::text])))
);

ALTER TABLE ONLY public.deployment_lists FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.deployment_lists IS 'How far the runs, releases or merges of a repository are read. Of posted deployments, how far their commits are.';

CREATE TABLE public.deployment_progress (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    repository_id bigint NOT NULL,
    etag text,
    etag_scope text,
    reading_since timestamp with time zone,
    reading_started_at timestamp with time zone,
    reading_cursor text,
    covered_since timestamp with time zone,
    listed_at timestamp with time zone,
    read_at timestamp with time zone,
    problem text,
    problem_message text,
    CONSTRAINT deployment_progress_check CHECK (((problem IS NULL) = (problem_message IS NULL))),
    CONSTRAINT deployment_progress_check1 CHECK (((reading_since IS NULL) = (reading_started_at IS NULL)))
);

ALTER TABLE ONLY public.deployment_progress FORCE ROW LEVEL SECURITY;

CREATE TABLE public.deployments (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    service_id bigint NOT NULL,
    source text NOT NULL,
    instance_id bigint,
    repository_id bigint,
    external_id text NOT NULL,
    node_id text,
    listed_environment text NOT NULL,
    environment text NOT NULL,
    environment_group text NOT NULL,
    is_production boolean,
    is_transient boolean DEFAULT false NOT NULL,
    version text,
    url text,
    is_declared_failed boolean DEFAULT false NOT NULL,
    is_declared_rework boolean DEFAULT false NOT NULL,
    remedies text,
    created_at timestamp with time zone NOT NULL,
    states_read_at timestamp with time zone,
    deleted_at timestamp with time zone,
    outcome text DEFAULT 'unfinished'::text NOT NULL,
    succeeded_at timestamp with time zone,
    failed_at timestamp with time zone,
    failed_afterwards_at timestamp with time zone,
    sender text,
    origin jsonb,
    CONSTRAINT deployments_check CHECK (((outcome = 'succeeded'::text) = (succeeded_at IS NOT NULL))),
    CONSTRAINT deployments_check1 CHECK (((outcome = 'failed'::text) = (failed_at IS NOT NULL))),
    CONSTRAINT deployments_environment_group_check CHECK (((environment_group = ANY (ARRAY['production'::text, 'transient'::text])) OR (environment_group ~~ 'other:%'::text))),
    CONSTRAINT deployments_external_id_check CHECK ((external_id <> ''::text)),
    CONSTRAINT deployments_outcome_check CHECK ((outcome = ANY (ARRAY['succeeded'::text, 'failed'::text, 'cancelled'::text, 'unfinished'::text]))),
    CONSTRAINT deployments_source_check CHECK ((source = ANY (ARRAY['github-deployments'::text, 'github-actions'::text, 'github-releases'::text, 'merges'::text, 'events'::text])))
);

ALTER TABLE ONLY public.deployments FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.deployments IS 'Attempts to bring commits into an environment, as their sources tell them.';

CREATE TABLE public.service_repositories (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    service_id bigint NOT NULL,
    repository text NOT NULL,
    CONSTRAINT service_repositories_repository_check CHECK ((repository = lower(repository)))
);

ALTER TABLE ONLY public.service_repositories FORCE ROW LEVEL SECURITY;

CREATE TABLE public.services (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    slug text,
    name text,
    repository_id bigint,
    place integer DEFAULT 0 NOT NULL,
    environments text[],
    archived_at timestamp with time zone,
    has_facts boolean DEFAULT false NOT NULL,
    data_version bigint DEFAULT 0 NOT NULL,
    source text,
    first_source text,
    source_options jsonb DEFAULT '{}'::jsonb NOT NULL,
    paths text[],
    paths_revision integer DEFAULT 0 NOT NULL,
    CONSTRAINT services_check CHECK (((slug IS NULL) = (repository_id IS NOT NULL))),
    CONSTRAINT services_check1 CHECK (((slug IS NULL) = (name IS NULL))),
    CONSTRAINT services_slug_check CHECK (((slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'::text) AND (slug ~ '[a-z]'::text))),
    CONSTRAINT services_source_check CHECK ((source = ANY (ARRAY['github-deployments'::text, 'github-actions'::text, 'github-releases'::text, 'merges'::text, 'events'::text])))
);

ALTER TABLE ONLY public.services FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.services IS 'What is deployed and fails as one: a service of the teams file, or a repository that none of them has.';

CREATE VIEW public.repositories_of_services AS
 SELECT s.id AS service_id,
    r.id AS repository_id
   FROM ((public.services s
     JOIN public.service_repositories o ON ((s.id = o.service_id)))
     JOIN public.repositories r ON (((o.repository = r.name) OR (o.repository = r.current_name))))
  WHERE (s.archived_at IS NULL)
UNION
 SELECT d.service_id,
    d.repository_id
   FROM (public.deployments d
     JOIN public.repositories r ON ((d.repository_id = r.id)))
  WHERE (r.removed_at IS NOT NULL)
UNION
 SELECT s.id AS service_id,
    s.repository_id
   FROM (public.services s
     JOIN public.repositories r ON ((s.repository_id = r.id)))
  WHERE ((s.archived_at IS NULL) AND (NOT (EXISTS ( SELECT
           FROM (public.service_repositories o
             JOIN public.services named ON ((o.service_id = named.id)))
          WHERE ((named.archived_at IS NULL) AND (o.repository = ANY (ARRAY[r.name, r.current_name])))))));

COMMENT ON VIEW public.repositories_of_services IS 'The repositories of each service.';

CREATE VIEW public.services_in_force AS
 SELECT s.id,
    COALESCE(s.slug, replace(r.display_name, '/'::text, '.'::text)) AS slug,
    COALESCE(s.name, r.display_name) AS name,
    (s.repository_id IS NOT NULL) AS is_implied,
    s.place,
    s.environments,
    s.has_facts,
    s.data_version,
    s.source,
    s.first_source,
    s.source_options
   FROM (public.services s
     LEFT JOIN public.repositories r ON ((s.repository_id = r.id)))
  WHERE ((s.archived_at IS NULL) AND ((s.repository_id IS NULL) OR ((r.removed_at IS NULL) AND (NOT (EXISTS ( SELECT
           FROM (public.service_repositories o
             JOIN public.services named ON ((o.service_id = named.id)))
          WHERE ((named.archived_at IS NULL) AND (o.repository = ANY (ARRAY[r.name, r.current_name])))))))));

COMMENT ON VIEW public.services_in_force IS 'Services of the teams file, and repositories that none of them has. One row per service.';

CREATE VIEW public.sources_of_services AS
 SELECT s.service_id,
    s.source,
    s.options,
    COALESCE(
        CASE s.source
            WHEN 'github-actions'::text THEN concat_ws('@'::text, (s.options ->> 'workflow'::text), (s.options ->> 'branch'::text))
            WHEN 'github-releases'::text THEN
            CASE
                WHEN ((s.options ->> 'tags'::text))::boolean THEN 'tags'::text
                ELSE 'releases'::text
            END
            WHEN 'merges'::text THEN (s.options ->> 'branch'::text)
            ELSE NULL::text
        END, ''::text) AS list
   FROM ( SELECT f.id AS service_id,
            COALESCE(f.source, c.source, f.first_source) AS source,
                CASE
                    WHEN (f.source IS NOT NULL) THEN f.source_options
                    WHEN (c.source IS NOT NULL) THEN c.options
                    ELSE '{}'::jsonb
                END AS options
           FROM (public.services_in_force f
             LEFT JOIN ( SELECT (c_1.delivery ->> 'source'::text) AS source,
                    COALESCE((c_1.delivery -> 'source_options'::text), '{}'::jsonb) AS options
                   FROM public.configuration_in_force c_1) c ON (true))) s;

COMMENT ON VIEW public.sources_of_services IS 'The source that reports the deployments of each service. Null while none does.';

CREATE VIEW public.lists_of_repositories AS
 SELECT DISTINCT ON (o.repository_id, COALESCE(s.source, 'github-deployments'::text), s.list) o.repository_id,
    COALESCE(s.source, 'github-deployments'::text) AS source,
    s.list,
    s.options
   FROM (public.repositories_of_services o
     JOIN public.sources_of_services s ON ((o.service_id = s.service_id)))
  ORDER BY o.repository_id, COALESCE(s.source, 'github-deployments'::text), s.list;

COMMENT ON VIEW public.lists_of_repositories IS 'The lists of deployments that are read for each repository.';

CREATE VIEW public.deployment_lists_read AS
 SELECT w.repository_id,
    w.source,
    w.list,
    p.covered_since,
    p.read_at,
    p.problem
   FROM (public.lists_of_repositories w
     LEFT JOIN ( SELECT g.repository_id,
            'github-deployments'::text AS source,
            ''::text AS list,
            g.covered_since,
            g.read_at,
            g.problem
           FROM public.deployment_progress g
        UNION ALL
         SELECT l.repository_id,
            l.source,
            l.list,
            l.covered_since,
            l.read_at,
            l.problem
           FROM public.deployment_lists l) p ON (((w.repository_id = p.repository_id) AND (w.source = p.source) AND (w.list = p.list))))
  WHERE ((w.source <> 'events'::text) OR (p.problem IS NOT NULL));

COMMENT ON VIEW public.deployment_lists_read IS 'How far each list of deployments of each repository is read. Posted ones have no list, and are here while their commits cannot be read.';

CREATE VIEW public.deployments_read AS
 SELECT r.id AS repository_id,
    r.display_name,
    (e.repository_id IS NOT NULL) AS is_posted,
        CASE
            WHEN (e.repository_id IS NULL) THEN l.covered_since
            WHEN e.is_known THEN e.first_at
            ELSE NULL::timestamp with time zone
        END AS covered_since,
        CASE
            WHEN ((e.repository_id IS NULL) OR (l.problem IS NOT NULL)) THEN l.read_at
            ELSE NULL::timestamp with time zone
        END AS read_at,
    l.problem
   FROM ((public.repositories r
     LEFT JOIN ( SELECT p.repository_id,
                CASE
                    WHEN bool_and(((p.covered_since IS NOT NULL) OR (p.source = 'events'::text))) THEN max(p.covered_since)
                    ELSE NULL::timestamp with time zone
                END AS covered_since,
                CASE
                    WHEN bool_and((p.read_at IS NOT NULL)) THEN min(p.read_at)
                    ELSE NULL::timestamp with time zone
                END AS read_at,
            min(p.problem) AS problem
           FROM public.deployment_lists_read p
          GROUP BY p.repository_id) l ON ((r.id = l.repository_id)))
     LEFT JOIN ( SELECT o.repository_id,
            max(d.first_at) AS first_at,
            bool_and((d.first_at IS NOT NULL)) AS is_known
           FROM ((public.repositories_of_services o
             JOIN public.sources_of_services s ON ((o.service_id = s.service_id)))
             CROSS JOIN LATERAL ( SELECT min(COALESCE(d_1.succeeded_at, d_1.failed_at)) AS first_at
                   FROM public.deployments d_1
                  WHERE ((s.source = 'events'::text) AND (d_1.service_id = s.service_id) AND (d_1.source = 'events'::text) AND (d_1.environment_group = 'production'::text))) d)
          GROUP BY o.repository_id
         HAVING bool_and((NOT (s.source IS DISTINCT FROM 'events'::text)))) e ON ((r.id = e.repository_id)))
  WHERE (r.removed_at IS NULL);

COMMENT ON VIEW public.deployments_read IS 'How far the deployments of each repository are read. Posted ones (is_posted) are read to now, since the first of them, unless their commits cannot be read.';

CREATE TABLE public.incident_progress (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    repository_id bigint NOT NULL,
    label text NOT NULL,
    etag text,
    etag_scope text,
    read_at timestamp with time zone,
    problem text,
    problem_message text,
    CONSTRAINT incident_progress_check CHECK (((problem IS NULL) = (problem_message IS NULL)))
);

ALTER TABLE ONLY public.incident_progress FORCE ROW LEVEL SECURITY;

CREATE VIEW public.delivery_coverage AS
 SELECT d.covered_since,
    d.complete_until,
    i.wants_incidents,
    i.incidents_until
   FROM (( SELECT
                CASE
                    WHEN bool_and((d_1.covered_since IS NOT NULL)) THEN max(d_1.covered_since)
                    ELSE NULL::timestamp with time zone
                END AS covered_since,
                CASE
                    WHEN bool_and(((d_1.is_posted AND (d_1.problem IS NULL)) OR (d_1.read_at IS NOT NULL))) THEN min(
                    CASE
                        WHEN (d_1.is_posted AND (d_1.problem IS NULL)) THEN now()
                        ELSE d_1.read_at
                    END)
                    ELSE NULL::timestamp with time zone
                END AS complete_until
           FROM public.deployments_read d_1) d
     CROSS JOIN ( SELECT (count(*) > 0) AS wants_incidents,
                CASE
                    WHEN bool_and((p.read_at IS NOT NULL)) THEN min(p.read_at)
                    ELSE NULL::timestamp with time zone
                END AS incidents_until
           FROM (((public.configuration_in_force c
             CROSS JOIN LATERAL jsonb_array_elements_text(COALESCE((c.delivery -> 'incident_labels'::text), '[]'::jsonb)) l(label))
             JOIN public.repositories r ON ((r.removed_at IS NULL)))
             LEFT JOIN public.incident_progress p ON (((r.id = p.repository_id) AND (l.label = p.label))))) i);

COMMENT ON VIEW public.delivery_coverage IS 'All deployments from covered_since to complete_until are stored, and incidents to incidents_until if any label means incidents. Null while something was never read. One row.';

CREATE TABLE public.deployment_attempts (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    deployment_id bigint NOT NULL,
    pull_request_id bigint NOT NULL
);

ALTER TABLE ONLY public.deployment_attempts FORCE ROW LEVEL SECURITY;

CREATE TABLE public.deployment_facts (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    deployment_id bigint NOT NULL,
    service_id bigint NOT NULL,
    succeeded_at timestamp with time zone,
    finished_at timestamp with time zone NOT NULL,
    kind text,
    repeats_id bigint,
    replaces_id bigint,
    is_known boolean NOT NULL,
    has_new_commits boolean NOT NULL,
    is_after_unknown boolean NOT NULL,
    pull_requests integer NOT NULL,
    rework text[] DEFAULT '{}'::text[] NOT NULL,
    remedied_by_id bigint,
    remedied_at timestamp with time zone,
    CONSTRAINT deployment_facts_check CHECK (((remedied_by_id IS NULL) = (remedied_at IS NULL))),
    CONSTRAINT deployment_facts_kind_check CHECK ((kind = ANY (ARRAY['first'::text, 'change'::text, 'rollout'::text, 'rollback'::text, 'redeploy'::text, 'unknown'::text]))),
    CONSTRAINT deployment_facts_rework_check CHECK ((rework <@ ARRAY['declared'::text, 'rollback'::text, 'revert'::text, 'hotfix'::text, 'incident_fix'::text]))
);

ALTER TABLE ONLY public.deployment_facts FORCE ROW LEVEL SECURITY;

CREATE TABLE public.deployment_failures (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    deployment_id bigint NOT NULL,
    reason text NOT NULL,
    remedied_by_id bigint,
    remedied_at timestamp with time zone,
    CONSTRAINT deployment_failures_check CHECK (((remedied_by_id IS NULL) = (remedied_at IS NULL))),
    CONSTRAINT deployment_failures_reason_check CHECK ((reason = ANY (ARRAY['incident'::text, 'rolled_back'::text, 'reverted'::text, 'failed_afterwards'::text, 'declared'::text])))
);

ALTER TABLE ONLY public.deployment_failures FORCE ROW LEVEL SECURITY;

CREATE TABLE public.deployment_revisions (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    deployment_id bigint NOT NULL,
    repository_id bigint NOT NULL,
    oid bytea NOT NULL,
    CONSTRAINT deployment_revisions_oid_check CHECK ((length(oid) = ANY (ARRAY[20, 32])))
);

ALTER TABLE ONLY public.deployment_revisions FORCE ROW LEVEL SECURITY;

CREATE TABLE public.deployment_shares (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    basis text NOT NULL,
    team_id bigint NOT NULL,
    deployment_id bigint NOT NULL,
    share numeric(9,8) NOT NULL,
    service_id bigint NOT NULL,
    succeeded_at timestamp with time zone,
    finished_at timestamp with time zone NOT NULL,
    kind text,
    rework text[] NOT NULL,
    CONSTRAINT deployment_shares_basis_check CHECK ((basis = ANY (ARRAY['delivered'::text, 'owned'::text]))),
    CONSTRAINT deployment_shares_share_check CHECK ((share > (0)::numeric))
);

ALTER TABLE ONLY public.deployment_shares FORCE ROW LEVEL SECURITY;

CREATE TABLE public.deployment_states (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    deployment_id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    state text NOT NULL,
    environment text,
    CONSTRAINT deployment_states_state_check CHECK ((state = ANY (ARRAY['in_progress'::text, 'success'::text, 'failure'::text, 'cancelled'::text, 'inactive'::text])))
);

ALTER TABLE ONLY public.deployment_states FORCE ROW LEVEL SECURITY;

ALTER TABLE public.deployments ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.deployments_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.events (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    kind text NOT NULL,
    actor_kind text NOT NULL,
    actor_name text,
    subject text NOT NULL,
    payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT events_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['collector'::text, 'person'::text]))),
    CONSTRAINT events_check CHECK (((actor_kind = 'person'::text) = (actor_name IS NOT NULL))),
    CONSTRAINT events_kind_check CHECK ((kind = ANY (ARRAY['configuration_applied'::text, 'repository_failing'::text, 'repository_recovered'::text, 'backfill_finished'::text, 'week_completed'::text])))
);

ALTER TABLE ONLY public.events FORCE ROW LEVEL SECURITY;

ALTER TABLE public.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.incident_facts (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    incident_id bigint NOT NULL,
    service_id bigint,
    started_at timestamp with time zone NOT NULL,
    resolved_at timestamp with time zone,
    severity text,
    deployment_id bigint,
    rule text,
    CONSTRAINT incident_facts_check CHECK (((deployment_id IS NULL) = (rule IS NULL))),
    CONSTRAINT incident_facts_rule_check CHECK ((rule = ANY (ARRAY['named'::text, 'set'::text, 'window'::text])))
);

ALTER TABLE ONLY public.incident_facts FORCE ROW LEVEL SECURITY;

CREATE TABLE public.incident_states (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    incident_id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    state text NOT NULL,
    CONSTRAINT incident_states_state_check CHECK ((state = ANY (ARRAY['opened'::text, 'resolved'::text, 'reopened'::text, 'dismissed'::text, 'merged'::text])))
);

ALTER TABLE ONLY public.incident_states FORCE ROW LEVEL SECURITY;

CREATE TABLE public.incidents (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    service_id bigint,
    source text NOT NULL,
    instance_id bigint,
    repository_id bigint,
    external_id text NOT NULL,
    number bigint,
    title text NOT NULL,
    labels text[] DEFAULT '{}'::text[] NOT NULL,
    source_severity text,
    severity text,
    started_at timestamp with time zone NOT NULL,
    url text,
    named_deployment_id bigint,
    set_deployment_id bigint,
    withdrawn_at timestamp with time zone,
    sender text,
    merged_into text,
    CONSTRAINT incidents_external_id_check CHECK ((external_id <> ''::text)),
    CONSTRAINT incidents_merged_into_check CHECK ((merged_into <> ''::text)),
    CONSTRAINT incidents_severity_check CHECK ((severity = ANY (ARRAY['critical'::text, 'high'::text, 'medium'::text, 'low'::text]))),
    CONSTRAINT incidents_source_check CHECK ((source = ANY (ARRAY['github-issues'::text, 'events'::text, 'pagerduty'::text, 'incident-io'::text, 'grafana'::text, 'generic'::text])))
);

ALTER TABLE ONLY public.incidents FORCE ROW LEVEL SECURITY;

ALTER TABLE public.incidents ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.incidents_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.incomplete_patterns (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    pattern text NOT NULL,
    reason text NOT NULL
);

ALTER TABLE ONLY public.incomplete_patterns FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.incomplete_patterns IS 'Patterns whose repositories could not all be listed at the last attempt. Patterns that are no longer configured do not count.';

CREATE TABLE public.instances (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    forge text NOT NULL,
    base_url text NOT NULL,
    CONSTRAINT instances_base_url_check CHECK ((base_url !~~ '%/'::text)),
    CONSTRAINT instances_forge_check CHECK ((forge = ANY (ARRAY['github'::text, 'gitlab'::text])))
);

ALTER TABLE ONLY public.instances FORCE ROW LEVEL SECURITY;

CREATE VIEW public.merged_incidents AS
 SELECT m.tenant_id,
    m.id,
    m.service_id,
    t.id AS target_id,
    t.service_id AS target_service_id
   FROM (public.incidents m
     JOIN public.incidents t ON (((m.tenant_id = t.tenant_id) AND (m.source = t.source) AND (m.merged_into = t.external_id) AND (NOT (m.instance_id IS DISTINCT FROM t.instance_id)) AND (NOT (m.sender IS DISTINCT FROM t.sender)) AND (m.id <> t.id))))
  WHERE ((m.withdrawn_at IS NULL) AND (t.withdrawn_at IS NULL) AND ('merged'::text = ( SELECT s.state
           FROM public.incident_states s
          WHERE ((s.tenant_id = m.tenant_id) AND (s.incident_id = m.id))
          ORDER BY s.at DESC, (public.incident_state_rank(s.state)) DESC
         LIMIT 1)));

COMMENT ON VIEW public.merged_incidents IS 'What each merged incident was merged into, as far as that is known. One that was opened again is not there.';

CREATE TABLE public.message_channels (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    channel text NOT NULL,
    off_since timestamp with time zone NOT NULL,
    next_try_at timestamp with time zone NOT NULL,
    problem text NOT NULL
);

ALTER TABLE ONLY public.message_channels FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.message_channels IS 'Channels that refuse messages, and when one is tried again.';

CREATE TABLE public.message_plans (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    planned_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.message_plans FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.message_plans IS 'When it was last judged what there is to say.';

CREATE TABLE public.messages (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    channel text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    period text NOT NULL,
    content jsonb,
    state text DEFAULT 'waiting'::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL,
    batch bigint,
    attempts integer DEFAULT 0 NOT NULL,
    is_repeated boolean DEFAULT false NOT NULL,
    first_tried_at timestamp with time zone,
    tried_at timestamp with time zone,
    finished_at timestamp with time zone,
    problem text,
    CONSTRAINT messages_check CHECK (((state = ANY (ARRAY['waiting'::text, 'sending'::text])) = (content IS NOT NULL))),
    CONSTRAINT messages_check1 CHECK (((state = ANY (ARRAY['waiting'::text, 'sending'::text])) = (finished_at IS NULL))),
    CONSTRAINT messages_check2 CHECK (((state <> 'sending'::text) OR (batch IS NOT NULL))),
    CONSTRAINT messages_kind_check CHECK ((kind = ANY (ARRAY['digest'::text, 'agreement'::text, 'goal'::text, 'change'::text, 'operations'::text]))),
    CONSTRAINT messages_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'sending'::text, 'sent'::text, 'failed'::text, 'unknown'::text, 'dropped'::text])))
);

ALTER TABLE ONLY public.messages FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.messages IS 'Messages to channels: each is written once for what it is about, sent by a worker that claims it, and kept without its text to say what became of it.';

ALTER TABLE public.messages ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.messages_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.open_commits (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    repository_id bigint NOT NULL,
    oid bytea NOT NULL,
    committed_at timestamp with time zone,
    failures smallint DEFAULT 0 NOT NULL,
    retry_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone,
    CONSTRAINT open_commits_oid_check CHECK ((length(oid) = ANY (ARRAY[20, 32])))
);

ALTER TABLE ONLY public.open_commits FORCE ROW LEVEL SECURITY;

CREATE TABLE public.people (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL
);

ALTER TABLE ONLY public.people FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.people IS 'One row per person. Their accounts and memberships refer to it.';

ALTER TABLE public.people ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.people_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.pr_attributions (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    pull_request_id bigint NOT NULL,
    team_id bigint NOT NULL,
    membership_id bigint NOT NULL,
    weight numeric(5,4) NOT NULL,
    repository_id bigint NOT NULL,
    author_id bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    merged_at timestamp with time zone,
    cycle_seconds double precision GENERATED ALWAYS AS (
CASE
    WHEN (merged_at >= created_at) THEN (EXTRACT(epoch FROM (merged_at - created_at)))::double precision
    ELSE NULL::double precision
END) STORED,
    coding_seconds double precision,
    pickup_seconds double precision,
    review_seconds double precision,
    delivered_at timestamp with time zone,
    lead_seconds double precision,
    deploy_seconds double precision,
    CONSTRAINT pr_attributions_weight_check CHECK (((weight > (0)::numeric) AND (weight <= (1)::numeric)))
);

ALTER TABLE ONLY public.pr_attributions FORCE ROW LEVEL SECURITY;

CREATE TABLE public.pr_deliveries (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    pull_request_id bigint NOT NULL,
    service_id bigint NOT NULL,
    deployment_id bigint,
    delivered_at timestamp with time zone,
    via text,
    missing text,
    CONSTRAINT pr_deliveries_check CHECK (((deployment_id IS NULL) = (missing IS NOT NULL))),
    CONSTRAINT pr_deliveries_check1 CHECK (((deployment_id IS NULL) = (delivered_at IS NULL))),
    CONSTRAINT pr_deliveries_missing_check CHECK ((missing = ANY (ARRAY['not_deployed_yet'::text, 'before_first_deployment'::text, 'unknown_history'::text, 'not_collected'::text]))),
    CONSTRAINT pr_deliveries_via_check CHECK ((via = ANY (ARRAY['merge_commit'::text, 'head_commit'::text])))
);

ALTER TABLE ONLY public.pr_deliveries FORCE ROW LEVEL SECURITY;

CREATE TABLE public.teams (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    archived_at timestamp with time zone,
    data_version bigint DEFAULT 0 NOT NULL,
    CONSTRAINT teams_slug_check CHECK (((slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'::text) AND (slug ~ '[a-z]'::text)))
);

ALTER TABLE ONLY public.teams FORCE ROW LEVEL SECURITY;

CREATE VIEW public.pr_metrics AS
 SELECT a.team_id,
    t.slug AS team,
    a.pull_request_id,
    r.display_name AS repository,
    p.number,
    p.title,
    h.login AS author,
    a.membership_id,
    a.weight,
    p.state,
    p.is_draft,
    p.base_ref,
    p.created_at,
    p.updated_at,
    p.closed_at,
    a.merged_at,
    p.attributed_at,
    p.cycle_seconds AS cycle_time_seconds,
    COALESCE((p.merged_at < p.created_at), false) AS is_merged_before_creation,
    p.first_commit_at,
    p.ready_at,
    p.first_review_at,
    p.first_approval_at,
    p.coding_seconds,
    p.pickup_seconds,
    p.review_seconds,
    a.deploy_seconds,
    p.additions,
    p.deletions,
    p.changed_files,
    p.merge_commit,
    public.pull_request_flags(p.*) AS flags,
    a.delivered_at,
    a.lead_seconds AS change_lead_time_seconds
   FROM ((((public.pr_attributions a
     JOIN public.pull_requests p ON ((a.pull_request_id = p.id)))
     JOIN public.teams t ON ((a.team_id = t.id)))
     JOIN public.repositories r ON ((a.repository_id = r.id)))
     JOIN public.accounts h ON (((a.author_id = h.person_id) AND (r.instance_id = h.instance_id))));

COMMENT ON VIEW public.pr_metrics IS 'One row per team and pull request that counts for it, with the weight and the membership behind it.';

CREATE TABLE public.pull_request_files (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    pull_request_id bigint NOT NULL,
    paths_digest text,
    is_incomplete boolean DEFAULT false NOT NULL,
    failures smallint DEFAULT 0 NOT NULL,
    retry_at timestamp with time zone
);

ALTER TABLE ONLY public.pull_request_files FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.pull_request_files IS 'Which files of merged pull requests were read.';

CREATE TABLE public.pull_request_reviews (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    pull_request_id bigint NOT NULL,
    place integer NOT NULL,
    author_id bigint NOT NULL,
    reviewer_id bigint,
    submitted_at timestamp with time zone NOT NULL,
    CONSTRAINT pull_request_reviews_place_check CHECK ((place > 0))
);

ALTER TABLE ONLY public.pull_request_reviews FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.pull_request_reviews IS 'The submitted reviews of pull requests by people who are neither the author nor a bot. Without reviewer_id, by somebody outside the teams file.';

CREATE TABLE public.pull_request_services (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    service_id bigint NOT NULL,
    pull_request_id bigint NOT NULL,
    is_touched boolean NOT NULL,
    paths_revision integer
);

ALTER TABLE ONLY public.pull_request_services FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.pull_request_services IS 'Which services with paths each merged pull request belongs to.';

ALTER TABLE public.pull_requests ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.pull_requests_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.quarantined_pull_requests (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    repository_id bigint NOT NULL,
    number bigint,
    "position" integer,
    after_number bigint DEFAULT 0 NOT NULL,
    rows_after integer,
    before_number bigint,
    rows_before integer,
    reason text NOT NULL,
    created_from timestamp with time zone,
    accepted_at timestamp with time zone,
    first_seen_at timestamp with time zone NOT NULL,
    last_tried_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    CONSTRAINT quarantined_pull_requests_are_known CHECK (((number IS NOT NULL) OR ("position" IS NOT NULL))),
    CONSTRAINT quarantined_pull_requests_position_check CHECK (("position" > 0)),
    CONSTRAINT quarantined_pull_requests_rows_after_check CHECK ((rows_after > 0)),
    CONSTRAINT quarantined_pull_requests_rows_before_check CHECK ((rows_before > 0))
);

ALTER TABLE ONLY public.quarantined_pull_requests FORCE ROW LEVEL SECURITY;

ALTER TABLE public.quarantined_pull_requests ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.quarantined_pull_requests_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.rate_limit_blocks (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    instance_id bigint NOT NULL,
    scope text NOT NULL,
    kind text NOT NULL,
    blocked_until timestamp with time zone NOT NULL,
    CONSTRAINT rate_limit_blocks_kind_check CHECK ((kind <> ''::text))
);

ALTER TABLE ONLY public.rate_limit_blocks FORCE ROW LEVEL SECURITY;

CREATE TABLE public.rate_limit_remaining (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    instance_id bigint NOT NULL,
    scope text NOT NULL,
    hourly_limit integer NOT NULL,
    remaining integer NOT NULL,
    resets_at timestamp with time zone NOT NULL,
    CONSTRAINT rate_limit_remaining_hourly_limit_check CHECK ((hourly_limit >= 0)),
    CONSTRAINT rate_limit_remaining_remaining_check CHECK ((remaining >= 0))
);

ALTER TABLE ONLY public.rate_limit_remaining FORCE ROW LEVEL SECURITY;

CREATE TABLE public.readers (
    role name NOT NULL,
    tenant_id integer NOT NULL
);

COMMENT ON TABLE public.readers IS 'Which tenant a role sees that reads views by SQL. Not needed while there is only one tenant.';

CREATE TABLE public.reattributions (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    person_id bigint NOT NULL,
    team_id bigint NOT NULL,
    done_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    done_id bigint DEFAULT 0 NOT NULL
);

ALTER TABLE ONLY public.reattributions FORCE ROW LEVEL SECURITY;

CREATE TABLE public.received_events (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    received_at timestamp with time zone NOT NULL,
    channel text NOT NULL,
    key_name text,
    sha256 bytea NOT NULL,
    kind text NOT NULL,
    subject text,
    outcome text NOT NULL,
    reason text,
    plugin text,
    delivery_id text,
    CONSTRAINT received_events_channel_check CHECK ((channel = ANY (ARRAY['api'::text, 'import'::text, 'webhook'::text]))),
    CONSTRAINT received_events_check CHECK (((outcome = 'refused'::text) = (reason IS NOT NULL))),
    CONSTRAINT received_events_delivery_check CHECK (((delivery_id IS NULL) OR (plugin IS NOT NULL))),
    CONSTRAINT received_events_kind_check CHECK ((kind = ANY (ARRAY['deployment'::text, 'incident'::text, 'repository'::text, 'other'::text]))),
    CONSTRAINT received_events_outcome_check CHECK ((outcome = ANY (ARRAY['created'::text, 'changed'::text, 'replayed'::text, 'refused'::text, 'queued'::text, 'ignored'::text]))),
    CONSTRAINT received_events_sha256_check CHECK ((length(sha256) = 32))
);

ALTER TABLE ONLY public.received_events FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.received_events IS 'What was posted or imported, also what was refused: when, by which key, and what became of it.';

CREATE TABLE public.reopened_histories (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    repository_id bigint NOT NULL,
    done_number bigint DEFAULT 0 NOT NULL,
    only_outside boolean DEFAULT false NOT NULL
);

ALTER TABLE ONLY public.reopened_histories FORCE ROW LEVEL SECURITY;

ALTER TABLE public.repositories ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.repositories_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.retention (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    kept_since timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.retention FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.retention IS 'Pull requests merged or closed before kept_since are deleted and not stored again.';

CREATE TABLE public.schema_requirements (
    is_only_row boolean DEFAULT true NOT NULL,
    least_migration bigint NOT NULL,
    CONSTRAINT schema_requirements_is_only_row_check CHECK (is_only_row)
);

COMMENT ON TABLE public.schema_requirements IS 'The migration that a program must know to work with this schema.';

CREATE TABLE public.service_owners (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    service_id bigint NOT NULL,
    team_id bigint NOT NULL,
    weight numeric(5,4) NOT NULL,
    owned_from timestamp with time zone,
    owned_to timestamp with time zone,
    added_in bigint NOT NULL,
    removed_in bigint,
    CONSTRAINT service_owners_check CHECK ((owned_from < owned_to)),
    CONSTRAINT service_owners_weight_check CHECK (((weight > (0)::numeric) AND (weight <= (1)::numeric)))
);

ALTER TABLE ONLY public.service_owners FORCE ROW LEVEL SECURITY;

ALTER TABLE public.service_owners ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.service_owners_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.services ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.services_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW public.services_with_paths AS
 SELECT DISTINCT r.id AS repository_id,
    s.id AS service_id,
    s.paths,
    s.paths_revision,
    (r.removed_at IS NULL) AS is_collected
   FROM ((public.services s
     JOIN public.service_repositories o ON ((s.id = o.service_id)))
     JOIN public.repositories r ON (((o.repository = r.name) OR (o.repository = r.current_name))))
  WHERE ((s.paths IS NOT NULL) AND (s.archived_at IS NULL));

COMMENT ON VIEW public.services_with_paths IS 'The services that share each repository by paths.';

CREATE VIEW public.team_buckets AS
 SELECT t.id AS team_id,
    t.slug AS team,
    u.unit,
    (b.bucket)::date AS bucket_start,
    COALESCE(((((b.bucket + (('1 '::text || u.unit))::interval) AT TIME ZONE c.timezone) <= k.complete_until) AND ((b.bucket AT TIME ZONE c.timezone) >= k.covered_since) AND (NOT m.is_reattributing)), false) AS is_complete
   FROM ((((((public.teams t
     CROSS JOIN public.configuration_in_force c)
     CROSS JOIN public.collection_coverage k)
     CROSS JOIN ( VALUES ('week'::text), ('month'::text)) u(unit))
     CROSS JOIN LATERAL ( SELECT min(a.merged_at) AS merged_at
           FROM public.pr_attributions a
          WHERE ((a.team_id = t.id) AND (a.merged_at IS NOT NULL))) first_merge)
     CROSS JOIN LATERAL ( SELECT (EXISTS ( SELECT
                   FROM public.reattributions r
                  WHERE (r.team_id = t.id))) AS is_reattributing) m)
     CROSS JOIN LATERAL generate_series(date_trunc(u.unit, (first_merge.merged_at AT TIME ZONE c.timezone)), (now() AT TIME ZONE c.timezone), (('1 '::text || u.unit))::interval) b(bucket));

COMMENT ON VIEW public.team_buckets IS 'Each week and month of each team, from its first merge to now, and whether all of its data is stored.';

CREATE TABLE public.team_memberships (
    tenant_id integer DEFAULT public.current_tenant() NOT NULL,
    id bigint NOT NULL,
    team_id bigint NOT NULL,
    person_id bigint NOT NULL,
    weight numeric(5,4) NOT NULL,
    joined_at timestamp with time zone,
    left_at timestamp with time zone,
    added_in bigint NOT NULL,
    removed_in bigint,
    CONSTRAINT team_memberships_check CHECK ((joined_at < left_at)),
    CONSTRAINT team_memberships_weight_check CHECK (((weight > (0)::numeric) AND (weight <= (1)::numeric)))
);

ALTER TABLE ONLY public.team_memberships FORCE ROW LEVEL SECURITY;

ALTER TABLE public.team_memberships ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.team_memberships_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.teams ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.teams_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.tenants (
    id integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT tenants_id_check CHECK ((id > 0))
);

COMMENT ON TABLE public.tenants IS 'One row per organization in this database. The first one is made with the schema.';

ALTER TABLE public.tenants ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.tenants_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW public.view_deployments AS
 SELECT d.id AS deployment_id,
    COALESCE(s.slug, replace(r.display_name, '/'::text, '.'::text)) AS service,
    d.source,
    d.external_id,
    d.environment,
    d.outcome,
    d.version,
    d.url,
    d.created_at,
    f.succeeded_at,
    f.finished_at,
    f.kind,
    COALESCE((f.kind <> 'rollout'::text), false) AS is_counted,
    f.pull_requests,
    COALESCE(f.rework, '{}'::text[]) AS rework,
    w.failures,
    COALESCE(f.remedied_by_id, w.remedied_by_id) AS remedied_by_id,
    COALESCE(f.remedied_at, w.remedied_at) AS remedied_at,
    'delivery@1'::text AS definition
   FROM ((((public.deployments d
     JOIN public.services s ON ((d.service_id = s.id)))
     LEFT JOIN public.repositories r ON ((s.repository_id = r.id)))
     LEFT JOIN public.deployment_facts f ON ((d.id = f.deployment_id)))
     CROSS JOIN LATERAL ( SELECT COALESCE(array_agg(x.reason ORDER BY x.reason), '{}'::text[]) AS failures,
            (array_agg(x.remedied_by_id ORDER BY x.remedied_at))[1] AS remedied_by_id,
            min(x.remedied_at) AS remedied_at
           FROM public.deployment_failures x
          WHERE (x.deployment_id = d.id)) w)
  WHERE ((d.environment_group = 'production'::text) AND (d.deleted_at IS NULL));

COMMENT ON VIEW public.view_deployments IS 'One row per production deployment: what it was, why it failed or is rework, and what remedied it.';

CREATE VIEW public.view_dora_lead_time AS
 SELECT b.team_id,
    b.team,
    b.bucket_start AS month_start,
    b.is_complete,
    v.n,
    v.weight,
    (v.mean / (3600)::double precision) AS mean_hours,
    (v.percentiles[1] / (3600)::double precision) AS median_hours,
    (v.percentiles[2] / (3600)::double precision) AS p75_hours,
    (v.percentiles[3] / (3600)::double precision) AS p90_hours,
    (v.percentiles[4] / (3600)::double precision) AS p95_hours,
    'pr_cycle_time@1'::text AS definition,
    v.coding_n,
    (v.median_coding / (3600)::double precision) AS median_coding_hours,
    v.pickup_n,
    (v.median_pickup / (3600)::double precision) AS median_pickup_hours,
    v.review_n,
    (v.median_review / (3600)::double precision) AS median_review_hours,
    'pr_phases@1'::text AS phases_definition,
    v.deploy_n,
    (v.median_deploy / (3600)::double precision) AS median_deploy_hours,
    d.delivered,
    d.delivered_weighted,
    d.n AS change_lead_time_n,
    d.weight AS change_lead_time_weight,
    (d.mean / (3600)::double precision) AS mean_change_lead_time_hours,
    (d.percentiles[1] / (3600)::double precision) AS median_change_lead_time_hours,
    (d.percentiles[2] / (3600)::double precision) AS p75_change_lead_time_hours,
    (d.percentiles[3] / (3600)::double precision) AS p90_change_lead_time_hours,
    (d.percentiles[4] / (3600)::double precision) AS p95_change_lead_time_hours,
    'change_lead_time@1'::text AS change_lead_time_definition,
    COALESCE((b.is_complete AND (((b.bucket_start + '1 mon'::interval) AT TIME ZONE c.timezone) <= k.complete_until) AND (((b.bucket_start)::timestamp without time zone AT TIME ZONE c.timezone) >= k.covered_since)), false) AS is_change_lead_time_complete
   FROM ((((public.team_buckets b
     CROSS JOIN public.configuration_in_force c)
     CROSS JOIN public.delivery_coverage k)
     CROSS JOIN LATERAL ( SELECT max(m.n) FILTER (WHERE (m.measure = 'cycle_time'::text)) AS n,
            max(m.weight) FILTER (WHERE (m.measure = 'cycle_time'::text)) AS weight,
            max(m.mean) FILTER (WHERE (m.measure = 'cycle_time'::text)) AS mean,
            max(m.percentiles) FILTER (WHERE (m.measure = 'cycle_time'::text)) AS percentiles,
            max(m.n) FILTER (WHERE (m.measure = 'coding'::text)) AS coding_n,
            max(m.percentiles[1]) FILTER (WHERE (m.measure = 'coding'::text)) AS median_coding,
            max(m.n) FILTER (WHERE (m.measure = 'pickup'::text)) AS pickup_n,
            max(m.percentiles[1]) FILTER (WHERE (m.measure = 'pickup'::text)) AS median_pickup,
            max(m.n) FILTER (WHERE (m.measure = 'review'::text)) AS review_n,
            max(m.percentiles[1]) FILTER (WHERE (m.measure = 'review'::text)) AS median_review,
            max(m.n) FILTER (WHERE (m.measure = 'deploy'::text)) AS deploy_n,
            max(m.percentiles[1]) FILTER (WHERE (m.measure = 'deploy'::text)) AS median_deploy
           FROM public.team_bucket(b.team_id, b.unit, b.bucket_start) m(measure, n, weight, contributors, mean, percentiles)) v)
     CROSS JOIN LATERAL ( SELECT COALESCE(max(m.n) FILTER (WHERE (m.measure = 'delivered'::text)), (0)::bigint) AS delivered,
            COALESCE(max(m.weight) FILTER (WHERE (m.measure = 'delivered'::text)), (0)::numeric) AS delivered_weighted,
            COALESCE(max(m.n) FILTER (WHERE (m.measure = 'change_lead_time'::text)), (0)::bigint) AS n,
            COALESCE(max(m.weight) FILTER (WHERE (m.measure = 'change_lead_time'::text)), (0)::numeric) AS weight,
            max(m.mean) FILTER (WHERE (m.measure = 'change_lead_time'::text)) AS mean,
            max(m.percentiles) FILTER (WHERE (m.measure = 'change_lead_time'::text)) AS percentiles
           FROM public.team_deliveries(b.team_id, b.unit, b.bucket_start) m(measure, n, weight, mean, percentiles)) d)
  WHERE (b.unit = 'month'::text);

COMMENT ON VIEW public.view_dora_lead_time IS 'Each team by month, in hours: pull request cycle time (pr_cycle_time@1, opening to merge, by merge), and beside it DORA''s change lead time (change_lead_time@1, first commit to production, by delivery).';

COMMENT ON COLUMN public.view_dora_lead_time.is_change_lead_time_complete IS 'Whether deployments were read for the whole month, too.';

CREATE VIEW public.view_incidents AS
 SELECT f.incident_id,
    COALESCE(s.slug, replace(r.display_name, '/'::text, '.'::text)) AS service,
    i.source,
    i.external_id,
    i.url,
    f.severity,
    f.started_at,
    f.resolved_at,
        CASE
            WHEN (f.resolved_at >= f.started_at) THEN ((EXTRACT(epoch FROM (f.resolved_at - f.started_at)))::double precision / (3600)::double precision)
            ELSE NULL::double precision
        END AS duration_hours,
    f.deployment_id,
    f.rule,
    'mttr@1'::text AS definition
   FROM (((public.incident_facts f
     JOIN public.incidents i ON ((f.incident_id = i.id)))
     LEFT JOIN public.services s ON ((f.service_id = s.id)))
     LEFT JOIN public.repositories r ON ((s.repository_id = r.id)));

COMMENT ON VIEW public.view_incidents IS 'One row per incident that counts, with the deployment that it belongs to. Without its title, which may name people.';

CREATE VIEW public.view_team_deployments AS
 SELECT s.team_id,
    t.slug AS team,
    (s.basis || '@1'::text) AS basis,
    s.deployment_id,
    s.share,
    s.succeeded_at,
    s.finished_at,
    s.kind,
    s.rework
   FROM (public.deployment_shares s
     JOIN public.teams t ON ((s.team_id = t.id)));

COMMENT ON VIEW public.view_team_deployments IS 'One row per team and production deployment that it has a share of, by delivered@1 and owned@1.';

CREATE VIEW public.view_team_dora AS
 SELECT b.team_id,
    b.team,
    b.unit,
    b.bucket_start,
    COALESCE((b.is_complete AND (((b.bucket_start + (('1 '::text || b.unit))::interval) AT TIME ZONE c.timezone) <= k.complete_until) AND (((b.bucket_start)::timestamp without time zone AT TIME ZONE c.timezone) >= k.covered_since) AND ((NOT k.wants_incidents) OR (((b.bucket_start + (('1 '::text || b.unit))::interval) AT TIME ZONE c.timezone) <= k.incidents_until))), false) AS is_complete,
    v.succeeded,
    v.succeeded_weighted,
    v.failed,
    v.failed_weighted,
    (v.failed_weighted / NULLIF(v.succeeded_weighted, (0)::numeric)) AS change_fail_rate,
    v.rework,
    v.rework_weighted,
    (v.rework_weighted / NULLIF(v.succeeded_weighted, (0)::numeric)) AS rework_rate,
    v.finished,
    v.finished_weighted,
    (v.succeeded_weighted / NULLIF(v.finished_weighted, (0)::numeric)) AS deployment_success_rate,
    v.delivered,
    v.delivered_weighted,
    v.lead_time_n,
    (v.lead_times[1] / (3600)::double precision) AS median_change_lead_time_hours,
    (v.lead_times[3] / (3600)::double precision) AS p90_change_lead_time_hours,
    v.recovery_n,
    (v.recovery_times[1] / (3600)::double precision) AS median_recovery_time_hours,
    v.mttr_n,
    (v.mttr / (3600)::double precision) AS mttr_hours,
    v.deployment_recovery_n,
    (v.deployment_recovery_times[1] / (3600)::double precision) AS median_deployment_recovery_time_hours,
    'deployment_frequency@1 change_lead_time@1 change_fail_rate@1 rework_rate@1 recovery_time@1'::text AS definitions
   FROM (((public.team_buckets b
     CROSS JOIN public.configuration_in_force c)
     CROSS JOIN public.delivery_coverage k)
     CROSS JOIN LATERAL ( SELECT COALESCE(max(m.n) FILTER (WHERE (m.measure = 'succeeded'::text)), (0)::bigint) AS succeeded,
            COALESCE(max(m.weight) FILTER (WHERE (m.measure = 'succeeded'::text)), (0)::numeric) AS succeeded_weighted,
            COALESCE(max(m.n) FILTER (WHERE (m.measure = 'failed'::text)), (0)::bigint) AS failed,
            COALESCE(max(m.weight) FILTER (WHERE (m.measure = 'failed'::text)), (0)::numeric) AS failed_weighted,
            COALESCE(max(m.n) FILTER (WHERE (m.measure = 'rework'::text)), (0)::bigint) AS rework,
            COALESCE(max(m.weight) FILTER (WHERE (m.measure = 'rework'::text)), (0)::numeric) AS rework_weighted,
            COALESCE(max(m.n) FILTER (WHERE (m.measure = 'finished'::text)), (0)::bigint) AS finished,
            COALESCE(max(m.weight) FILTER (WHERE (m.measure = 'finished'::text)), (0)::numeric) AS finished_weighted,
            COALESCE(max(m.n) FILTER (WHERE (m.measure = 'delivered'::text)), (0)::bigint) AS delivered,
            COALESCE(max(m.weight) FILTER (WHERE (m.measure = 'delivered'::text)), (0)::numeric) AS delivered_weighted,
            COALESCE(max(m.n) FILTER (WHERE (m.measure = 'change_lead_time'::text)), (0)::bigint) AS lead_time_n,
            max(m.percentiles) FILTER (WHERE (m.measure = 'change_lead_time'::text)) AS lead_times,
            COALESCE(max(m.n) FILTER (WHERE (m.measure = 'recovery_time'::text)), (0)::bigint) AS recovery_n,
            max(m.percentiles) FILTER (WHERE (m.measure = 'recovery_time'::text)) AS recovery_times,
            COALESCE(max(m.n) FILTER (WHERE (m.measure = 'mttr'::text)), (0)::bigint) AS mttr_n,
            max(m.mean) FILTER (WHERE (m.measure = 'mttr'::text)) AS mttr,
            COALESCE(max(m.n) FILTER (WHERE (m.measure = 'deployment_recovery_time'::text)), (0)::bigint) AS deployment_recovery_n,
            max(m.percentiles) FILTER (WHERE (m.measure = 'deployment_recovery_time'::text)) AS deployment_recovery_times
           FROM public.team_dora(b.team_id, b.unit, b.bucket_start) m(measure, n, weight, mean, percentiles)) v);

COMMENT ON VIEW public.view_team_dora IS 'DORA''s metrics of each team by week and month in the configured time zone. Rates are of shares; null without deployments.';

CREATE VIEW public.view_team_phases AS
 SELECT b.team_id,
    b.team,
    b.unit,
    b.bucket_start,
    m.measure AS phase,
    m.n,
    m.weight,
    (m.mean / (3600)::double precision) AS mean_hours,
    (m.percentiles[1] / (3600)::double precision) AS median_hours,
    (m.percentiles[2] / (3600)::double precision) AS p75_hours,
    (m.percentiles[3] / (3600)::double precision) AS p90_hours,
    (m.percentiles[4] / (3600)::double precision) AS p95_hours,
    'pr_phases@1'::text AS definition,
    b.is_complete
   FROM (public.team_buckets b
     CROSS JOIN LATERAL public.team_bucket(b.team_id, b.unit, b.bucket_start) m(measure, n, weight, contributors, mean, percentiles))
  WHERE ((m.measure = ANY (ARRAY['coding'::text, 'pickup'::text, 'review'::text, 'deploy'::text])) AND (m.n > 0));

COMMENT ON VIEW public.view_team_phases IS 'Coding, pickup, review and deploy (pr_phases@1) of merged pull requests by team, calendar unit and phase, each with its own n.';

CREATE VIEW public.view_team_velocity AS
 SELECT b.team_id,
    b.team,
    b.bucket_start AS week_start,
    to_char((b.bucket_start)::timestamp with time zone, 'IYYY-"W"IW'::text) AS iso_week,
    b.is_complete,
    v.prs_merged,
    v.prs_merged_weighted,
    v.contributors,
    (v.mean_cycle_time / (3600)::double precision) AS mean_cycle_time_hours,
    (v.cycle_times[1] / (3600)::double precision) AS median_cycle_time_hours,
    (v.cycle_times[2] / (3600)::double precision) AS p75_cycle_time_hours,
    (v.cycle_times[3] / (3600)::double precision) AS p90_cycle_time_hours,
    (v.cycle_times[4] / (3600)::double precision) AS p95_cycle_time_hours,
    'velocity@1'::text AS definition,
    v.coding_n,
    (v.median_coding / (3600)::double precision) AS median_coding_hours,
    v.pickup_n,
    (v.median_pickup / (3600)::double precision) AS median_pickup_hours,
    v.review_n,
    (v.median_review / (3600)::double precision) AS median_review_hours,
    'pr_phases@1'::text AS phases_definition,
    v.deploy_n,
    (v.median_deploy / (3600)::double precision) AS median_deploy_hours
   FROM (public.team_buckets b
     CROSS JOIN LATERAL ( SELECT max(m.n) FILTER (WHERE (m.measure = 'merged'::text)) AS prs_merged,
            max(m.weight) FILTER (WHERE (m.measure = 'merged'::text)) AS prs_merged_weighted,
            max(m.contributors) FILTER (WHERE (m.measure = 'merged'::text)) AS contributors,
            max(m.mean) FILTER (WHERE (m.measure = 'cycle_time'::text)) AS mean_cycle_time,
            max(m.percentiles) FILTER (WHERE (m.measure = 'cycle_time'::text)) AS cycle_times,
            max(m.n) FILTER (WHERE (m.measure = 'coding'::text)) AS coding_n,
            max(m.percentiles[1]) FILTER (WHERE (m.measure = 'coding'::text)) AS median_coding,
            max(m.n) FILTER (WHERE (m.measure = 'pickup'::text)) AS pickup_n,
            max(m.percentiles[1]) FILTER (WHERE (m.measure = 'pickup'::text)) AS median_pickup,
            max(m.n) FILTER (WHERE (m.measure = 'review'::text)) AS review_n,
            max(m.percentiles[1]) FILTER (WHERE (m.measure = 'review'::text)) AS median_review,
            max(m.n) FILTER (WHERE (m.measure = 'deploy'::text)) AS deploy_n,
            max(m.percentiles[1]) FILTER (WHERE (m.measure = 'deploy'::text)) AS median_deploy
           FROM public.team_bucket(b.team_id, b.unit, b.bucket_start) m(measure, n, weight, contributors, mean, percentiles)) v)
  WHERE (b.unit = 'week'::text);

COMMENT ON VIEW public.view_team_velocity IS 'Velocity (velocity@1) of each team by ISO week in the configured time zone. Weighted counts split a person across teams.';

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (tenant_id, person_id, instance_id);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_tenant_id_instance_id_external_id_key UNIQUE (tenant_id, instance_id, external_id);

ALTER TABLE ONLY public.announcements
    ADD CONSTRAINT announcements_pkey PRIMARY KEY (tenant_id, repository_id);

ALTER TABLE ONLY public.collection_results
    ADD CONSTRAINT collection_results_pkey PRIMARY KEY (tenant_id, run_id, repository_id);

ALTER TABLE ONLY public.collection_runs
    ADD CONSTRAINT collection_runs_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.commits
    ADD CONSTRAINT commits_pkey PRIMARY KEY (tenant_id, repository_id, oid);

ALTER TABLE ONLY public.configurations
    ADD CONSTRAINT configurations_pkey PRIMARY KEY (tenant_id, revision);

ALTER TABLE ONLY public.deployment_attempts
    ADD CONSTRAINT deployment_attempts_pkey PRIMARY KEY (tenant_id, deployment_id, pull_request_id);

ALTER TABLE ONLY public.deployment_facts
    ADD CONSTRAINT deployment_facts_pkey PRIMARY KEY (tenant_id, deployment_id);

ALTER TABLE ONLY public.deployment_failures
    ADD CONSTRAINT deployment_failures_pkey PRIMARY KEY (tenant_id, deployment_id, reason);

ALTER TABLE ONLY public.deployment_lists
    ADD CONSTRAINT deployment_lists_pkey PRIMARY KEY (tenant_id, repository_id, source, list);

ALTER TABLE ONLY public.deployment_progress
    ADD CONSTRAINT deployment_progress_pkey PRIMARY KEY (tenant_id, repository_id);

ALTER TABLE ONLY public.deployment_revisions
    ADD CONSTRAINT deployment_revisions_pkey PRIMARY KEY (tenant_id, deployment_id, repository_id);

ALTER TABLE ONLY public.deployment_shares
    ADD CONSTRAINT deployment_shares_pkey PRIMARY KEY (tenant_id, basis, team_id, deployment_id);

ALTER TABLE ONLY public.deployment_states
    ADD CONSTRAINT deployment_states_pkey PRIMARY KEY (tenant_id, deployment_id, at, state);

ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_source_key UNIQUE NULLS NOT DISTINCT (tenant_id, source, instance_id, sender, external_id);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.incident_facts
    ADD CONSTRAINT incident_facts_pkey PRIMARY KEY (tenant_id, incident_id);

ALTER TABLE ONLY public.incident_progress
    ADD CONSTRAINT incident_progress_pkey PRIMARY KEY (tenant_id, repository_id, label);

ALTER TABLE ONLY public.incident_states
    ADD CONSTRAINT incident_states_pkey PRIMARY KEY (tenant_id, incident_id, at, state);

ALTER TABLE ONLY public.incidents
    ADD CONSTRAINT incidents_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.incidents
    ADD CONSTRAINT incidents_source_key UNIQUE NULLS NOT DISTINCT (tenant_id, source, instance_id, sender, external_id);

ALTER TABLE ONLY public.incomplete_patterns
    ADD CONSTRAINT incomplete_patterns_pkey PRIMARY KEY (tenant_id, pattern);

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_tenant_id_forge_key UNIQUE (tenant_id, forge);

ALTER TABLE ONLY public.message_channels
    ADD CONSTRAINT message_channels_pkey PRIMARY KEY (tenant_id, channel);

ALTER TABLE ONLY public.message_plans
    ADD CONSTRAINT message_plans_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_tenant_id_channel_kind_subject_period_key UNIQUE (tenant_id, channel, kind, subject, period);

ALTER TABLE ONLY public.open_commits
    ADD CONSTRAINT open_commits_pkey PRIMARY KEY (tenant_id, repository_id, oid);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.pr_attributions
    ADD CONSTRAINT pr_attributions_pkey PRIMARY KEY (tenant_id, pull_request_id, team_id);

ALTER TABLE ONLY public.pr_deliveries
    ADD CONSTRAINT pr_deliveries_pkey PRIMARY KEY (tenant_id, service_id, pull_request_id);

ALTER TABLE ONLY public.pull_request_files
    ADD CONSTRAINT pull_request_files_pkey PRIMARY KEY (tenant_id, pull_request_id);

ALTER TABLE ONLY public.pull_request_reviews
    ADD CONSTRAINT pull_request_reviews_pkey PRIMARY KEY (tenant_id, pull_request_id, place);

ALTER TABLE ONLY public.pull_request_services
    ADD CONSTRAINT pull_request_services_pkey PRIMARY KEY (tenant_id, service_id, pull_request_id);

ALTER TABLE ONLY public.pull_requests
    ADD CONSTRAINT pull_requests_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.pull_requests
    ADD CONSTRAINT pull_requests_tenant_id_instance_id_external_id_key UNIQUE (tenant_id, instance_id, external_id);

ALTER TABLE ONLY public.pull_requests
    ADD CONSTRAINT pull_requests_tenant_id_repository_id_number_key UNIQUE (tenant_id, repository_id, number);

ALTER TABLE ONLY public.quarantined_pull_requests
    ADD CONSTRAINT quarantined_pull_requests_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.rate_limit_blocks
    ADD CONSTRAINT rate_limit_blocks_pkey PRIMARY KEY (tenant_id, instance_id, scope, kind);

ALTER TABLE ONLY public.rate_limit_remaining
    ADD CONSTRAINT rate_limit_remaining_pkey PRIMARY KEY (tenant_id, instance_id, scope);

ALTER TABLE ONLY public.readers
    ADD CONSTRAINT readers_pkey PRIMARY KEY (role);

ALTER TABLE ONLY public.reattributions
    ADD CONSTRAINT reattributions_pkey PRIMARY KEY (tenant_id, person_id, team_id);

ALTER TABLE ONLY public.reattributions
    ADD CONSTRAINT reattributions_tenant_id_team_id_person_id_key UNIQUE (tenant_id, team_id, person_id);

ALTER TABLE ONLY public.received_events
    ADD CONSTRAINT received_events_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.reopened_histories
    ADD CONSTRAINT reopened_histories_pkey PRIMARY KEY (tenant_id, repository_id);

ALTER TABLE ONLY public.repositories
    ADD CONSTRAINT repositories_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.retention
    ADD CONSTRAINT retention_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.schema_requirements
    ADD CONSTRAINT schema_requirements_pkey PRIMARY KEY (is_only_row);

ALTER TABLE ONLY public.service_owners
    ADD CONSTRAINT service_owners_do_not_overlap EXCLUDE USING gist (int4range(tenant_id, tenant_id, '[]'::text) WITH &&, int8range(service_id, service_id, '[]'::text) WITH &&, int8range(team_id, team_id, '[]'::text) WITH &&, tstzrange(owned_from, owned_to, '[)'::text) WITH &&) WHERE ((removed_in IS NULL));

ALTER TABLE ONLY public.service_owners
    ADD CONSTRAINT service_owners_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.service_repositories
    ADD CONSTRAINT service_repositories_pkey PRIMARY KEY (tenant_id, service_id, repository);

ALTER TABLE ONLY public.services
    ADD CONSTRAINT services_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.services
    ADD CONSTRAINT services_tenant_id_repository_id_key UNIQUE (tenant_id, repository_id);

ALTER TABLE ONLY public.services
    ADD CONSTRAINT services_tenant_id_slug_key UNIQUE (tenant_id, slug);

ALTER TABLE ONLY public.team_memberships
    ADD CONSTRAINT team_memberships_do_not_overlap EXCLUDE USING gist (int4range(tenant_id, tenant_id, '[]'::text) WITH &&, int8range(team_id, team_id, '[]'::text) WITH &&, int8range(person_id, person_id, '[]'::text) WITH &&, tstzrange(joined_at, left_at, '[)'::text) WITH &&) WHERE ((removed_in IS NULL));

ALTER TABLE ONLY public.team_memberships
    ADD CONSTRAINT team_memberships_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_tenant_id_slug_key UNIQUE (tenant_id, slug);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (id);

CREATE UNIQUE INDEX accounts_unseen_login_key ON public.accounts USING btree (tenant_id, instance_id, configured_login) WHERE (external_id IS NULL);

CREATE INDEX collection_results_repository_idx ON public.collection_results USING btree (tenant_id, repository_id, run_id DESC);

CREATE INDEX collection_runs_started_at_idx ON public.collection_runs USING btree (tenant_id, started_at);

CREATE INDEX deployment_attempts_pull_request_idx ON public.deployment_attempts USING btree (tenant_id, pull_request_id);

CREATE INDEX deployment_facts_finished_idx ON public.deployment_facts USING btree (tenant_id, finished_at) INCLUDE (service_id, deployment_id, succeeded_at, kind, rework);

CREATE INDEX deployment_facts_remedied_idx ON public.deployment_facts USING btree (tenant_id, remedied_at) WHERE (remedied_at IS NOT NULL);

CREATE INDEX deployment_facts_service_idx ON public.deployment_facts USING btree (tenant_id, service_id, finished_at) INCLUDE (deployment_id, succeeded_at, kind, rework);

CREATE INDEX deployment_failures_remedied_idx ON public.deployment_failures USING btree (tenant_id, remedied_at) WHERE (remedied_at IS NOT NULL);

CREATE INDEX deployment_revisions_repository_idx ON public.deployment_revisions USING btree (tenant_id, repository_id, oid);

CREATE INDEX deployment_shares_deployment_idx ON public.deployment_shares USING btree (tenant_id, deployment_id);

CREATE INDEX deployment_shares_finished_idx ON public.deployment_shares USING btree (tenant_id, basis, team_id, finished_at) INCLUDE (deployment_id, service_id, share, succeeded_at, kind, rework);

CREATE INDEX deployments_repository_idx ON public.deployments USING btree (tenant_id, repository_id, created_at);

CREATE INDEX deployments_service_idx ON public.deployments USING btree (tenant_id, service_id, environment_group);

CREATE INDEX deployments_unfinished_idx ON public.deployments USING btree (tenant_id, service_id, created_at) WHERE (outcome = 'unfinished'::text);

CREATE UNIQUE INDEX events_completed_week_key ON public.events USING btree (tenant_id, subject) WHERE (kind = 'week_completed'::text);

CREATE INDEX incident_facts_deployment_idx ON public.incident_facts USING btree (tenant_id, deployment_id) WHERE (deployment_id IS NOT NULL);

CREATE INDEX incident_facts_resolved_idx ON public.incident_facts USING btree (tenant_id, resolved_at);

CREATE INDEX incident_facts_started_idx ON public.incident_facts USING btree (tenant_id, started_at);

CREATE INDEX incidents_merged_into_idx ON public.incidents USING btree (tenant_id, source, merged_into) WHERE (merged_into IS NOT NULL);

CREATE INDEX incidents_service_idx ON public.incidents USING btree (tenant_id, service_id, started_at);

CREATE INDEX messages_open_idx ON public.messages USING btree (tenant_id, channel, due_at) WHERE (state = ANY (ARRAY['waiting'::text, 'sending'::text]));

CREATE INDEX messages_tried_idx ON public.messages USING btree (tenant_id, channel, tried_at) WHERE (batch IS NOT NULL);

CREATE INDEX pr_attributions_closed_idx ON public.pr_attributions USING btree (tenant_id, team_id, closed_at) INCLUDE (pull_request_id, weight) WHERE ((closed_at IS NOT NULL) AND (merged_at IS NULL));

CREATE INDEX pr_attributions_delivered_idx ON public.pr_attributions USING btree (tenant_id, team_id, delivered_at) INCLUDE (weight, author_id, repository_id, lead_seconds, deploy_seconds) WHERE (delivered_at IS NOT NULL);

CREATE INDEX pr_attributions_merged_idx ON public.pr_attributions USING btree (tenant_id, team_id, merged_at) INCLUDE (pull_request_id, weight, author_id, repository_id, cycle_seconds, coding_seconds, pickup_seconds, review_seconds, deploy_seconds) WHERE (merged_at IS NOT NULL);

CREATE INDEX pr_attributions_open_idx ON public.pr_attributions USING btree (tenant_id, team_id, created_at) INCLUDE (weight, author_id, repository_id, pull_request_id) WHERE (closed_at IS NULL);

CREATE INDEX pr_attributions_team_repository_idx ON public.pr_attributions USING btree (tenant_id, team_id, repository_id);

CREATE INDEX pr_deliveries_deployment_idx ON public.pr_deliveries USING btree (tenant_id, deployment_id) WHERE (deployment_id IS NOT NULL);

CREATE INDEX pr_deliveries_pull_request_idx ON public.pr_deliveries USING btree (tenant_id, pull_request_id);

CREATE INDEX pr_deliveries_waiting_idx ON public.pr_deliveries USING btree (tenant_id, service_id, pull_request_id) WHERE (missing = ANY (ARRAY['not_deployed_yet'::text, 'not_collected'::text]));

CREATE INDEX pull_request_reviews_author_idx ON public.pull_request_reviews USING btree (tenant_id, author_id, submitted_at);

CREATE INDEX pull_request_reviews_reviewer_idx ON public.pull_request_reviews USING btree (tenant_id, reviewer_id, submitted_at) WHERE (reviewer_id IS NOT NULL);

CREATE INDEX pull_request_services_pull_request_idx ON public.pull_request_services USING btree (tenant_id, pull_request_id);

CREATE INDEX pull_requests_author_attributed_idx ON public.pull_requests USING btree (tenant_id, author_id, attributed_at, id);

CREATE INDEX pull_requests_delivered_idx ON public.pull_requests USING btree (tenant_id, delivered_at) WHERE (delivered_at IS NOT NULL);

CREATE INDEX pull_requests_incomplete_reviews_idx ON public.pull_requests USING btree (tenant_id, author_id, updated_at) WHERE (((reviews_at IS DISTINCT FROM updated_at) OR has_unread_reviews) AND (deleted_at IS NULL));

CREATE INDEX pull_requests_merged_idx ON public.pull_requests USING btree (tenant_id, merged_at) WHERE (merged_at IS NOT NULL);

CREATE INDEX pull_requests_node_id_idx ON public.pull_requests USING btree (tenant_id, node_id);

CREATE INDEX pull_requests_updated_idx ON public.pull_requests USING btree (tenant_id, repository_id, updated_at);

CREATE INDEX pull_requests_without_details_idx ON public.pull_requests USING btree (tenant_id, repository_id, updated_at DESC) WHERE ((detailed_at IS DISTINCT FROM updated_at) AND (deleted_at IS NULL));

CREATE INDEX pull_requests_without_reviews_idx ON public.pull_requests USING btree (tenant_id, repository_id, updated_at DESC) INCLUDE (created_at) WHERE ((reviews_at IS DISTINCT FROM updated_at) AND (deleted_at IS NULL));

CREATE UNIQUE INDEX quarantined_pull_requests_number_key ON public.quarantined_pull_requests USING btree (tenant_id, repository_id, number);

CREATE UNIQUE INDEX quarantined_pull_requests_place_key ON public.quarantined_pull_requests USING btree (tenant_id, repository_id, after_number, rows_after) WHERE (number IS NULL);

CREATE UNIQUE INDEX received_events_delivery_key ON public.received_events USING btree (tenant_id, plugin, delivery_id) WHERE (delivery_id IS NOT NULL);

CREATE INDEX received_events_plugin_idx ON public.received_events USING btree (tenant_id, plugin, received_at) WHERE (plugin IS NOT NULL);

CREATE INDEX received_events_time_idx ON public.received_events USING btree (tenant_id, received_at);

CREATE UNIQUE INDEX repositories_external_id_key ON public.repositories USING btree (tenant_id, instance_id, external_id) WHERE (removed_at IS NULL);

CREATE UNIQUE INDEX repositories_name_key ON public.repositories USING btree (tenant_id, instance_id, name) WHERE (removed_at IS NULL);

CREATE INDEX team_memberships_person_id_idx ON public.team_memberships USING btree (tenant_id, person_id) WHERE (removed_in IS NULL);

CREATE TRIGGER accounts_remember_other_logins BEFORE UPDATE OF configured_login, login, other_logins ON public.accounts FOR EACH ROW EXECUTE FUNCTION public.remember_other_logins();

CREATE TRIGGER count_deleted AFTER DELETE ON public.pull_requests REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_pull_requests();

CREATE TRIGGER count_deleted AFTER DELETE ON public.quarantined_pull_requests REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_quarantine();

CREATE TRIGGER count_inserted AFTER INSERT ON public.pull_requests REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_pull_requests();

CREATE TRIGGER count_inserted AFTER INSERT ON public.quarantined_pull_requests REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_quarantine();

CREATE TRIGGER count_truncated AFTER TRUNCATE ON public.pull_requests FOR EACH STATEMENT EXECUTE FUNCTION public.count_after_truncate();

CREATE TRIGGER count_truncated AFTER TRUNCATE ON public.quarantined_pull_requests FOR EACH STATEMENT EXECUTE FUNCTION public.count_after_truncate();

CREATE TRIGGER count_updated AFTER UPDATE ON public.pull_requests REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_pull_requests();

CREATE TRIGGER count_updated AFTER UPDATE ON public.quarantined_pull_requests REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_quarantine();

CREATE TRIGGER instances_added AFTER INSERT ON public.tenants FOR EACH ROW EXECUTE FUNCTION public.add_instances();

CREATE TRIGGER service_added AFTER INSERT ON public.repositories FOR EACH ROW EXECUTE FUNCTION public.add_service();

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_tenant_id_instance_id_fkey FOREIGN KEY (tenant_id, instance_id) REFERENCES public.instances(tenant_id, id);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_tenant_id_person_id_fkey FOREIGN KEY (tenant_id, person_id) REFERENCES public.people(tenant_id, id);

ALTER TABLE ONLY public.announcements
    ADD CONSTRAINT announcements_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.collection_results
    ADD CONSTRAINT collection_results_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.collection_results
    ADD CONSTRAINT collection_results_tenant_id_run_id_fkey FOREIGN KEY (tenant_id, run_id) REFERENCES public.collection_runs(tenant_id, id);

ALTER TABLE ONLY public.collection_runs
    ADD CONSTRAINT collection_runs_tenant_id_configuration_revision_fkey FOREIGN KEY (tenant_id, configuration_revision) REFERENCES public.configurations(tenant_id, revision);

ALTER TABLE ONLY public.collection_runs
    ADD CONSTRAINT collection_runs_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.commits
    ADD CONSTRAINT commits_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.configurations
    ADD CONSTRAINT configurations_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.deployment_attempts
    ADD CONSTRAINT deployment_attempts_tenant_id_deployment_id_fkey FOREIGN KEY (tenant_id, deployment_id) REFERENCES public.deployments(tenant_id, id);

ALTER TABLE ONLY public.deployment_attempts
    ADD CONSTRAINT deployment_attempts_tenant_id_pull_request_id_fkey FOREIGN KEY (tenant_id, pull_request_id) REFERENCES public.pull_requests(tenant_id, id);

ALTER TABLE ONLY public.deployment_facts
    ADD CONSTRAINT deployment_facts_tenant_id_deployment_id_fkey FOREIGN KEY (tenant_id, deployment_id) REFERENCES public.deployments(tenant_id, id);

ALTER TABLE ONLY public.deployment_facts
    ADD CONSTRAINT deployment_facts_tenant_id_service_id_fkey FOREIGN KEY (tenant_id, service_id) REFERENCES public.services(tenant_id, id);

ALTER TABLE ONLY public.deployment_failures
    ADD CONSTRAINT deployment_failures_tenant_id_deployment_id_fkey FOREIGN KEY (tenant_id, deployment_id) REFERENCES public.deployments(tenant_id, id);

ALTER TABLE ONLY public.deployment_lists
    ADD CONSTRAINT deployment_lists_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.deployment_progress
    ADD CONSTRAINT deployment_progress_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.deployment_revisions
    ADD CONSTRAINT deployment_revisions_tenant_id_deployment_id_fkey FOREIGN KEY (tenant_id, deployment_id) REFERENCES public.deployments(tenant_id, id);

ALTER TABLE ONLY public.deployment_revisions
    ADD CONSTRAINT deployment_revisions_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.deployment_shares
    ADD CONSTRAINT deployment_shares_tenant_id_deployment_id_fkey FOREIGN KEY (tenant_id, deployment_id) REFERENCES public.deployments(tenant_id, id);

ALTER TABLE ONLY public.deployment_shares
    ADD CONSTRAINT deployment_shares_tenant_id_team_id_fkey FOREIGN KEY (tenant_id, team_id) REFERENCES public.teams(tenant_id, id);

ALTER TABLE ONLY public.deployment_states
    ADD CONSTRAINT deployment_states_tenant_id_deployment_id_fkey FOREIGN KEY (tenant_id, deployment_id) REFERENCES public.deployments(tenant_id, id);

ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_tenant_id_instance_id_fkey FOREIGN KEY (tenant_id, instance_id) REFERENCES public.instances(tenant_id, id);

ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT deployments_tenant_id_service_id_fkey FOREIGN KEY (tenant_id, service_id) REFERENCES public.services(tenant_id, id);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.incident_facts
    ADD CONSTRAINT incident_facts_tenant_id_deployment_id_fkey FOREIGN KEY (tenant_id, deployment_id) REFERENCES public.deployments(tenant_id, id);

ALTER TABLE ONLY public.incident_facts
    ADD CONSTRAINT incident_facts_tenant_id_incident_id_fkey FOREIGN KEY (tenant_id, incident_id) REFERENCES public.incidents(tenant_id, id);

ALTER TABLE ONLY public.incident_facts
    ADD CONSTRAINT incident_facts_tenant_id_service_id_fkey FOREIGN KEY (tenant_id, service_id) REFERENCES public.services(tenant_id, id);

ALTER TABLE ONLY public.incident_progress
    ADD CONSTRAINT incident_progress_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.incident_states
    ADD CONSTRAINT incident_states_tenant_id_incident_id_fkey FOREIGN KEY (tenant_id, incident_id) REFERENCES public.incidents(tenant_id, id);

ALTER TABLE ONLY public.incidents
    ADD CONSTRAINT incidents_tenant_id_instance_id_fkey FOREIGN KEY (tenant_id, instance_id) REFERENCES public.instances(tenant_id, id);

ALTER TABLE ONLY public.incidents
    ADD CONSTRAINT incidents_tenant_id_named_deployment_id_fkey FOREIGN KEY (tenant_id, named_deployment_id) REFERENCES public.deployments(tenant_id, id);

ALTER TABLE ONLY public.incidents
    ADD CONSTRAINT incidents_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.incidents
    ADD CONSTRAINT incidents_tenant_id_service_id_fkey FOREIGN KEY (tenant_id, service_id) REFERENCES public.services(tenant_id, id);

ALTER TABLE ONLY public.incidents
    ADD CONSTRAINT incidents_tenant_id_set_deployment_id_fkey FOREIGN KEY (tenant_id, set_deployment_id) REFERENCES public.deployments(tenant_id, id);

ALTER TABLE ONLY public.incomplete_patterns
    ADD CONSTRAINT incomplete_patterns_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.message_channels
    ADD CONSTRAINT message_channels_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.message_plans
    ADD CONSTRAINT message_plans_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.open_commits
    ADD CONSTRAINT open_commits_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.pr_attributions
    ADD CONSTRAINT pr_attributions_tenant_id_author_id_fkey FOREIGN KEY (tenant_id, author_id) REFERENCES public.people(tenant_id, id);

ALTER TABLE ONLY public.pr_attributions
    ADD CONSTRAINT pr_attributions_tenant_id_membership_id_fkey FOREIGN KEY (tenant_id, membership_id) REFERENCES public.team_memberships(tenant_id, id);

ALTER TABLE ONLY public.pr_attributions
    ADD CONSTRAINT pr_attributions_tenant_id_pull_request_id_fkey FOREIGN KEY (tenant_id, pull_request_id) REFERENCES public.pull_requests(tenant_id, id);

ALTER TABLE ONLY public.pr_attributions
    ADD CONSTRAINT pr_attributions_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.pr_attributions
    ADD CONSTRAINT pr_attributions_tenant_id_team_id_fkey FOREIGN KEY (tenant_id, team_id) REFERENCES public.teams(tenant_id, id);

ALTER TABLE ONLY public.pr_deliveries
    ADD CONSTRAINT pr_deliveries_tenant_id_deployment_id_fkey FOREIGN KEY (tenant_id, deployment_id) REFERENCES public.deployments(tenant_id, id);

ALTER TABLE ONLY public.pr_deliveries
    ADD CONSTRAINT pr_deliveries_tenant_id_pull_request_id_fkey FOREIGN KEY (tenant_id, pull_request_id) REFERENCES public.pull_requests(tenant_id, id);

ALTER TABLE ONLY public.pr_deliveries
    ADD CONSTRAINT pr_deliveries_tenant_id_service_id_fkey FOREIGN KEY (tenant_id, service_id) REFERENCES public.services(tenant_id, id);

ALTER TABLE ONLY public.pull_request_files
    ADD CONSTRAINT pull_request_files_tenant_id_pull_request_id_fkey FOREIGN KEY (tenant_id, pull_request_id) REFERENCES public.pull_requests(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.pull_request_reviews
    ADD CONSTRAINT pull_request_reviews_tenant_id_pull_request_id_fkey FOREIGN KEY (tenant_id, pull_request_id) REFERENCES public.pull_requests(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.pull_request_reviews
    ADD CONSTRAINT pull_request_reviews_tenant_id_reviewer_id_fkey FOREIGN KEY (tenant_id, reviewer_id) REFERENCES public.people(tenant_id, id);

ALTER TABLE ONLY public.pull_request_services
    ADD CONSTRAINT pull_request_services_tenant_id_pull_request_id_fkey FOREIGN KEY (tenant_id, pull_request_id) REFERENCES public.pull_requests(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.pull_request_services
    ADD CONSTRAINT pull_request_services_tenant_id_service_id_fkey FOREIGN KEY (tenant_id, service_id) REFERENCES public.services(tenant_id, id);

ALTER TABLE ONLY public.pull_requests
    ADD CONSTRAINT pull_requests_tenant_id_author_id_instance_id_fkey FOREIGN KEY (tenant_id, author_id, instance_id) REFERENCES public.accounts(tenant_id, person_id, instance_id);

ALTER TABLE ONLY public.pull_requests
    ADD CONSTRAINT pull_requests_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.quarantined_pull_requests
    ADD CONSTRAINT quarantined_pull_requests_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id);

ALTER TABLE ONLY public.rate_limit_blocks
    ADD CONSTRAINT rate_limit_blocks_tenant_id_instance_id_fkey FOREIGN KEY (tenant_id, instance_id) REFERENCES public.instances(tenant_id, id);

ALTER TABLE ONLY public.rate_limit_remaining
    ADD CONSTRAINT rate_limit_remaining_tenant_id_instance_id_fkey FOREIGN KEY (tenant_id, instance_id) REFERENCES public.instances(tenant_id, id);

ALTER TABLE ONLY public.readers
    ADD CONSTRAINT readers_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.reattributions
    ADD CONSTRAINT reattributions_tenant_id_person_id_fkey FOREIGN KEY (tenant_id, person_id) REFERENCES public.people(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.reattributions
    ADD CONSTRAINT reattributions_tenant_id_team_id_fkey FOREIGN KEY (tenant_id, team_id) REFERENCES public.teams(tenant_id, id);

ALTER TABLE ONLY public.received_events
    ADD CONSTRAINT received_events_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.reopened_histories
    ADD CONSTRAINT reopened_histories_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.repositories
    ADD CONSTRAINT repositories_tenant_id_instance_id_fkey FOREIGN KEY (tenant_id, instance_id) REFERENCES public.instances(tenant_id, id);

ALTER TABLE ONLY public.retention
    ADD CONSTRAINT retention_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.service_owners
    ADD CONSTRAINT service_owners_tenant_id_added_in_fkey FOREIGN KEY (tenant_id, added_in) REFERENCES public.configurations(tenant_id, revision);

ALTER TABLE ONLY public.service_owners
    ADD CONSTRAINT service_owners_tenant_id_removed_in_fkey FOREIGN KEY (tenant_id, removed_in) REFERENCES public.configurations(tenant_id, revision);

ALTER TABLE ONLY public.service_owners
    ADD CONSTRAINT service_owners_tenant_id_service_id_fkey FOREIGN KEY (tenant_id, service_id) REFERENCES public.services(tenant_id, id);

ALTER TABLE ONLY public.service_owners
    ADD CONSTRAINT service_owners_tenant_id_team_id_fkey FOREIGN KEY (tenant_id, team_id) REFERENCES public.teams(tenant_id, id);

ALTER TABLE ONLY public.service_repositories
    ADD CONSTRAINT service_repositories_tenant_id_service_id_fkey FOREIGN KEY (tenant_id, service_id) REFERENCES public.services(tenant_id, id);

ALTER TABLE ONLY public.services
    ADD CONSTRAINT services_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.services
    ADD CONSTRAINT services_tenant_id_repository_id_fkey FOREIGN KEY (tenant_id, repository_id) REFERENCES public.repositories(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.team_memberships
    ADD CONSTRAINT team_memberships_tenant_id_added_in_fkey FOREIGN KEY (tenant_id, added_in) REFERENCES public.configurations(tenant_id, revision);

ALTER TABLE ONLY public.team_memberships
    ADD CONSTRAINT team_memberships_tenant_id_person_id_fkey FOREIGN KEY (tenant_id, person_id) REFERENCES public.people(tenant_id, id);

ALTER TABLE ONLY public.team_memberships
    ADD CONSTRAINT team_memberships_tenant_id_removed_in_fkey FOREIGN KEY (tenant_id, removed_in) REFERENCES public.configurations(tenant_id, revision);

ALTER TABLE ONLY public.team_memberships
    ADD CONSTRAINT team_memberships_tenant_id_team_id_fkey FOREIGN KEY (tenant_id, team_id) REFERENCES public.teams(tenant_id, id);

ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE public.accounts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.announcements ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.collection_results ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.collection_runs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.commits ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.configurations ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deployment_attempts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deployment_facts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deployment_failures ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deployment_lists ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deployment_progress ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deployment_revisions ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deployment_shares ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deployment_states ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deployments ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.incident_facts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.incident_progress ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.incident_states ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.incidents ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.incomplete_patterns ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.instances ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.message_channels ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.message_plans ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.messages ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.open_commits ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.people ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.pr_attributions ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.pr_deliveries ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.pull_request_files ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.pull_request_reviews ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.pull_request_services ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.pull_requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.quarantined_pull_requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.rate_limit_blocks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.rate_limit_remaining ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.reattributions ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.received_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.reopened_histories ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.repositories ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.retention ENABLE ROW LEVEL SECURITY;

CREATE POLICY rows_of_tenant ON public.accounts USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.announcements USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.collection_results USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.collection_runs USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.commits USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.configurations USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.deployment_attempts USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.deployment_facts USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.deployment_failures USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.deployment_lists USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.deployment_progress USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.deployment_revisions USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.deployment_shares USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.deployment_states USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.deployments USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.events USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.incident_facts USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.incident_progress USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.incident_states USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.incidents USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.incomplete_patterns USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.instances USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.message_channels USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.message_plans USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.messages USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.open_commits USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.people USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.pr_attributions USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.pr_deliveries USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.pull_request_files USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.pull_request_reviews USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.pull_request_services USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.pull_requests USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.quarantined_pull_requests USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.rate_limit_blocks USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.rate_limit_remaining USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.reattributions USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.received_events USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.reopened_histories USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.repositories USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.retention USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.service_owners USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.service_repositories USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.services USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.team_memberships USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY rows_of_tenant ON public.teams USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

ALTER TABLE public.service_owners ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.service_repositories ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.services ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.team_memberships ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.teams ENABLE ROW LEVEL SECURITY;

