/** The screens. Behind `#`, so that no path below the page has to exist. */

import { createRouter, createWebHashHistory } from 'vue-router'
import { part } from './later'
import Overview from './screens/Overview.vue'

export const SCREENS = [
  { path: 'overview', name: 'Overview' },
  { path: 'delivery', name: 'Delivery' },
  { path: 'lead-time', name: 'Lead time' },
  { path: 'insight', name: 'Insight' },
  { path: 'pull-requests', name: 'Pull requests' },
  { path: 'teams', name: 'Teams' },
  { path: 'services', name: 'Services' },
  { path: 'data', name: 'Data' },
] as const

export const router = createRouter({
  history: createWebHashHistory(),
  routes: [
    { path: '/', redirect: (to) => ({ path: '/overview', query: to.query }) },
    { path: '/overview', component: Overview },
    { path: '/delivery', component: part('Delivery') },
    { path: '/lead-time', component: part('LeadTime') },
    { path: '/insight', component: part('Insight') },
    { path: '/pull-requests', component: part('PullRequests') },
    { path: '/teams', component: part('Teams') },
    { path: '/services', component: part('Services') },
    { path: '/data', component: part('Data') },
    { path: '/:rest(.*)*', redirect: '/overview' },
  ],
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? false : { top: 0 }),
})

router.afterEach((to) => {
  const screen = SCREENS.find((it) => to.path === `/${it.path}`)
  document.title = screen ? `${screen.name} - Mergeline` : 'Mergeline'
})
