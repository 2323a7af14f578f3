/** Which version of the data is on the screen. */

/** An answer about numbers, and its version. */
export interface Seen {
  address: string
  etag: string
}

/** The oldest answer that may be shown. A newer one would hide a change that came before it. */
let oldest: Seen | undefined

export const seen = (): Seen | undefined => oldest

/** Everything is asked again: the next answer is the oldest. */
export function forgetSeen(): void {
  oldest = undefined
}

/** Remembers an answer, if it is the first one. Only those about numbers change with all data. */
export function see(address: string, etag: string | null): void {
  if (oldest === undefined && etag !== null && address.includes('/metrics/')) oldest = { address, etag }
}
