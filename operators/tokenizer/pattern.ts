/**
 * Patterns of Hugging Face tokenizers, which are Oniguruma's in Ruby's syntax, as JavaScript's.
 *
 * @since 0.1.0
 */

/** What a letter after a backslash means, as what may stand inside a class; in capitals it is the complement. */
const classes: Readonly<Record<string, string>> = {
  // JavaScript's own \s is not Unicode's White_Space (U+0085, U+FEFF), and its \d and \w are ASCII's.
  s: "\\p{White_Space}",
  d: "\\p{Nd}",
  w: "\\p{L}\\p{M}\\p{N}\\p{Pc}"
}

const isValid = (source: string): boolean => {
  try {
    new RegExp(source, "u")
    return true
  } catch {
    return false
  }
}

/** What is part of a word to Rust's patterns (`\\w`), as what may stand inside a class. */
export const inWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}"

/** A property by its name alone may be a script in Oniguruma. */
const property = (written: string): string => {
  const script = written.replace("{^", "{").replace(/\{(.*)\}/, "{Script=$1}")
  const complement = written.startsWith("\\p{^")
  const plain = complement ? `\\P{${written.slice(4)}` : written
  if (isValid(plain)) return plain
  return complement ? script.replace("\\p", "\\P") : script
}

/** The source of the pattern for a JavaScript RegExp with the flag `u`. Throws if it has what JavaScript has no equal of. */
export const translate = (source: string): string => {
  let out = ""
  // Where the last atom begins in `out`, and where groups that are open do.
  let atom = 0
  const open: Array<number> = []
  let inClass = false
  let atomic = 0
  for (let at = 0; at < source.length; ) {
    const rest = source.slice(at)
    const escaped = /^\\([pP]\{[^}]*\}|[\s\S])/.exec(rest)?.[0]
    if (escaped !== undefined) {
      if (!inClass) atom = out.length
      const name = escaped[1]!
      const meant = classes[name.toLowerCase()]
      if (escaped.length > 2) out += property(escaped)
      else if (meant !== undefined && name === name.toLowerCase()) out += inClass ? meant : `[${meant}]`
      else if (meant !== undefined && !inClass) out += `[^${meant}]`
      else if (meant !== undefined && name !== "W") out += meant.replace("\\p", "\\P")
      // JavaScript has no needless backslashes.
      else if (/[!-/:-@[-`{-~]/.test(name) && !(/[\^$\\.*+?()[\]{}|/]/.test(name) || (inClass && name === "-")))
        out += name
      else out += escaped
      at += escaped.length
      continue
    }
    const character = String.fromCodePoint(rest.codePointAt(0)!)
    if (inClass) {
      if (character === "[" || rest.startsWith("&&")) {
        throw new SyntaxError(`a class within a class, at ${at}, is not supported`)
      }
      if (character === "]") inClass = false
      out += character
      at += character.length
      continue
    }
    const quantifier = /^(?:[*+?]|\{\d+(?:,\d*)?\}|\{,\d+\})/.exec(rest)?.[0]
    if (quantifier !== undefined && out.length > atom) {
      at += quantifier.length
      out += quantifier.replace("{,", "{0,")
      const next = source[at]
      if (next === "?") {
        out += "?"
        at++
      } else if (next === "+" && quantifier.length === 1) {
        // Possessive: what has matched stays, as a group that a lookahead has found does.
        const name = `atomic${++atomic}`
        out = `${out.slice(0, atom)}(?=(?<${name}>${out.slice(atom)}))\\k<${name}>`
        at++
      } else if (next === "+") {
        out = `${out.slice(0, atom)}(?:${out.slice(atom)})`
      }
      continue
    }
    if (rest.startsWith("(?>")) {
      throw new SyntaxError("an atomic group, (?>...), is not supported")
    }
    const group = /^\((?:\?(?:[a-z-]*:|<?[=!]|<[A-Za-z]\w*>))?/.exec(rest)?.[0]
    if (character === "[") {
      atom = out.length
      inClass = true
      out += source[at + 1] === "^" ? "[^" : "["
      at += source[at + 1] === "^" ? 2 : 1
      // A bracket that comes first stands for itself.
      if (source[at] === "]") {
        out += "\\]"
        at++
      }
      continue
    }
    if (group !== undefined) {
      open.push(out.length)
      out += group
      at += group.length
      atom = out.length
      continue
    }
    atom = character === ")" ? (open.pop() ?? 0) : out.length
    out += character
    at += character.length
    if (character === "|") atom = out.length
  }
  const options = /^\(\?([a-z]+)\)/.exec(out)
  return options === null ? out : `(?${options[1]}:${out.slice(options[0].length)})`
}

/** The pattern of a text that stands for itself. */
export const literally = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&")
