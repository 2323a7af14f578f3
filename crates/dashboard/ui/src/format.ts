/** How numbers, durations and days are written. The locale is the browser's: naming one could be refused by it. */

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 })
const weights = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 })
const tenths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 })
const percents = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 })

/** A count. */
export const count = (value: number): string => whole.format(value)
/** A sum of weights. */
export const weight = (value: number): string => weights.format(value)
/** A number with at most one decimal. */
export const tenth = (value: number): string => tenths.format(value)
/** A share of one. */
export const percent = (share: number): string => percents.format(share)

/** `1 pull request`, `2 pull requests`. */
export function many(value: number, one: string, several = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : several}`
}

/** A duration as people say it, from hours: `14 min`, `16.5 h`, `2.2 days`, `5.1 weeks`. */
export function duration(hours: number): string {
  const minutes = hours * 60
  if (minutes < 1) return 'under a minute'
  if (minutes < 60) return `${whole.format(minutes)} min`
  if (hours < 48) return `${tenths.format(hours)} h`
  const days = hours / 24
  if (days < 21) return `${tenths.format(days)} days`
  return `${tenths.format(days / 7)} weeks`
}

/** The same in few letters, for axes: `15 min`, `4 h`, `3 d`, `4 w`. */
export function shortDuration(hours: number): string {
  if (hours < 1) return `${whole.format(hours * 60)} min`
  if (hours < 24) return `${tenths.format(hours)} h`
  const days = hours / 24
  return days < 7 ? `${tenths.format(days)} d` : `${tenths.format(days / 7)} w`
}

/** A calendar day such as `2026-06-01`, which is the same day everywhere. */
function calendarDay(day: string): Date {
  return new Date(`${day}T00:00:00Z`)
}

export const DAY = 86_400_000
/** The day so many days later. */
export const moved = (day: string, by: number): string => new Date(Date.parse(day) + by * DAY).toISOString().slice(0, 10)
const inUtc = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(undefined, { timeZone: 'UTC', ...options })
const dayOfMonth = inUtc({ month: 'short', day: 'numeric' })
const dayWithYear = inUtc({ year: 'numeric', month: 'short', day: 'numeric' })
const monthOfYear = inUtc({ year: 'numeric', month: 'short' })

/** `Nov 2`. */
export const day = (text: string): string => dayOfMonth.format(calendarDay(text))
/** `Nov 2, 2026`. */
export const fullDay = (text: string): string => dayWithYear.format(calendarDay(text))

/** A half open range of days as people say it: `Nov 2 to 8`, `Nov 2 to Dec 6`. */
export function days(from: string, to: string): string {
  const [first, last] = [calendarDay(from), new Date(calendarDay(to).getTime() - DAY)]
  if (last <= first) return dayWithYear.format(first)
  return dayWithYear.formatRange(first, last)
}

/** A calendar unit: `Nov 2 to 8`, `Nov 2026`, `Q4 2026`, `Nov 2`. */
export function bucketName(interval: string, start: string, end: string): string {
  if (interval === 'day') return fullDay(start)
  if (interval === 'month') return monthOfYear.format(calendarDay(start))
  if (interval === 'quarter') {
    const first = calendarDay(start)
    return `Q${Math.floor(first.getUTCMonth() / 3) + 1} ${first.getUTCFullYear()}`
  }
  return days(start, end)
}

/** An instant in a zone: `Nov 2, 2026, 3:04 PM`. */
export function instant(text: string, zone?: string): string {
  const options: Intl.DateTimeFormatOptions = { dateStyle: 'medium', timeStyle: 'short' }
  try {
    return new Intl.DateTimeFormat(undefined, { ...options, timeZone: zone }).format(new Date(text))
  } catch {
    // A zone that the browser does not know.
    return new Intl.DateTimeFormat(undefined, { ...options, timeZone: 'UTC' }).format(new Date(text))
  }
}

/** Hours since an instant. */
export const hoursSince = (text: string, now: number): number => Math.max(0, now - Date.parse(text)) / 3_600_000

/** `3 min ago`. */
export const ago = (text: string, now: number): string => `${duration(hoursSince(text, now))} ago`
