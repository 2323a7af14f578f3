/** The orders of the list of pull requests, by their names in the address. */

export type Column = 'title' | 'time' | 'weight' | 'when'
export interface Order {
  /** None for the order of the API's answer. */
  by: Column | undefined
  down: boolean
}

const ORDERS: Record<string, Order> = {
  newest: { by: 'when', down: true },
  oldest: { by: 'when', down: false },
  longest: { by: 'time', down: true },
  shortest: { by: 'time', down: false },
  largest: { by: undefined, down: true },
  'largest-share': { by: 'weight', down: true },
  'smallest-share': { by: 'weight', down: false },
  'a-to-z': { by: 'title', down: false },
  'z-to-a': { by: 'title', down: true },
}
const OF_API = ['newest', 'oldest', 'longest', 'largest']

/** The order that an address names; without one, what was merged last, or what has waited longest. */
export function orderOf(sort: string | undefined, isOpen: boolean): Order {
  const order = sort === undefined ? undefined : ORDERS[sort]
  return order ?? ORDERS[isOpen ? 'oldest' : 'newest']!
}

/** The name of the order after a click on a column: the other way round, or first what people look for. */
export function nextSort(now: Order, by: Column): string {
  const down = now.by === by ? !now.down : by !== 'title'
  return Object.keys(ORDERS).find((name) => ORDERS[name]!.by === by && ORDERS[name]!.down === down)!
}

/** The order that the API can be asked for. */
export const sortOfApi = (sort: string | undefined): string | undefined => (OF_API.includes(sort ?? '') ? sort : undefined)
