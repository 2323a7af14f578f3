/** From the API's buckets to what charts draw and say. */

import type { RouteLocationRaw } from 'vue-router'
import type { Schemas } from './api/client'
import type { Bar } from './charts/Bars.vue'
import { sentences } from './charts/buckets'
import type { Unit } from './charts/Durations.vue'
import { bucketName, count, day, DAY, duration, many, moved, weight } from './format'

type Bucket = Pick<Schemas['VelocityBucket'], 'bucket' | 'start' | 'end' | 'incomplete' | 'prs_merged' | 'prs_merged_weighted' | 'cycle_time' | 'suppressed'>
export type Days = { from: string; to: string }
export type ListOf = (days: Days) => RouteLocationRaw | undefined

/** Instead of a list that its reader may not see. */
export const NO_LISTS = 'This needs the permission to see single pull requests (prs:read). Ask an admin for it.'
/** Instead of an empty list of days that were not read. */
export const NOTHING_READ = 'Nothing of these days was read.'

/** Whether none of the days were read: an empty list of them says nothing. */
export function isUnread(meta: { coverage: { since: string | null }; range?: { to: string } } | undefined): boolean {
  if (meta === undefined) return false
  const { since } = meta.coverage
  return since === null || (meta.range !== undefined && meta.range.to <= since.slice(0, 10))
}

/** The days of a bucket that are in the range. */
export const within = (bucket: { start: string; end: string }, range: Days): Days => ({
  from: bucket.start < range.from ? range.from : bucket.start,
  to: bucket.end > range.to ? range.to : bucket.end,
})

/** `half within 16 h, nine of ten within 2.2 days`. */
export function percentiles(statistics: { p50_hours: number | null; p90_hours: number | null }): string {
  const { p50_hours: half, p90_hours: most } = statistics
  if (half === null) return 'no duration'
  return `half within ${duration(half)}${most === null ? '' : `, nine of ten within ${duration(most)}`}`
}

/** From where to where a median may be by chance (`median_interval@1`). */
export function byChance(ends: readonly number[] | null | undefined): string {
  const [from, to] = ends ?? []
  return from === undefined || to === undefined ? '' : `${duration(from)} to ${duration(to)}`
}

export function bars(buckets: Bucket[], interval: string, range: Days, list: ListOf): Bar[] {
  return buckets.map((bucket) => {
    const name = bucketName(interval, bucket.start, bucket.end)
    const isWeighted = bucket.prs_merged_weighted !== bucket.prs_merged
    const shares = isWeighted ? `, ${weight(bucket.prs_merged_weighted)} by share` : ''
    return {
      name,
      short: interval === 'week' || interval === 'day' ? day(bucket.start) : name,
      value: bucket.prs_merged_weighted,
      plain: bucket.prs_merged,
      incomplete: bucket.incomplete,
      text: `${name}: ${many(bucket.prs_merged, 'pull request')} merged${shares}. ${sentences(bucket.incomplete)}`,
      to: list(within(bucket, range)),
    }
  })
}

export function units(buckets: Bucket[], interval: string, range: Days, list: ListOf): Unit[] {
  return buckets.map((bucket) => {
    const name = bucketName(interval, bucket.start, bucket.end)
    const { n, p50_hours: p50, p75_hours: p75, p90_hours: p90 } = bucket.cycle_time
    const hidden = 'hidden, because it would show what few people did'
    const said = bucket.suppressed ? hidden : n === 0 ? 'none merged' : `${percentiles(bucket.cycle_time)} (${count(n)})`
    return {
      name,
      short: interval === 'week' || interval === 'day' ? day(bucket.start) : name,
      n,
      p50,
      p75,
      p90,
      incomplete: bucket.incomplete,
      text: `${name}: ${said}. ${sentences(bucket.incomplete)}`,
      to: list(within(bucket, range)),
    }
  })
}

/** What a period is compared with: `the 4 weeks before`, or `the same 4 weeks a year before`. */
export function before(period: Days, how?: string): string {
  const length = Math.round((Date.parse(period.to) - Date.parse(period.from)) / DAY)
  const [amount, unit] = length % 7 === 0 ? [length / 7, 'week'] : [length, 'day']
  const name = amount === 1 ? unit : many(amount, unit)
  return how === 'year' ? `the same ${name} a year before` : `the ${name} before`
}

/** As many days, just before. */
export function daysBefore(period: Days): Days {
  return { from: moved(period.from, -Math.round((Date.parse(period.to) - Date.parse(period.from)) / DAY)), to: period.from }
}

/** The same days of the week a year before. */
export function yearBefore(period: Days): Days {
  return { from: moved(period.from, -364), to: moved(period.to, -364) }
}

export type Compared = Pick<Schemas['Summary'], 'period' | 'previous' | 'change'>

/** The same numbers beside those of other days than the ones before. */
export function beside<T extends Compared>(summary: T, previous: Compared['previous']): T {
  const { period } = summary
  const less = (now: number | null, then: number | null) => (now === null || then === null ? null : now - then)
  const change = {
    prs_merged: period.prs_merged - previous.prs_merged,
    prs_merged_weighted: period.prs_merged_weighted - previous.prs_merged_weighted,
    cycle_time_p50_hours: less(period.cycle_time.p50_hours, previous.cycle_time.p50_hours),
    cycle_time_p90_hours: less(period.cycle_time.p90_hours, previous.cycle_time.p90_hours),
  }
  return { ...summary, previous, change: period.complete && previous.complete ? change : null }
}

/** Days that numbers cannot stand beside. */
export const notRead = (days: string): string => `Not compared: ${days} ${/^the (same )?(week|day) /.test(days) ? 'was' : 'were'} not read completely`

/** Why two periods are not compared. */
export function notCompared(summary: Pick<Schemas['Summary'], 'period' | 'previous'>, before = 'the days before'): string {
  if (summary.period.incomplete.includes('running')) return 'Not compared: these days are not over'
  return notRead(summary.period.complete ? before : 'these days')
}

/** `3 more than the 4 weeks before`; without a change, why there is none, and nothing if none is wanted. */
export function difference(change: number | undefined, before: string | undefined, why: string): string {
  if (before === undefined) return ''
  if (change === undefined) return why
  if (change === 0) return `As many as in ${before}`
  const amount = weight(Math.abs(change))
  return `${amount} ${change > 0 ? 'more' : 'fewer'} than in ${before}`
}

/** `2.1 h longer than the 4 weeks before`. */
export function longer(hours: number | null | undefined, before: string | undefined, why: string): string {
  if (before === undefined) return ''
  if (hours === undefined) return why
  if (hours === null) return `Not compared: none had a duration in these days or ${before}`
  if (Math.abs(hours) < 1 / 60) return `As long as in ${before}`
  return `${duration(Math.abs(hours))} ${hours > 0 ? 'longer' : 'shorter'} than in ${before}`
}

export const PHASES = [
  { name: 'coding', title: 'Coding', says: 'first commit to opening' },
  { name: 'pickup', title: 'Waiting for first review', says: 'opening to first review' },
  { name: 'review', title: 'Review', says: 'first review to merge' },
  { name: 'deploy', title: 'Waiting for production', says: 'merge to production' },
] as const

/** Why durations are hidden. */
export const hidden = (least: number | undefined): string =>
  `Of fewer than ${least ? many(least, 'person', 'people') : 'the required number of people'}, so it is hidden: it would show what single people did.`

/** What to do while nothing, or not all, was collected. */
export function collecting(coverage: Schemas['Coverage']): string | undefined {
  const { collected, counts } = coverage.repositories
  if (collected + counts.pending + counts.failing === 0) return 'Nothing was collected yet. Name repositories in the teams file, set GITHUB_PAT, and run “mergeline collect”.'
  if (coverage.since !== null && counts.pending === 0) return undefined
  if (counts.failing > 0) return 'Some repositories are not completely collected, and some fail. The screen “Data” says which and why; after that is solved, run “mergeline collect” again.'
  return 'Repositories are still being collected, so numbers grow. The screen “Data” shows how far each is. If no collection is running, start one: “mergeline collect”.'
}

/** What changed, in one sentence: the largest change that is more than chance would often give. */
export function headline(summary: Schemas['Summary'], before: string | undefined): string {
  const { period, previous, change } = summary
  if (period.prs_merged === 0 && period.complete) return 'Nothing was merged in these days.'
  if (period.incomplete.includes('not_read')) return 'Nothing of these days was read.'
  if (before === undefined) return `${many(period.prs_merged, 'pull request')} merged: ${percentiles(period.cycle_time)}.`
  if (!change) return `${notCompared(summary, before)}.`
  const [now, then] = [period.prs_merged, previous.prs_merged]
  // Counts of rare events vary by about their square root.
  const isUsual = Math.abs(now - then) <= 2 * Math.sqrt(Math.max(now + then, 1))
  const numbers = `${count(now)} and ${count(then)}`
  const counts = isUsual ? `${many(now, 'pull request')} merged, and ${count(then)} in ${before}: within the usual variation` : `${now > then ? 'More' : 'Fewer'} pull requests merged than in ${before} (${numbers})`
  const [half, halfBefore] = [period.cycle_time.p50_hours, previous.cycle_time.p50_hours]
  if (half === null || halfBefore === null || period.cycle_time.n < 6 || previous.cycle_time.n < 6) return `${counts}.`
  const ratio = half / halfBefore
  if (ratio > 1.5) return `${counts}; pull requests took longer: half within ${duration(half)} instead of ${duration(halfBefore)}.`
  if (ratio < 1 / 1.5) return `${counts}; pull requests were faster: half within ${duration(half)} instead of ${duration(halfBefore)}.`
  return `${counts}. Half merged within ${duration(half)}, compared with ${duration(halfBefore)} before.`
}

/** Why a merged pull request is not in production. */
export const NOT_DELIVERED: Record<keyof Schemas['NotDelivered'], string> = {
  not_deployed_yet: 'not deployed yet',
  before_first_deployment: 'merged before the first known deployment',
  no_source: 'no source reports deployments',
  unknown_history: 'the commits cannot be read',
  not_collected: 'not read yet',
  no_service: 'belongs to no service',
}

/** Why a deployment is a failed one. */
export const FAILURES: Record<keyof Schemas['FailureReasons'], string> = {
  incident: 'an incident',
  rolled_back: 'rolled back',
  reverted: 'reverted',
  failed_afterwards: 'failed afterwards',
  declared: 'declared as failed',
}
