/** Scales of the charts. */

import { scaleLinear, scaleLog, type ScaleLinear, type ScaleLogarithmic } from 'd3-scale'
import { DAY } from '../format'

/** Durations that people think in, in hours. */
const DURATIONS = [0.25, 1, 4, 24, 72, 168, 672, 2688]

export interface Axis<Scale> {
  scale: Scale
  ticks: number[]
}

/** A logarithmic scale for durations in hours, over all values: one pull request of nine weeks flattens a linear one. */
export function durationAxis(hours: number[], range: [number, number]): Axis<ScaleLogarithmic<number, number>> {
  const shown = hours.filter((value) => value > 0)
  const least = Math.min(...shown, 24)
  const most = Math.max(...shown, 24)
  const low = DURATIONS.findLast((tick) => tick <= least) ?? Math.max(least, 1 / 60)
  const high = DURATIONS.find((tick) => tick >= most) ?? most
  const domain: [number, number] = [low, high > low ? high : low * 4]
  return {
    scale: scaleLog().domain(domain).range(range).clamp(true),
    ticks: DURATIONS.filter((tick) => tick >= domain[0] && tick <= domain[1]),
  }
}

/** A scale from zero, with whole ticks. */
export function countAxis(values: number[], range: [number, number]): Axis<ScaleLinear<number, number>> {
  const scale = scaleLinear().domain([0, Math.max(...values, 1)]).range(range).nice(4)
  return { scale, ticks: scale.ticks(4).filter(Number.isInteger) }
}

/** Where the units of a chart stand, and every how many of them there is room for a name. */
export function columns(width: number, count: number, left: number, right: number) {
  const step = (width - left - right) / Math.max(count, 1)
  return { step, middle: (index: number) => left + step * (index + 0.5), every: Math.max(1, Math.ceil(56 / step)) }
}

/** A scale for the days of a range. `scaleUtc` would bring years to milliseconds along, which weigh 8 kB. */
export const timeScale = (range: { from: string; to: string }, from: number, to: number): ScaleLinear<number, number> =>
  scaleLinear([Date.parse(range.from), Date.parse(range.to)], [from, to])

/** Days between two ticks. */
const STEPS = [1, 2, 7, 14, 28, 56, 91, 182, 364]
/** A Monday, so that steps of whole weeks begin with the week. */
const MONDAY = Date.UTC(1970, 0, 5)

/** The days to name between two instants, at most so many; a leap of weeks begins on Mondays. */
export function dayTicks(from: number, to: number, most: number): number[] {
  const step = DAY * (STEPS.find((days) => (to - from) / (days * DAY) < most) ?? STEPS.at(-1)!)
  const ticks: number[] = []
  for (let tick = MONDAY + Math.ceil((from - MONDAY) / step) * step; tick <= to; tick += step) ticks.push(tick)
  return ticks
}
