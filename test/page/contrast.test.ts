/** The colours of the page: what is read stands out from what it is on as WCAG 2.2 AA asks for, light and dark. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

const css = readFileSync(new URL("../../src/page/client/page.css", import.meta.url), "utf8")
const colours = new Map(
  [...css.matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)/g)].map(([, name, light, dark]) => [
    name!,
    [light!, dark!] as const
  ])
)

type Rgb = readonly [number, number, number]

const rgb = (hex: string): Rgb =>
  [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255) as unknown as Rgb

/** Relative luminance and contrast ratio, as WCAG 2.2 defines them. */
const luminance = (colour: Rgb): number => {
  const [r, g, b] = colour.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)) as unknown as Rgb
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
const contrast = (a: Rgb, b: Rgb): number => {
  const [dark, light] = [luminance(a), luminance(b)].toSorted((a, b) => a - b) as [number, number]
  return (light + 0.05) / (dark + 0.05)
}
const over = (top: Rgb, share: number, below: Rgb): Rgb =>
  top.map((each, i) => each * share + below[i]! * (1 - share)) as unknown as Rgb

for (const [at, scheme] of ["light", "dark"].entries()) {
  const colour = (name: string): Rgb => rgb(colours.get(name)![at]!)
  describe(`the ${scheme} colours`, () => {
    const inks = ["ink", "soft", "faint", "link", "blue", "orange", "green", "red", "amber", "violet", "teal"]
    for (const ground of ["page", "sheet", "sunk"]) {
      it(`of text stand out from the ${ground} by 4.5 to 1, those of fields by 3 to 1`, () => {
        for (const ink of inks) assert.isAtLeast(contrast(colour(ink), colour(ground)), 4.5, ink)
        assert.isAtLeast(contrast(colour("grey"), colour(ground)), 3)
      })
    }

    it("of tokens leave their text readable, the strongest too", () => {
      const shares = [
        ...css.matchAll(/\.(?:plus|minus)-\d \{\s*background: color-mix\(in srgb, var\(--(\w+)\) (\d+)%/g)
      ]
      assert.strictEqual(shares.length, 12)
      for (const [, name, percent] of shares) {
        const ground = over(colour(name!), Number(percent) / 100, colour("sheet"))
        assert.isAtLeast(contrast(colour("ink"), ground), 4.5, `${name} ${percent}%`)
      }
    })
  })
}
