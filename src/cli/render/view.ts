/**
 * What lines are rendered for: so many columns, with or without colour.
 *
 * @since 0.1.0
 */
import { styleText } from "node:util"

/** Colours by what they are for. */
export interface Style {
  readonly strong: (text: string) => string
  readonly faint: (text: string) => string
  readonly good: (text: string) => string
  readonly bad: (text: string) => string
  readonly due: (text: string) => string
  readonly name: (text: string) => string
}

/** Where lines go: `columns` is the greatest display width that a line may have. */
export interface View {
  readonly columns: number
  readonly style: Style
}

const paint = (format: Parameters<typeof styleText>[0]) => (text: string) =>
  text === "" ? "" : styleText(format, text, { validateStream: false })

const coloured: Style = {
  strong: paint("bold"),
  faint: paint("dim"),
  good: paint("green"),
  bad: paint("red"),
  due: paint("yellow"),
  name: paint("cyan")
}

const same = (text: string) => text
const plain: Style = { strong: same, faint: same, good: same, bad: same, due: same, name: same }

/** The style with escape codes, or the one without. */
export const styleOf = (colour: boolean): Style => (colour ? coloured : plain)
