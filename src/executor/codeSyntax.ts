/**
 * What pieces of a module's syntax say.
 *
 * @since 0.1.0
 */
import type * as acorn from "acorn"

/** The name of the object whose members are names everywhere. */
export const GLOBAL = "globalThis"

/** The names that a pattern binds. */
export const bindingNames = (pattern: acorn.Pattern): ReadonlyArray<string> => {
  switch (pattern.type) {
    case "Identifier":
      return [pattern.name]
    case "ObjectPattern":
      return pattern.properties.flatMap((each) =>
        bindingNames(each.type === "RestElement" ? each.argument : each.value)
      )
    case "ArrayPattern":
      return pattern.elements.flatMap((each) => (each === null ? [] : bindingNames(each)))
    case "AssignmentPattern":
      return bindingNames(pattern.left)
    case "RestElement":
      return bindingNames(pattern.argument)
    default:
      return []
  }
}

/** The name of a property or member, unless it is computed. */
export const keyOf = (node: acorn.Property | acorn.AssignmentProperty | acorn.MemberExpression): string | undefined => {
  const key = node.type === "Property" ? node.key : node.property
  return node.computed || key.type === "Literal" ? literalText(key) : key.type === "Identifier" ? key.name : undefined
}

/** The module that an expression is: `await import("a")`, `require("a")`. */
export const moduleOf = (node: acorn.Node): string | undefined => {
  const expression = node as acorn.Expression
  if (expression.type === "AwaitExpression") return moduleOf(expression.argument)
  if (expression.type === "ImportExpression") return literalText(expression.source)
  const required =
    expression.type === "CallExpression" &&
    expression.callee.type === "Identifier" &&
    expression.callee.name === "require"
  return required && expression.arguments[0] ? literalText(expression.arguments[0]) : undefined
}

/** The member of the global object that an expression is: `Date` of `globalThis.Date`, `Date.now` of `globalThis.Date.now`. */
export const memberOfGlobal = (node: acorn.Node): string | undefined => {
  const { object, type } = node as acorn.MemberExpression
  const member = type === "MemberExpression" ? keyOf(node as acorn.MemberExpression) : undefined
  if (member === undefined) return undefined
  if (object.type === "Identifier") return object.name === GLOBAL ? member : undefined
  const outer = memberOfGlobal(object)
  return outer === undefined || outer.includes(".") ? outer : `${outer}.${member}`
}

/** The text of a literal, or of a template without anything in it. */
export const literalText = (node: acorn.Node): string | undefined => {
  const { expressions, quasis, value } = node as Partial<Pick<acorn.TemplateLiteral, "expressions" | "quasis">> & {
    readonly value?: unknown
  }
  if (typeof value === "string") return value
  return expressions?.length === 0 ? (quasis?.[0]?.value.cooked ?? undefined) : undefined
}
