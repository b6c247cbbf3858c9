/**
 * Metrics of a stage as words, what a person watches first.
 *
 * @since 0.1.0
 */
import { decimal } from "./quantity.ts"
import { width } from "./width.ts"

type Metrics = { readonly [name: string]: number }

const watched = /loss|reward|accuracy|winrate|^kl|perplexity|bits|score/i
const setting = /^(learningRate|gradientNorm|beta|seed)$/

const isRate = (name: string) => /PerSecond$/.test(name)
const words = (name: string) => name.replace(/([a-z0-9])([A-Z])/g, (_, a, b) => `${a} ${b.toLowerCase()}`)

/** Ranks of names: thousands of stages have the same few metrics. */
const ranks = new Map<string, number>()

const rank = (name: string): number => {
  const known = ranks.get(name)
  if (known !== undefined) return known
  const found = watched.test(name) ? 0 : isRate(name) ? 2 : setting.test(name) ? 3 : 1
  ranks.set(name, found)
  return found
}

/** One phrase for each metric: watched ones (losses, rewards) first, then others, rates, and settings of the optimizer last. */
export const metricPhrases = (metrics: Metrics): ReadonlyArray<string> =>
  Object.entries(metrics)
    .sort(([a], [b]) => rank(a) - rank(b))
    .map(([name, value]) =>
      isRate(name)
        ? `${decimal(value)} ${words(name.slice(0, -"PerSecond".length))}/s`
        : `${words(name)} ${decimal(value)}`
    )

/** The metrics that say how good the result is: no rates, no settings of the optimizer. */
export const resultMetrics = (metrics: Metrics): Metrics =>
  Object.fromEntries(Object.entries(metrics).filter(([name]) => rank(name) < 2))

/** As many of the phrases, from the first on, as fit beside each other in `columns`. */
export const fitting = (phrases: ReadonlyArray<string>, columns: number): string => {
  let text = ""
  for (const phrase of phrases) {
    const longer = text === "" ? phrase : `${text}  ${phrase}`
    if (width(longer) > columns) break
    text = longer
  }
  return text
}
