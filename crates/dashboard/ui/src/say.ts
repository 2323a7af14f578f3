/** Says that the page could not start, if nothing else is drawn. */
export function say(error: unknown): void {
  const place = document.getElementById('app')
  if (!place || place.childElementCount > 0) return
  const text = document.createElement('p')
  text.setAttribute('role', 'alert')
  text.style.padding = '24px'
  text.textContent = `The page could not start: ${error instanceof Error ? error.message : String(error)}`
  place.append(text)
}
