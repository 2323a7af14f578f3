/** How far a calendar unit can be trusted, and how that is drawn and said. */

export type Completeness = 'complete' | 'running' | 'partly_read' | 'not_read' | 'outside_range'

/** The first of the reasons that decides how a unit is drawn. */
const DRAWN_BY: Completeness[] = ['outside_range', 'not_read', 'partly_read', 'running']

/** How a unit with these reasons is drawn. */
export function completenessOf(incomplete: readonly string[]): Completeness {
  return DRAWN_BY.find((reason) => incomplete.includes(reason)) ?? (incomplete.length > 0 ? 'partly_read' : 'complete')
}

/** Why a number is not final, in words. */
export const SENTENCES: Record<string, string> = {
  running: 'This period is not over, so the number may change.',
  partly_read: 'Not everything was read: at least this many.',
  not_read: 'Nothing of it was read.',
  quarantined: 'Pull requests that could not be read may be missing.',
  outside_range: 'Only a part of it is in the range.',
  deployments_not_read: 'Its deployments were not all read.',
  incidents_not_read: 'Its incidents were not all read.',
}

const LOOKS: Partial<Record<Completeness, string>> = {
  running: 'Dashed: not over.',
  partly_read: 'Hatched: not everything was read, at least this many.',
  not_read: 'Grey: nothing was read.',
  outside_range: 'Pale: only a part is in the range.',
}

/** How what is not final looks, once for a chart. */
export function looks(units: readonly { incomplete: readonly string[] }[]): string {
  const seen = new Set(units.map((unit) => completenessOf(unit.incomplete)))
  return DRAWN_BY.filter((it) => seen.has(it)).map((it) => LOOKS[it] ?? '').join(' ')
}

export const sentences = (incomplete: readonly string[]): string =>
  incomplete.map((reason) => SENTENCES[reason] ?? reason).join(' ')

/** Why a duration is not final, in words: more pull requests may make it longer or shorter. */
export const mayChange = (incomplete: readonly string[]): string =>
  incomplete.map((reason) => (reason === 'partly_read' ? 'Not everything was read: it may change.' : (SENTENCES[reason] ?? reason))).join(' ')

/** What stands beside a count that is not final. */
export function bound(incomplete: readonly string[]): 'at least' | 'so far' | undefined {
  if (incomplete.some((reason) => !['running', 'outside_range'].includes(reason))) return 'at least'
  return incomplete.includes('running') ? 'so far' : undefined
}
