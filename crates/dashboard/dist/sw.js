// Keeps the page's own files, so that it opens without a network. Answers of the API are not its business.

const PAGE = new URL('.', self.location.href).pathname
const CACHE = `mergeline-page ${PAGE}`
/** What the page is made of, relative to this file. The rest is named in files.json, which the build writes. */
const ALWAYS = ['./', 'config.json', 'icon.svg', 'manifest.webmanifest']

/** Puts a file away; names with a digest may come from the browser's cache. */
async function keep(cache, address) {
  const response = await fetch(address, { cache: address.includes('/assets/') ? 'default' : 'no-cache' })
  if (response.ok) await cache.put(address, response)
}

/** Puts all files of this version away, and drops those of others. */
async function keepAll() {
  const cache = await caches.open(CACHE)
  const response = await fetch('files.json', { cache: 'no-cache' })
  if (!response.ok) return
  const built = Object.values(await response.json())
  const assets = built.flatMap((it) => [it.file, ...(it.css ?? [])]).filter((file) => file.startsWith('assets/'))
  const wanted = new Set(assets.map((file) => new URL(file, self.registration.scope).href))
  for (const request of await cache.keys()) {
    if (request.url.includes('/assets/') && !wanted.has(request.url)) await cache.delete(request)
  }
  // A name with a digest stands for the same bytes for good.
  for (const address of wanted) if (!(await cache.match(address))) await keep(cache, address)
  for (const file of ALWAYS) await keep(cache, new URL(file, self.registration.scope).href)
}

self.addEventListener('install', (event) => event.waitUntil(keepAll().then(() => self.skipWaiting())))
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()))

self.addEventListener('fetch', (event) => {
  const { request } = event
  const scope = self.registration.scope
  if (request.method !== 'GET' || !request.url.startsWith(scope)) return
  const file = request.url.slice(scope.length).replace(/[?#].*/, '')
  if (file.startsWith('assets/')) {
    event.respondWith(caches.match(request.url).then((kept) => kept ?? fetch(request)))
  } else if (file === '' || ALWAYS.includes(file)) {
    event.respondWith(fresh(scope + file, request, event))
  } else if (file === 'login') {
    // Somebody else may be about to log in. What the page kept is gone before it is known who.
    event.waitUntil(caches.delete(`mergeline-data ${PAGE}`))
  }
})

/** The file as it is now; without a network, as it was. */
async function fresh(address, request, event) {
  const cache = await caches.open(CACHE)
  const kept = await cache.match(address)
  try {
    const response = await fetch(request)
    // Another page means other files, which are put away behind it.
    if (response.ok && address === self.registration.scope && kept?.headers.get('etag') !== response.headers.get('etag')) {
      event.waitUntil(keepAll())
    } else if (response.ok) {
      event.waitUntil(cache.put(address, response.clone()))
    }
    return response
  } catch (error) {
    if (kept) return kept
    throw error
  }
}
