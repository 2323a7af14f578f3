/** What `d3-scale` takes from `d3-interpolate`, for numbers only: colors, dates and texts are never interpolated here, and would weigh 5 kB. */

export const interpolateNumber = (from: number, to: number) => (part: number): number => from * (1 - part) + to * part
export const interpolateRound = (from: number, to: number) => (part: number): number => Math.round(from * (1 - part) + to * part)
export const interpolate = interpolateNumber
/** Asked for by scales that this page has none of; the build leaves it out. */
export const piecewise = interpolateNumber
