/** The screens. Behind `#`, so that no path below the page has to exist. */

import { createRouter, createWebHashHistory } from 'vue-router'
import Overview from './screens/Overview.vue'

export const SCREENS = [
  { path: 'overview', name: 'Overview' },
  { path: 'delivery', name: 'Delivery' },
  { path: 'lead-time', name: 'Lead time' },
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
    { path: '/delivery', component: () => import('./screens/Delivery.vue') },
    { path: '/lead-time', component: () => import('./screens/LeadTime.vue') },
    { path: '/pull-requests', component: () => import('./screens/PullRequests.vue') },
    { path: '/teams', component: () => import('./screens/Teams.vue') },
    { path: '/services', component: () => import('./screens/Services.vue') },
    { path: '/data', component: () => import('./screens/Data.vue') },
    { path: '/:rest(.*)*', redirect: '/overview' },
  ],
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? false : { top: 0 }),
})

router.afterEach((to) => {
  const screen = SCREENS.find((it) => to.path === `/${it.path}`)
  document.title = screen ? `${screen.name} - Mergeline` : 'Mergeline'
})
