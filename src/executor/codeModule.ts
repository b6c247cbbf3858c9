/**
 * A module as its top-level declarations: what each says, without comments and formatting, and what it refers to.
 *
 * @since 0.1.0
 */
import * as acorn from "acorn"
import { sha256 } from "../store/digest.ts"

/** A name used in a declaration; `member` where only that member of it is used (`Table.of`). */
export interface Reference {
  readonly name: string
  readonly member: string | undefined
}

/** A top-level declaration, or a statement that runs when the module is loaded (`names` is then empty). */
export interface Declaration {
  readonly names: ReadonlyArray<string>
  readonly kind: "function" | "class" | "value" | "statement"
  readonly digest: string
  readonly references: ReadonlyArray<Reference>
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

  const textOf = (...nodes: ReadonlyArray<acorn.Node>): string =>
    nodes
      .flatMap(({ end, start }) => {
        const text: Array<string> = []
        for (let i = firstFrom(tokens, start); i < tokens.length && tokens[i]!.end <= end; i++) {
          text.push(code.slice(tokens[i]!.start, tokens[i]!.end))
        }
        return text
      })
      .join("\n")

  const declare = (kind: Declaration["kind"], names: ReadonlyArray<string>, node: acorn.Node, prefix = "") => {
    declarations.push({ kind, names, digest: sha256(prefix + textOf(node)), references: referencesOf(node) })
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

const bindingNames = (pattern: acorn.Pattern): ReadonlyArray<string> => {
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

/** All names in a node that may be bindings of the module. A local of the same name counts too: that can only cost a rerun. */
const referencesOf = (root: acorn.Node): ReadonlyArray<Reference> => {
  const found = new Map<string, Reference>()
  const add = (name: string, member?: string) => found.set(`${name}.${member ?? ""}`, { name, member })
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const each of value) visit(each)
      return
    }
    if (typeof value !== "object" || value === null || !("type" in value)) return
    const node = value as acorn.AnyNode
    switch (node.type) {
      case "Identifier":
        add(node.name)
        return
      case "MemberExpression":
        if (node.computed) {
          visit(node.object)
          visit(node.property)
        } else if (node.object.type === "Identifier" && node.property.type === "Identifier") {
          add(node.object.name, node.property.name)
        } else visit(node.object)
        return
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
      default:
        for (const child of Object.values(node)) visit(child)
    }
  }
  visit(root)
  return [...found.values()]
}
