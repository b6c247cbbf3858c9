/**
 * Where an artifact came from, as a tree: the longest line of descent straight down, what else went in as branches beside it.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"
import type { LineageNode } from "../../lineage/ledger.ts"
import { shortDigest } from "./artifact.ts"
import { fitting, metricPhrases, resultMetrics } from "./metrics.ts"
import { roundOf } from "./outline.ts"
import { count, duration } from "./quantity.ts"
import { verdictColour, verifiedText } from "./verified.ts"
import type { View } from "./view.ts"
import { cut, printable, width, wrap } from "./width.ts"

/** The tree. What several came from is drawn once, as are two outputs of one stage; the earlier rounds of a loop are one line. */
export const lineageLines = (root: LineageNode, view: View): ReadonlyArray<string> => {
  const { columns, style } = view
  const depths = depthsOf(root)
  /** Keys of stages, and loops by a name for each stage in them. */
  const drawn = new Set<string>()
  const loops = new Set<string>()
  const lines: Array<string> = []
  const say = (text: string) => lines.push(cut(text, columns).trimEnd())
  const nameOf = ({ artifact, port, stage }: LineageNode) =>
    `${style.strong(`${stage}.${port}`)}  ${artifact.kind} ${style.name(shortDigest(artifact.digest))}`

  const describe = (node: LineageNode, head: string, rest: string): void => {
    const { metrics, operator, params, ranOn, seconds, sources, stage, verified } = node
    const start = `${head}${nameOf(node)}  `
    const facts = [
      duration(seconds),
      ...(ranOn === undefined ? [] : [`on ${ranOn.name}`]),
      ...metricPhrases(resultMetrics(metrics))
    ]
    say(`${start}${style.faint(fitting(facts, columns - width(start)))}`)
    const made = operator === roundOf(stage).base ? "" : `${operator}  `
    const text = printable(`${made}${paramsText(params)}`)
    for (const line of firstLines(text, columns - width(rest) - 2, 3)) say(`${rest}${style.faint(`  ${line}`)}`)
    if (verified !== undefined) say(`${rest}${verdictColour(verified, style)(`  ${verifiedText(verified)}`)}`)
    for (const { digest, name } of sources.slice(0, 3)) {
      say(`${rest}${style.faint(`  file ${printable(name)} ${shortDigest(digest)}`)}`)
    }
    if (sources.length > 3) say(`${rest}${style.faint(`  and ${count(sources.length - 3, "more file")}`)}`)
  }

  /** Draws the branches of a node and returns what goes straight on: the deepest of what is not drawn yet. */
  const branches = (inputs: ReadonlyArray<readonly [string, LineageNode]>, prefix: string): LineageNode | undefined => {
    const fresh = inputs.map(([, node]) => node).filter(({ key }) => !drawn.has(key))
    const main = fresh.toSorted((a, b) => depths.get(b)! - depths.get(a)!)[0]
    const below = main === undefined ? new Set<string>() : keysUnder(main)
    for (const [port, node] of inputs) {
      if (node === main) continue
      const where = drawn.has(node.key) ? "above" : below.has(node.key) ? "below" : undefined
      const head = `${prefix}${style.faint("├─")}`
      if (where !== undefined)
        say(
          `${head} ${style.faint(`${port}: ${node.stage}.${node.port}  ${shortDigest(node.artifact.digest)}, ${where}`)}`
        )
      else draw(node, `${head}● ${style.faint(`${port}: `)}`, `${prefix}${style.faint("│ ")}`)
    }
    return main
  }

  const draw = (start: LineageNode, head: string, prefix: string): void => {
    let node: LineageNode | undefined = start
    let first = head
    while (node !== undefined) {
      drawn.add(node.key)
      loops.add(loopOf(node))
      const last = Object.keys(node.inputs).length === 0
      describe(node, first, last ? `${prefix} ` : `${prefix}${style.faint("│")}`)
      let next: LineageNode | undefined = branches(Object.entries(node.inputs), prefix)
      const skipped = earlierRounds(next, drawn, loops)
      if (skipped.length > 1) {
        for (const { key } of skipped) drawn.add(key)
        say(`${prefix}${style.faint(`┊  ${roundsText(skipped)}`)}`)
        const inputs = new Map(
          skipped.flatMap((each) => Object.entries(each.inputs).map(([port, input]) => [input, port]))
        )
        next = branches(
          [...inputs].filter(([{ key }]) => !drawn.has(key)).map(([input, port]) => [port, input]),
          prefix
        )
      }
      node = next
      first = `${prefix}● `
    }
  }

  draw(root, "● ", "")
  return lines
}

/** The nodes of a loop's rounds before one that is drawn, from `start` on along what came from what, newest first. */
const earlierRounds = (
  start: LineageNode | undefined,
  drawn: ReadonlySet<string>,
  loops: ReadonlySet<string>
): ReadonlyArray<LineageNode> => {
  const found = new Map<string, LineageNode>()
  const visit = (node: LineageNode): void => {
    if (found.has(node.key) || drawn.has(node.key) || roundOf(node.stage).round === undefined) return
    if (!loops.has(loopOf(node))) return
    found.set(node.key, node)
    for (const input of Object.values(node.inputs)) visit(input)
  }
  if (start !== undefined) visit(start)
  return [...found.values()].sort((a, b) => roundOf(b.stage).round! - roundOf(a.stage).round!)
}

const loopOf = ({ operator, stage }: LineageNode): string => `${roundOf(stage).base} ${operator}`

const roundsText = (nodes: ReadonlyArray<LineageNode>): string => {
  const names = [...new Set(nodes.map(({ stage }) => roundOf(stage).base))].join(", ")
  const rounds = nodes.map(({ stage }) => roundOf(stage).round!)
  const { artifact, port, stage } = nodes.at(-1)!
  const last = `${stage}.${port} ${shortDigest(artifact.digest)}`
  return `rounds ${Math.max(...rounds)} to ${Math.min(...rounds)} of ${names}, down to ${last}`
}

const depthsOf = (root: LineageNode): ReadonlyMap<LineageNode, number> => {
  const depths = new Map<LineageNode, number>()
  const visit = (node: LineageNode): number => {
    const known = depths.get(node)
    if (known !== undefined) return known
    const depth = 1 + Math.max(0, ...Object.values(node.inputs).map(visit))
    depths.set(node, depth)
    return depth
  }
  visit(root)
  return depths
}

const keysUnder = (root: LineageNode): ReadonlySet<string> => {
  const found = new Set<string>()
  const visit = ({ inputs, key }: LineageNode): void => {
    if (found.has(key)) return
    found.add(key)
    for (const input of Object.values(inputs)) visit(input)
  }
  visit(root)
  return found
}

/** `learningRate 0.0003, model.width 128`: nested parameters by their dotted path. */
export const paramsText = (params: Json): string => {
  const leaves = (value: Json, path: string): ReadonlyArray<string> => {
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      return [`${path} ${typeof value === "string" && /^\S+$/.test(value) ? value : JSON.stringify(value)}`]
    }
    return Object.entries(value).flatMap(([name, item]) => leaves(item, path === "" ? name : `${path}.${name}`))
  }
  return leaves(params, "").join(", ")
}

/** Lines are broken between phrases, not inside one. */
const firstLines = (text: string, columns: number, most: number): ReadonlyArray<string> => {
  if (text.trim() === "") return []
  const whole = text.replaceAll(/(?<!,) /g, "\u00a0")
  const lines = wrap(whole, Math.max(columns, 20)).map((line) => line.replaceAll("\u00a0", " "))
  return lines.length <= most ? lines : [...lines.slice(0, most - 1), `${cut(lines[most - 1]!, columns - 1)}…`]
}
