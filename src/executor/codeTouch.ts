/**
 * What a declaration changes or calls when it runs: of one that nothing refers to, that is how it counts (`const added = table.set("a", 1)`).
 *
 * @since 0.1.0
 */
import type * as acorn from "acorn"
import { bindingNames, keyOf } from "./codeSyntax.ts"

/** A name, or a member of it. */
export interface Named {
  readonly name: string
  readonly member: string | undefined
}

/**
 * A name whose value may change, or that is called; of an argument, `to` is what is called with it. `later` is what a function does that does
 * not run when its module is loaded.
 */
export interface Touch extends Named {
  readonly how: "changed" | "called" | "argument"
  readonly to: Named | undefined
  readonly later: boolean
}

/** Methods that leave what they are called on as it is. */
const PURE = new Set(
  `annotate annotateKey annotations at charAt charCodeAt check codePointAt concat endsWith entries every filter find findIndex findLast flat flatMap
  forEach get has includes indexOf join keys lastIndexOf map match matchAll normalize padEnd padStart pipe reduce reduceRight repeat replace
  replaceAll slice some split startsWith subarray test toArray toLowerCase toReversed toSorted toSpliced toString toUpperCase trim trimEnd
  trimStart values with`.split(/\s+/)
)

/** Functions of `Object` and `Reflect` that change their first argument. */
const CHANGING = new Set(["assign", "defineProperties", "defineProperty", "deleteProperty", "set", "setPrototypeOf"])

const isFunction = (node: acorn.Node): boolean =>
  node.type === "ArrowFunctionExpression" || node.type === "FunctionExpression" || node.type === "FunctionDeclaration"

/** The name that an expression is a member of, or a result of: `table` of `table.rows.at(0)`. */
const rootOf = (node: acorn.Node): Named | undefined => {
  const expression = node as acorn.Expression
  switch (expression.type) {
    case "Identifier":
      return { name: expression.name, member: undefined }
    case "MemberExpression": {
      const { object } = expression
      return object.type === "Identifier" ? { name: object.name, member: keyOf(expression) } : rootOf(object)
    }
    case "CallExpression":
      return rootOf(expression.callee)
    case "ChainExpression":
      return rootOf(expression.expression)
    default:
      return undefined
  }
}

/** What a node touches. A local of the name of a declaration counts too: that can only cost a rerun. */
export const touchesOf = (root: acorn.Node): ReadonlyArray<Touch> => {
  const found: Array<Touch> = []
  /** Functions that are called where they stand, or that a call may call. */
  const immediate = new Set<acorn.Node>()
  let later = false
  const add = (how: Touch["how"], named: Named | undefined, to?: Named) => {
    if (named !== undefined) found.push({ ...named, how, to, later })
  }
  const call = (callee: acorn.Node, given: ReadonlyArray<acorn.Node>) => {
    const called = rootOf(callee)
    for (const each of [callee, ...given]) if (isFunction(each)) immediate.add(each)
    add("called", called)
    if (called === undefined) return
    const method = callee.type === "MemberExpression" ? keyOf(callee as acorn.MemberExpression) : undefined
    if (callee.type === "MemberExpression" && !PURE.has(method ?? "")) {
      add("changed", rootOf((callee as acorn.MemberExpression).object))
      if ((called.name === "Object" || called.name === "Reflect") && CHANGING.has(method ?? "") && given[0]) {
        add("changed", rootOf(given[0]))
      }
    }
    for (const each of given) if (each.type !== "CallExpression") add("argument", rootOf(each), called)
  }
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const each of value) visit(each)
      return
    }
    if (typeof value !== "object" || value === null || !("type" in value)) return
    const node = value as acorn.AnyNode
    const before = later
    if (isFunction(node) && !immediate.has(node)) later = true
    switch (node.type) {
      case "AssignmentExpression":
        if (node.left.type === "MemberExpression") add("changed", rootOf(node.left))
        else for (const name of bindingNames(node.left)) add("changed", { name, member: undefined })
        break
      case "UpdateExpression":
        add("changed", rootOf(node.argument))
        break
      case "UnaryExpression":
        if (node.operator === "delete") add("changed", rootOf(node.argument))
        break
      case "CallExpression":
      case "NewExpression":
        call(node.callee, node.arguments)
        break
      case "TaggedTemplateExpression":
        call(node.tag, node.quasi.expressions)
        break
    }
    for (const child of Object.values(node)) visit(child)
    later = before
  }
  visit(root)
  return found
}
