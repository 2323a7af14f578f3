import { QueryClient, VueQueryPlugin } from '@tanstack/vue-query'
import { createApp } from 'vue'
import App from './App.vue'
import { ApiFailure, loadConfig } from './api/client'
import { askAhead } from './api/queries'
import { keepPage } from './offline'
import { router } from './router'
import './style.css'

/** Says that the page could not start, if nothing else is drawn. */
function say(error: unknown): void {
  const place = document.getElementById('app')
  if (!place || place.childElementCount > 0) return
  const text = document.createElement('p')
  text.setAttribute('role', 'alert')
  text.style.padding = '24px'
  text.textContent = `The page could not start: ${error instanceof Error ? error.message : String(error)}`
  place.append(text)
}

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: Infinity,
      refetchOnWindowFocus: false,
      // Without a network, questions are asked too: their last answers may be kept.
      networkMode: 'always',
      // Only what may be different next time is asked again.
      retry: (count, error) => count < 2 && error instanceof ApiFailure && (error.status === 0 || error.status >= 500 || error.status === 429),
    },
  },
})

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

loadConfig()
  .then(() => {
    askAhead(client)
    const app = createApp(App)
    app.config.errorHandler = (error) => {
      console.error(error)
      say(error)
    }
    app.use(router).use(VueQueryPlugin, { queryClient: client }).mount('#app')
    keepPage().catch(console.warn)
    window.addEventListener('online', () => void client.invalidateQueries())
  })
  .catch(say)
