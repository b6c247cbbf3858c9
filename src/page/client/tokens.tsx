/**
 * Text token by token, each coloured by a number.
 *
 * @since 0.1.0
 */
import { figure } from "./quantity.ts"

/** What colours tokens: numbers of one sign from pale to strong, or of two signs by two colours. */
export interface Scale {
  readonly name: string
  readonly sign: 1 | -1
  readonly kind: "one" | "two"
  readonly most: number
}

const STEPS = 6

/** The scale of these numbers: its end is the largest but for the few that stick out. */
export const scaleOf = (name: string, values: ReadonlyArray<number>): Scale => {
  const sizes = values.map(Math.abs).toSorted((a, b) => a - b)
  const most = sizes[Math.floor((sizes.length - 1) * 0.98)] ?? 0
  const [below, above] = [values.some((value) => value < 0), values.some((value) => value > 0)]
  return { name, kind: below && above ? "two" : "one", sign: below && !above ? -1 : 1, most }
}

const classOf = (value: number | null, { kind, most }: Scale): string => {
  if (value === null) return "token"
  const step = most > 0 ? Math.min(Math.round((Math.abs(value) / most) * STEPS), STEPS) : 0
  return `token ${kind === "two" && value < 0 ? "minus" : "plus"}-${step}`
}

/** What is seen of a token that has nothing to see. */
const seen = (text: string): string => (text === "\n" ? "⏎\n" : text === "" ? "∅" : text)

/** Tokens in order. With `numbers`, each has its number below it. */
export const Tokens = (props: {
  readonly tokens: ReadonlyArray<{ readonly text: string; readonly value: number | null; readonly title: string }>
  readonly scale: Scale
  readonly numbers: boolean
}) => (
  <p class={`tokens${props.numbers ? " numbered" : ""}`}>
    {props.tokens.map(({ text, title, value }, i) => (
      <span key={i} class={classOf(value, props.scale)} title={title}>
        {seen(text)}
        {props.numbers ? <small>{figure(value)}</small> : null}
      </span>
    ))}
  </p>
)

/** What the colours mean. */
export const Legend = ({ scale }: { readonly scale: Scale }) =>
  scale.most === 0 ? (
    <span class="faint">{scale.name}: all 0</span>
  ) : (
    <span class="legend">
      <span class="faint">{scale.kind === "two" ? figure(-scale.most) : "0"}</span>
      {scale.kind === "two" ? [6, 4, 2].map((step) => <i key={`m${step}`} class={`token minus-${step}`} />) : null}
      {[0, 2, 4, 6].map((step) => (
        <i key={step} class={`token plus-${step}`} />
      ))}
      <span class="faint">
        {figure(scale.sign * scale.most)} {scale.name}
      </span>
    </span>
  )
