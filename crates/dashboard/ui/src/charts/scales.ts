/** Scales of the charts. */

import { scaleLinear, scaleLog, type ScaleLinear, type ScaleLogarithmic } from 'd3-scale'

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
