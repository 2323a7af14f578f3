/** What `d3-scale` takes from `d3-format`, to write ticks: charts write them themselves, so none of this is called, and it would weigh 2 kB. */

const unused = (): never => {
  throw new Error('Ticks are written by format.ts.')
}
export { unused as format, unused as formatPrefix, unused as formatSpecifier, unused as precisionFixed, unused as precisionPrefix, unused as precisionRound }
