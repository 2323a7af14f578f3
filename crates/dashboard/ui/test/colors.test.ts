import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

type Three = [number, number, number]

const style = readFileSync('src/style.css', 'utf8')
const [light, dark] = style.split('prefers-color-scheme: dark')
const color = (of: string | undefined, name: string): string => new RegExp(`--${name}: (#[0-9a-f]{6})`).exec(of ?? '')?.[1] ?? ''

/** How linear red, green and blue look to people without one kind of cone: Machado, Oliveira and Fernandes, 2009, severity 1. */
const EYES: Record<string, [Three, Three, Three]> = {
  'all cones': [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  'no red ones': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  'no green ones': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  'no blue ones': [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}

const times = (matrix: [Three, Three, Three], vector: Three): Three =>
  matrix.map((row) => row.reduce((sum, part, place) => sum + part * (vector[place] ?? 0), 0)) as Three

/** CIELAB of a color as these eyes see it, for the white of a screen (D65). */
function lab(hex: string, eyes: [Three, Three, Three]): Three {
  const linear = [1, 3, 5].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  }) as Three
  const seen = times(eyes, linear).map((part) => Math.min(Math.max(part, 0), 1)) as Three
  const xyz = times([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]], seen)
  const [x, y, z] = xyz.map((part, place) => {
    const ratio = part / ([0.95047, 1, 1.08883][place] ?? 1)
    return ratio > 216 / 24389 ? Math.cbrt(ratio) : ((24389 / 27) * ratio + 16) / 116
  }) as Three
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)]
}

describe.each([['light', light], ['dark', dark]])('phases in %s', (_, of) => {
  it.each(Object.entries(EYES))('are apart to eyes with %s', (_eyes, matrix) => {
    const names = ['coding', 'pickup', 'review', 'deploy']
    const seen = names.map((name) => lab(color(of, name), matrix))
    const near = names.flatMap((one, a) =>
      names.slice(a + 1).map((other, b) => [`${one} and ${other}`, Math.hypot(...(seen[a] ?? []).map((part, place) => part - (seen[a + 1 + b]?.[place] ?? 0)))] as const),
    )
    expect(near.filter(([, distance]) => !(distance >= 15))).toEqual([])
  })
})
