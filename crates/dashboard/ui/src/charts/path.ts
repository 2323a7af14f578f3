/** The path of a line through points, with a gap where one is missing. A single point between gaps draws nothing. */
export function path(points: ({ x: number; y: number } | null)[]): string {
  let text = ''
  points.forEach((point, index) => {
    if (point === null) return
    text += `${index === 0 || points[index - 1] === null ? 'M' : 'L'}${point.x.toFixed(1)},${point.y.toFixed(1)}`
  })
  return text
}
