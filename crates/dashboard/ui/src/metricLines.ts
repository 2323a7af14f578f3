/** From what somebody chooses to the lines of the teams file that define a metric. The choices are those of the file's schema. */

export type Kind = 'texts' | 'time' | 'size' | 'flag' | 'state'
/** Made from docs/teams.schema.json when the page is built. */
declare const METRIC_CHOICES: {
  id: string
  time: string
  of: Record<string, { fields: string[]; states: string[]; measures: string[]; hasBasis: boolean }>
  basis: string[]
  statistic: string[]
  by: string[]
  fields: Record<string, Kind>
}
export const CHOICES = METRIC_CHOICES

/** Where a condition is written, and how it is called. */
export const PLACES = { when: 'which have', 'when.not': 'which do not have', than: 'of those which have', 'than.not': 'of those which do not have' } as const
export interface Condition {
  place: keyof typeof PLACES
  field: string
  bound: 'at_least' | 'at_most'
  value: string
}
export interface Chosen {
  id: string
  name: string
  of: string
  basis: string
  statistic: string
  measure: string
  by: string
  conditions: Condition[]
}

export const isShare = (statistic: string): boolean => statistic === 'share'
/** Whether a statistic is one of a measure. */
export const hasMeasure = (statistic: string): boolean => !['count', 'weight', 'share'].includes(statistic)
/** What things may be asked. `not` says nothing about how they ended. */
export const fieldsIn = (of: string, place: Condition['place']): string[] => CHOICES.of[of]!.fields.filter((field) => !place.endsWith('not') || CHOICES.fields[field] !== 'state')
export const isRange = (field: string): boolean => ['time', 'size'].includes(CHOICES.fields[field]!)

type Node = string | number | boolean | string[] | { [key: string]: Node }

/** On one line. What JSON writes, YAML reads. */
function flow(node: Node, isPlain = false): string {
  if (Array.isArray(node)) return `[${node.map((it) => flow(it, isPlain)).join(', ')}]`
  if (typeof node === 'object') {
    const entries = Object.entries(node).map(([key, value]) => `${key}: ${flow(value, isPlain || key === 'state' || key.startsWith('at_'))}`)
    return entries.length ? `{ ${entries.join(', ')} }` : '{}'
  }
  return typeof node === 'string' && !isPlain ? JSON.stringify(node) : String(node)
}

function valueOf({ field, bound, value }: Condition, before: Node | undefined): Node | undefined {
  const texts = value.split(',').map((it) => it.trim()).filter(Boolean)
  switch (CHOICES.fields[field]) {
    case 'texts':
    case 'state':
      return texts.length ? [...((before as string[]) ?? []), ...texts] : undefined
    case 'flag':
      return value === 'true'
    default: {
      const isTime = CHOICES.fields[field] === 'time'
      const fits = new RegExp(isTime ? CHOICES.time : '^[0-9]{1,8}$').test(value)
      return fits ? { ...(before as object), [bound]: isTime ? value : Number(value) } : undefined
    }
  }
}

/** The lines, or what is missing for them. */
export function linesOf(chosen: Chosen): { lines: string } | { missing: string } {
  const { id, of, statistic, measure, by } = chosen
  const name = chosen.name.trim()
  if (id.length > 63 || !new RegExp(CHOICES.id).test(id)) return { missing: 'It needs an id of a to z, digits and hyphens, such as docs-share.' }
  if (hasMeasure(statistic) && !CHOICES.of[of]!.measures.includes(measure)) return { missing: 'This statistic needs a measure.' }
  const parts: Record<'when' | 'than', { [key: string]: Node }> = { when: {}, than: {} }
  for (const condition of chosen.conditions) {
    const [part, not] = condition.place.split('.') as ['when' | 'than', 'not'?]
    if (part === 'than' && !isShare(statistic)) continue
    const target = not ? ((parts[part].not ??= {}) as { [key: string]: Node }) : parts[part]
    const value = valueOf(condition, target[condition.field])
    if (value === undefined) return { missing: `“${condition.field}” needs a value${isRange(condition.field) ? (CHOICES.fields[condition.field] === 'time' ? ', such as 4h or 7d' : ', a whole number') : ''}.` }
    target[condition.field] = value
  }
  if (isShare(statistic) && !Object.keys(parts.when).length) return { missing: 'A share needs a condition: which part is meant?' }
  const lines = [
    `- id: ${id}`,
    name && `  name: ${flow(name)}`,
    `  of: ${of}`,
    CHOICES.of[of]!.hasBasis && chosen.basis !== CHOICES.basis[0] && `  basis: ${chosen.basis}`,
    `  statistic: ${statistic}`,
    hasMeasure(statistic) && `  measure: ${measure}`,
    Object.keys(parts.when).length > 0 && `  when: ${flow(parts.when)}`,
    isShare(statistic) && `  than: ${flow(parts.than)}`,
    `  by: ${by}`,
  ]
  return { lines: ['metrics:', ...lines.filter(Boolean).map((line) => `  ${line as string}`)].join('\n') }
}
