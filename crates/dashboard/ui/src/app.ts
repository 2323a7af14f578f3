import { QueryClient, VueQueryPlugin } from '@tanstack/vue-query'
import { createApp } from 'vue'
import App from './App.vue'
import { forgetAhead, loadConfig } from './ahead'
import { ApiFailure, config } from './api/client'
import { keepPage } from './offline'
import { router } from './router'
import { say } from './say'

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

export async function start(): Promise<void> {
  config.value = await loadConfig()
  // Answers that arrived while this was read lead to the next questions, which are then on their way while the page is drawn.
  await new Promise((done) => setTimeout(done))
  const app = createApp(App)
  app.config.errorHandler = (error) => {
    console.error(error)
    say(error)
  }
  app.use(router).use(VueQueryPlugin, { queryClient: client }).mount('#app')
  keepPage().catch(console.warn)
  window.addEventListener('online', () => void client.invalidateQueries())
  setTimeout(forgetAhead, 10_000)
}
