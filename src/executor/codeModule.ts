/**
 * A module as its top-level declarations: what each says, without comments and formatting, and what it refers to.
 *
 * @since 0.1.0
 */
import * as acorn from "acorn"
import { sha256 } from "../store/digest.ts"
import { bindingNames, GLOBAL, keyOf, literalText, memberOfGlobal, moduleOf } from "./codeSyntax.ts"
import { type Touch, touchesOf } from "./codeTouch.ts"

const IMPORT = "import"

/**
 * A name used in a declaration; `member` where only that member of it is used (`Table.of`), `()` where it is called or made without arguments,
 * `=` where it is given another name. Of what is in `globalThis` the member says all (`Date.now`). Other modules are the member of `import` and
 * `require`: `node:fs#readFile`, without a `#` where its name is computed (`()`); so is `meta.url`. `at` has the places in the text.
 */
export interface Reference {
  readonly name: string
  readonly member: string | undefined
  readonly at: ReadonlyArray<number>
}

/** A top-level declaration, or a statement that runs when the module is loaded (`names` is then empty). */
export interface Declaration {
  readonly names: ReadonlyArray<string>
  readonly kind: "function" | "class" | "value" | "statement"
  readonly start: number
  readonly end: number
  readonly digest: string
  readonly references: ReadonlyArray<Reference>
  /** Names that are bound inside it, where they hide those outside. */
  readonly bound: ReadonlySet<string>
  /** What it imports with `import("...")`. */
  readonly imports: ReadonlyArray<string>
  /** What it changes and calls, where that may be of the module. */
  readonly touches: ReadonlyArray<Touch>
}

/** A name of another module; `*` is all of them. */
export interface Foreign {
  readonly specifier: string
  readonly name: string
}

/** What a module declares, imports and exports. `exports` names a local binding or one of another module. */
export interface ModuleCode {
  readonly declarations: ReadonlyArray<Declaration>
  /** The index of each declared name's declaration. */
  readonly locals: ReadonlyMap<string, number>
  readonly imports: ReadonlyMap<string, Foreign>
  readonly exports: ReadonlyMap<string, string | Foreign>
  readonly stars: ReadonlyArray<string>
  /** Modules that are loaded when this one is. */
  readonly specifiers: ReadonlyArray<string>
}

/** Parses JavaScript as esbuild prints it: types are gone, and quotes, parentheses and semicolons are in one style. */
export const parseModule = (code: string): ModuleCode => {
  const tokens: Array<acorn.Token> = []
  const program = acorn.parse(code, {
    ecmaVersion: "latest",
    sourceType: "module",
    onToken: tokens,
    allowHashBang: true
  })
  const declarations: Array<Declaration> = []
  const imports = new Map<string, Foreign>()
  const exports = new Map<string, string | Foreign>()
  const stars: Array<string> = []
  const specifiers = new Set<string>()

  /** Without a property that is apart, and the comma that goes with it. */
  const textOf = ({ end, start }: acorn.Node, apart: acorn.Node | undefined): string => {
    const text: Array<string> = []
    for (let i = firstFrom(tokens, start); i < tokens.length && tokens[i]!.end <= end; i++) {
      if (tokens[i]!.start !== apart?.start) {
        text.push(code.slice(tokens[i]!.start, tokens[i]!.end))
        continue
      }
      while (tokens[i + 1]!.end <= apart.end) i++
      if (code[tokens[i + 1]!.start] === ",") i++
      else if (text.at(-1) === ",") text.pop()
    }
    return text.join("\n")
  }

  const declare = (kind: Declaration["kind"], names: ReadonlyArray<string>, node: acorn.Node, prefix = "") => {
    const apart =
      node.type === "VariableDeclarator" ? limitsOf((node as acorn.VariableDeclarator).init, imports) : undefined
    declarations.push({
      kind,
      names,
      start: node.start,
      end: node.end,
      digest: sha256(prefix + textOf(node, apart)),
      ...usesOf(node, apart),
      touches: touchesOf(node)
    })
  }

  const declareStatement = (node: acorn.Statement | acorn.Declaration): ReadonlyArray<string> => {
    if (node.type === "FunctionDeclaration" || node.type === "ClassDeclaration") {
      declare(node.type === "FunctionDeclaration" ? "function" : "class", [node.id.name], node)
      return [node.id.name]
    }
    if (node.type === "VariableDeclaration") {
      return node.declarations.flatMap((declarator) => {
        const names = bindingNames(declarator.id)
        const type = declarator.init?.type
        const kind = type === "ArrowFunctionExpression" || type === "FunctionExpression" ? "function" : "value"
        declare(type === "ClassExpression" ? "class" : kind, names, declarator, `${node.kind}\n`)
        return names
      })
    }
    declare("statement", [], node)
    return []
  }

  for (const node of program.body) {
    switch (node.type) {
      case "ImportDeclaration": {
        const specifier = String(node.source.value)
        specifiers.add(specifier)
        for (const each of node.specifiers) {
          const name =
            each.type === "ImportSpecifier"
              ? nameOf(each.imported)
              : each.type === "ImportDefaultSpecifier"
                ? "default"
                : "*"
          imports.set(each.local.name, { specifier, name })
        }
        break
      }
      case "ExportAllDeclaration": {
        const specifier = String(node.source.value)
        specifiers.add(specifier)
        if (node.exported) exports.set(nameOf(node.exported), { specifier, name: "*" })
        else stars.push(specifier)
        break
      }
      case "ExportNamedDeclaration": {
        const specifier = node.source ? String(node.source.value) : undefined
        if (specifier !== undefined) specifiers.add(specifier)
        for (const each of node.specifiers) {
          const name = nameOf(each.local)
          exports.set(nameOf(each.exported), specifier === undefined ? name : { specifier, name })
        }
        if (node.declaration) for (const name of declareStatement(node.declaration)) exports.set(name, name)
        break
      }
      case "ExportDefaultDeclaration": {
        const { declaration } = node
        const named = "id" in declaration && declaration.id ? declaration.id.name : "default"
        const kind =
          declaration.type === "FunctionDeclaration"
            ? "function"
            : declaration.type === "ClassDeclaration"
              ? "class"
              : "value"
        declare(kind, [named], declaration)
        exports.set("default", named)
        break
      }
      default:
        declareStatement(node)
    }
  }
  const locals = new Map(declarations.flatMap(({ names }, index) => names.map((name) => [name, index] as const)))
  return { declarations, locals, imports, exports, stars, specifiers: [...specifiers] }
}

const nameOf = (node: acorn.Identifier | acorn.Literal): string =>
  node.type === "Identifier" ? node.name : String(node.value)

const isOperatorModule = ({ name, specifier }: Foreign): boolean =>
  (name === "*" && /\/operator\/operator\.[jt]s$/.test(specifier)) || (name === "Operator" && specifier === "ptmflow")

/** The `resources` of an `Operator.make(...)`: where an operator can run is no part of what it computes. */
const limitsOf = (
  init: acorn.Expression | null | undefined,
  imports: ReadonlyMap<string, Foreign>
): acorn.Property | undefined => {
  if (init?.type !== "CallExpression" || init.callee.type !== "MemberExpression") return undefined
  const { object, property } = init.callee
  const from = object.type === "Identifier" ? imports.get(object.name) : undefined
  const [, options] = init.arguments
  if (from === undefined || !isOperatorModule(from)) return undefined
  if (property.type !== "Identifier" || property.name !== "make" || options?.type !== "ObjectExpression")
    return undefined
  return options.properties.find(
    (each): each is acorn.Property =>
      each.type === "Property" && !each.computed && each.key.type === "Identifier" && each.key.name === "resources"
  )
}

const firstFrom = (tokens: ReadonlyArray<acorn.Token>, start: number): number => {
  let low = 0
  let high = tokens.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (tokens[middle]!.start < start) low = middle + 1
    else high = middle
  }
  return low
}

/** All names in a node that may be bindings of the module. A local of the same name counts too: that can only cost a rerun. */
const usesOf = (
  root: acorn.Node,
  apart: acorn.Node | undefined
): Pick<Declaration, "references" | "bound" | "imports"> => {
  const found = new Map<string, { readonly name: string; readonly member: string | undefined; readonly at: number[] }>()
  const bound = new Set<string>()
  const imports = new Set<string>()
  const add = (at: number, name: string, member?: string) => {
    const id = `${name}.${member ?? ""}`
    const known = found.get(id)
    if (known === undefined) found.set(id, { name, member, at: [at] })
    else known.at.push(at)
  }
  const bind = (...patterns: ReadonlyArray<acorn.Pattern | null | undefined>) => {
    for (const pattern of patterns) if (pattern) for (const name of bindingNames(pattern)) bound.add(name)
  }
  /** A member of what a node is, where only that is used: of a name, of the global object, or of another module. */
  const addMember = (at: number, node: acorn.Node, member: string): boolean => {
    const specifier = moduleOf(node)
    if (specifier !== undefined) {
      imports.add(specifier)
      add(at, IMPORT, `${specifier}#${member}`)
      return true
    }
    const inGlobal = memberOfGlobal(node)
    if (inGlobal !== undefined) add(at, GLOBAL, `${inGlobal}.${member}`)
    else if (node.type === "Identifier") add(at, (node as acorn.Identifier).name, member)
    else if (node.type === "MetaProperty") add(at, IMPORT, `meta.${member}`)
    else return false
    return true
  }
  /** What is written as `pattern = value`: the members that are taken from it, or that it has another name. True if that is all. */
  const name = (pattern: acorn.Pattern, value: acorn.Node | null | undefined): boolean => {
    if (!value) return false
    const isModule = moduleOf(value) !== undefined
    if (pattern.type === "Identifier" && !isModule) addMember(value.start, value, "=")
    if (pattern.type !== "ObjectPattern") return false
    const members = pattern.properties.map((each) => (each.type === "RestElement" ? undefined : keyOf(each)))
    if (members.length === 0 || members.includes(undefined)) {
      if (!isModule) addMember(value.start, value, "=")
      return false
    }
    return members.map((member) => addMember(value.start, value, member!)).every((each) => each)
  }
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const each of value) visit(each)
      return
    }
    if (typeof value !== "object" || value === null || !("type" in value) || value === apart) return
    const node = value as acorn.AnyNode
    switch (node.type) {
      case "Identifier":
        add(node.start, node.name)
        return
      case "MemberExpression": {
        const member = keyOf(node)
        const inGlobal = memberOfGlobal(node)
        if (inGlobal !== undefined) add(node.start, GLOBAL, inGlobal)
        else if (member === undefined || !addMember(node.start, node.object, member)) visit(node.object)
        if (node.computed) visit(node.property)
        return
      }
      case "Property":
      case "MethodDefinition":
      case "PropertyDefinition":
        if (node.computed) visit(node.key)
        visit(node.value)
        return
      case "LabeledStatement":
        visit(node.body)
        return
      case "BreakStatement":
      case "ContinueStatement":
      case "MetaProperty":
        return
      case "ImportExpression": {
        const text = literalText(node.source)
        if (text === undefined) add(node.start, IMPORT, "()")
        else addMember(node.start, node, "=")
        visit(node.source)
        return
      }
      case "CallExpression":
      case "NewExpression": {
        const { arguments: given, callee } = node
        const called = callee.type === "Identifier" ? callee.name : memberOfGlobal(callee)
        if (called === "require" && given[0] !== undefined && literalText(given[0]) !== undefined) {
          addMember(node.start, node, "=")
          break
        }
        const computed = given.length === 0 || called === "require" || called === "Function"
        if (called !== undefined && !called.includes(".") && computed) {
          addMember(node.start, callee, "()")
        }
        break
      }
      case "FunctionDeclaration":
      case "FunctionExpression":
      case "ArrowFunctionExpression":
        bind(...node.params, node === root ? undefined : node.id)
        break
      case "VariableDeclarator":
        if (node !== root) bind(node.id)
        if (!name(node.id, node.init)) break
        visit(node.id)
        return
      case "AssignmentExpression":
      case "AssignmentPattern":
        if (!name(node.left as acorn.Pattern, node.right)) break
        visit(node.left)
        return
      case "CatchClause":
        bind(node.param)
        break
    }
    for (const child of Object.values(node)) visit(child)
  }
  visit(root)
  return { references: [...found.values()], bound, imports: [...imports] }
}
