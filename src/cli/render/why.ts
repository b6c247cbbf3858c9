/**
 * Why one stage is reused or not, as lines.
 *
 * @since 0.1.0
 */
import type { StagePlan } from "../../executor/plan.ts"
import type { Why, WhyNot } from "../../executor/why.ts"
import { ago, duration } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut, pad, printable, width, wrap } from "./width.ts"

type Made = NonNullable<Why["made"]>

const what = { reuse: "is reused", run: "runs", maybe: "may be reused" }

const sign = (plan: StagePlan, { style }: View): string =>
  ({ reuse: style.good("✓"), run: style.due("●"), maybe: style.due("○") })[plan.action]

const indented = (text: string, by: number, view: View): ReadonlyArray<string> =>
  wrap(printable(text), view.columns - by).map((line) => `${" ".repeat(by)}${line}`)

const head = (plan: StagePlan, view: View): string => {
  const time = plan.action !== "reuse" && plan.seconds !== undefined ? `, about ${duration(plan.seconds)}` : ""
  return cut(`${sign(plan, view)} ${view.style.strong(plan.stage)} ${what[plan.action]}${time}`, view.columns)
}

const origin = ({ pipeline, run, seconds, stage, time }: Made, now: number): string =>
  `${ago(time, now)}, in ${duration(seconds)}, by stage ${stage} of ${pipeline} (run ${run})`

/** The verdict and its reasons, the way from the first cause, the result it has or had, and what its key is made of. */
export const whyLines = ({ chain, made, plan, preimage }: Why, now: number, view: View): ReadonlyArray<string> => {
  const { style } = view
  const lines: Array<string> = [head(plan, view)]
  for (const { message } of plan.reasons) lines.push(...indented(message, 4, view).map(style.due))
  if (chain.length > 1) {
    lines.push("", style.strong("First cause"))
    chain.forEach((each, i) => {
      const own = each.reasons.filter(({ kind }) => kind !== "input-pending").map(({ message }) => message)
      const text = `${i === 0 ? " " : "↓"} ${sign(each, view)} ${each.stage}  ${style.due(printable(own.join("; ")))}`
      lines.push(cut(`  ${text}`.trimEnd(), view.columns))
    })
  }
  if (made !== undefined) {
    lines.push("", style.strong(plan.action === "reuse" ? "Its result" : "Its last result"))
    lines.push(...indented(`made ${origin(made, now)}`, 2, view))
    for (const { message } of made.reasons) lines.push(...indented(`it ran then as ${asClause(message)}`, 2, view))
  }
  return [...lines, "", style.strong("What its key is made of"), ...parts(preimage, plan.key, view)]
}

const asClause = (message: string): string => (message === "it never ran" ? "it had never run" : message)

const parts = (preimage: Why["preimage"], key: string | undefined, view: View): ReadonlyArray<string> => {
  const { code, inputs, numerics, operator, packages, params, seeds, sources } = preimage
  const short = (digest: string) => digest.slice(0, 12)
  const rows: ReadonlyArray<readonly [string, string]> = [
    ["operator", `${operator.name}, version ${operator.version}`],
    ["code", short(code)],
    ["packages", short(packages)],
    ...Object.entries(typeof params === "object" && params !== null ? params : {}).map(
      ([name, value]) => [`parameter ${name}`, JSON.stringify(value)] as const
    ),
    ...Object.entries(seeds?.values ?? {}).map(
      ([name, value]) => [name === "seed" ? name : `seed ${name}`, JSON.stringify(value)] as const
    ),
    ...Object.entries(inputs).map(
      ([port, { digest, kind }]) =>
        [
          `input ${port}`,
          digest === "" ? `${kind}, not known before the stages above have run` : `${kind} ${short(digest)}`
        ] as const
    ),
    ...sources.slice(0, 10).map(({ digest, name }) => [`file ${name}`, short(digest)] as const),
    ...(sources.length > 10 ? [["", `and ${sources.length - 10} more files`] as const] : []),
    ...(numerics === null ? [] : [["numerics", numerics === "any" ? "any" : short(numerics)] as const]),
    ["key", key ?? "not known before the stages above have run"]
  ]
  const names = Math.min(30, Math.max(...rows.map(([name]) => width(name))))
  return rows.map(([name, value]) =>
    cut(`  ${view.style.faint(pad(cut(printable(name), names), names))}  ${printable(value)}`, view.columns)
  )
}

/** How the stage differs from the nearest results, one after the other. */
export const whyNotLines = ({ nearest, plan }: WhyNot, now: number, view: View): ReadonlyArray<string> => {
  const { style } = view
  if (plan.action === "reuse") {
    return [head(plan, view), ...indented(`nothing keeps it from being: its key is ${plan.key}`, 4, view)]
  }
  if (nearest.length === 0) {
    return [
      head(plan, view),
      ...indented(`no stage with operator ${plan.operator} has a result in this store`, 4, view)
    ]
  }
  return [
    head(plan, view),
    ...nearest.flatMap(({ changes, made }) => [
      "",
      ...indented(`result made ${origin(made, now)}`, 2, view),
      ...(changes.length === 0
        ? indented("differs in nothing that is known yet", 4, view)
        : changes.flatMap(({ message }) => indented(message, 4, view).map(style.due)))
    ])
  ]
}
