/** What an address selects, and what the API is asked for it. Nothing here needs Vue, so that it is there before the page. */

/** The parts of an address that are passed to the API as they are. */
export const FILTERS = ['last', 'from', 'to', 'week', 'interval', 'repo', 'base', 'weighting', 'tz'] as const
export type FilterName = (typeof FILTERS)[number]
/** All parts of an address. */
export const PARTS = [...FILTERS, 'team', 'service', 'basis', 'environment', 'edition', 'failures', 'sort', 'with', 'state', 'missing', 'count', 'benchmark'] as const
export type Part = (typeof PARTS)[number]
export type Selection = Partial<Record<Part, string>>

/** The selection of a query, without parts that are empty or written twice. */
export function selectionOf(query: Record<string, unknown>): Selection {
  const selection: Selection = {}
  for (const part of PARTS) {
    const value = query[part]
    if (typeof value === 'string' && value !== '') selection[part] = value
  }
  return selection
}

/** The selection with changes; `undefined` takes a part out. A range replaces another one whole. */
export function changed(selection: Selection, changes: Selection): Selection {
  const next: Selection = { ...selection, ...changes }
  for (const part of PARTS) if (next[part] === undefined || next[part] === '') delete next[part]
  return next
}

/** The parts that say which days are shown. */
export const NO_RANGE: Selection = { last: undefined, from: undefined, to: undefined, week: undefined }

/** What a question about a team's pull requests takes. */
export function filtersOf(selection: Selection, ...left: FilterName[]): Record<string, string> {
  const filters: Record<string, string> = {}
  for (const name of FILTERS) {
    const value = selection[name]
    if (value !== undefined && !left.includes(name)) filters[name] = value
  }
  return filters
}

/** What is shown if the address does not say. */
const DEFAULT_LAST = 'P12W'

/** The filters, with the usual days if they name none. */
export function withDays(filters: Record<string, string>): Record<string, string> {
  const hasDays = ['last', 'from', 'week'].some((part) => part in filters)
  return hasDays ? filters : { ...filters, last: DEFAULT_LAST }
}

/** What the screen Overview asks: its tiles compare whole weeks, unless a range is chosen. */
export const OVERVIEW = {
  summary: (selection: Selection) => filtersOf(selection, 'interval'),
  velocity: (selection: Selection) => withDays(filtersOf(selection)),
}

/** The path of a question about a team, relative to the API. */
export const teamPath = (slug: string | undefined, what: string): string => `metrics/team/${encodeURIComponent(slug ?? '')}/${what}`

interface Team {
  id: number
  slug: string
  name: string
  archived_at: string | null
}

/** Teams that are not archived, by name. */
export const current = <T extends Team>(teams: readonly T[]): T[] => teams.filter((team) => team.archived_at === null).sort((a, b) => a.name.localeCompare(b.name))

/** The team that an address names, else the first one. */
export function teamOf<T extends Team>(teams: readonly T[], named: string | undefined): T | undefined {
  if (named === undefined) return current(teams)[0]
  return teams.find((it) => it.slug === named || String(it.id) === named)
}
