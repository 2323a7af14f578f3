/** What the first screen can be drawn without. It is one file, which is on its way when the page is drawn. */

import { defineAsyncComponent, type Component } from 'vue'

type Parts = typeof import('./rest')
/** How a part is loaded. */
export const part =
  (name: keyof Parts) =>
  (): Promise<Component> =>
    import('./rest').then((rest) => rest[name])
/** A part as a component. */
export const later = (name: keyof Parts) => defineAsyncComponent(part(name))
