import { askAhead } from './ahead'
import { say } from './say'
import './style.css'

const RELOADED = 'mergeline.reloaded'
// A part of the page that is not there any more belongs to a version that was replaced: the new one has it under another name.
window.addEventListener('vite:preloadError', (event) => {
  const last = Number(sessionStorage.getItem(RELOADED) ?? 0)
  // Not again and again, if it is missing for another reason.
  if (!navigator.onLine || Date.now() - last < 60_000) return
  event.preventDefault()
  sessionStorage.setItem(RELOADED, String(Date.now()))
  location.reload()
})

askAhead().catch(() => undefined)
import('./app').then(({ start }) => start()).catch(say)
