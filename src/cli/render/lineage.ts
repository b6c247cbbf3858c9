/**
 * Where an artifact came from, as a tree: the longest line of descent straight down, what else went in as branches beside it.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"
import type { LineageNode } from "../../lineage/ledger.ts"
import { shortDigest } from "./artifact.ts"
import { metricPhrases, resultMetrics } from "./metrics.ts"
import { roundOf } from "./outline.ts"
import { count, duration } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut, printable, width, wrap } from "./width.ts"

/** The tree. What several came from is drawn once; the earlier rounds of a loop are one line. */
export const lineageLines = (root: LineageNode, view: View): ReadonlyArray<string> => {
  const { columns, style } = view
  const depths = depthsOf(root)
  const drawn = new Set<LineageNode>()
  const lines: Array<string> = []
  const say = (text: string) => lines.push(cut(text, columns).trimEnd())

  const describe = (node: LineageNode, head: string, rest: string): void => {
    const { artifact, metrics, operator, params, port, seconds, sources, stage } = node
    const name = `${style.strong(`${stage}.${port}`)}  ${artifact.kind} ${style.name(shortDigest(artifact.digest))}`
    const facts = [duration(seconds), ...metricPhrases(resultMetrics(metrics))].join("  ")
    say(`${head}${name}  ${style.faint(facts)}`)
    const made = operator === roundOf(stage).base ? "" : `${operator}  `
    const text = `${made}${paramsText(params)}`
    for (const line of firstLines(printable(text), columns - width(rest) - 2, 3))
      say(`${rest}${style.faint(`  ${line}`)}`)
    for (const { digest, name } of sources.slice(0, 3)) {
      say(`${rest}${style.faint(`  file ${printable(name)} ${shortDigest(digest)}`)}`)
    }
    if (sources.length > 3) say(`${rest}${style.faint(`  and ${count(sources.length - 3, "more file")}`)}`)
  }

  /** Draws the branches of a node and returns what goes straight on: the deepest of what is not drawn yet. */
  const branches = (inputs: ReadonlyArray<readonly [string, LineageNode]>, prefix: string): LineageNode | undefined => {
    const fresh = inputs.filter(([, node]) => !drawn.has(node)).map(([, node]) => node)
    const main = fresh.sort((a, b) => depths.get(b)! - depths.get(a)!)[0]
    const below = main === undefined ? new Set<LineageNode>() : reachable(main)
    for (const [port, node] of inputs) {
      if (node === main) continue
      const where = drawn.has(node) ? "above" : below.has(node) ? "below" : undefined
      if (where === undefined)
        draw(node, `${prefix}${style.faint("├─")}● ${style.faint(`${port}: `)}`, `${prefix}${style.faint("│ ")}`)
      else say(`${prefix}${style.faint(`├─ ${port}: ${node.stage}.${node.port}, ${where}`)}`)
    }
    return main
  }

  const draw = (start: LineageNode, head: string, prefix: string): void => {
    let node: LineageNode | undefined = start
    let first = head
    while (node !== undefined) {
      drawn.add(node)
      const last = Object.keys(node.inputs).length === 0
      describe(node, first, last ? `${prefix} ` : `${prefix}${style.faint("│")}`)
      let next: LineageNode | undefined = branches(Object.entries(node.inputs), prefix)
      const skipped = earlierRounds(next, drawn)
      if (next !== undefined && skipped.length > 1) {
        const inputs = new Map<LineageNode, string>()
        for (const each of skipped) drawn.add(each)
        for (const each of skipped) {
          for (const [port, input] of Object.entries(each.inputs)) if (!drawn.has(input)) inputs.set(input, port)
        }
        const names = [...new Set(skipped.map(({ stage }) => roundOf(stage).base))].join(", ")
        const rounds = skipped.map(({ stage }) => roundOf(stage).round!)
        const last = skipped.at(-1)!
        say(
          `${prefix}${style.faint(`┊  rounds ${Math.max(...rounds)} to ${Math.min(...rounds)} of ${names}, down to ${last.stage}.${last.port} ${shortDigest(last.artifact.digest)}`)}`
        )
        next = branches(
          [...inputs].map(([input, port]) => [port, input]),
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
const earlierRounds = (start: LineageNode | undefined, drawn: ReadonlySet<LineageNode>): ReadonlyArray<LineageNode> => {
  const families = new Set([...drawn].flatMap(({ port, stage }) => familyOf(stage, port) ?? []))
  const isEarlier = ({ port, stage }: LineageNode) => {
    const family = familyOf(stage, port)
    return family !== undefined && families.has(family)
  }
  if (start === undefined || !isEarlier(start)) return []
  const found = new Set<LineageNode>()
  const visit = (node: LineageNode): void => {
    if (found.has(node) || drawn.has(node) || !isEarlier(node)) return
    found.add(node)
    for (const input of Object.values(node.inputs)) visit(input)
  }
  visit(start)
  return [...found].sort((a, b) => roundOf(b.stage).round! - roundOf(a.stage).round!)
}

const familyOf = (stage: string, port: string): string | undefined => {
  const { base, round } = roundOf(stage)
  return round === undefined ? undefined : `${base}.${port}`
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

const reachable = (root: LineageNode): ReadonlySet<LineageNode> => {
  const found = new Set<LineageNode>()
  const visit = (node: LineageNode): void => {
    if (found.has(node)) return
    found.add(node)
    for (const input of Object.values(node.inputs)) visit(input)
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

const firstLines = (text: string, columns: number, most: number): ReadonlyArray<string> => {
  if (text.trim() === "") return []
  const lines = wrap(text, Math.max(columns, 20))
  return lines.length <= most ? lines : [...lines.slice(0, most - 1), `${cut(lines[most - 1]!, columns - 1)}…`]
}
