/**
 * Patterns of Hugging Face tokenizers, which are Oniguruma's in Ruby's syntax, as JavaScript's.
 *
 * @since 0.1.0
 */

/** What is part of a word (`\\w`), as what may stand inside a class. */
const word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"

/** The same to Rust's patterns. */
export const inWord = `${word}\\p{Join_Control}`

/** The same where it is not in a class: Oniguruma then takes some of Latin-1's numbers for letters. */
const wordAlone = `${word}\\u{b2}\\u{b3}\\u{b9}\\u{bc}-\\u{be}`

/** What letters after a backslash and names of POSIX brackets mean, as what may stand inside a class. */
const letters: Readonly<Record<string, string>> = {
  // JavaScript's own \s is not Unicode's White_Space (U+0085, U+FEFF), and its \d and \w are ASCII's.
  s: "\\p{White_Space}",
  d: "\\p{Nd}",
  w: word,
  h: "0-9A-Fa-f"
}
const posix: Readonly<Record<string, string>> = {
  alnum: "\\p{Alphabetic}\\p{Nd}",
  alpha: "\\p{Alphabetic}",
  ascii: "\\p{ASCII}",
  blank: "\\p{Zs}\\t",
  cntrl: "\\p{Cc}",
  digit: "\\p{Nd}",
  graph: "[^\\p{White_Space}\\p{Cc}\\p{Cn}\\p{Cs}]",
  lower: "\\p{Lowercase}",
  print: "[^\\p{Cc}\\p{Cn}\\p{Cs}\\p{Zl}\\p{Zp}]",
  punct: "\\p{P}\\p{S}",
  space: "\\p{White_Space}",
  upper: "\\p{Uppercase}",
  word,
  xdigit: "0-9A-Fa-f"
}
const controls: Readonly<Record<string, number>> = { a: 7, b: 8, e: 27, f: 12, n: 10, r: 13, t: 9, v: 11 }

const isValid = (source: string): boolean => {
  try {
    new RegExp(source, "v")
    return true
  } catch {
    return false
  }
}

/** A property's class. Oniguruma takes names in any case and with spaces, those of scripts alone, and those of POSIX brackets. */
const property = (written: string): string => {
  const [, letter, caret, name] = /^\\(p|P)\{(\^?)(.*)\}$/s.exec(written)!
  const capitals = name!.replaceAll(/[A-Za-z]+/g, (word) => word[0]!.toUpperCase() + word.slice(1).toLowerCase())
  const known = [name!, name!.toLowerCase(), capitals.replaceAll(/[ -]/g, "_")]
    .flatMap((each) => [`\\p{${each}}`, `\\p{Script=${each}}`])
    .find(isValid)
  const meant = known ?? posix[name!.toLowerCase()]
  if (meant === undefined) throw new SyntaxError(`${written} is no property that is known`)
  return (letter === "P") === (caret === "") ? `[^${meant}]` : `[${meant}]`
}

/** A character that stands for itself, inside a class and outside. */
const literal = (code: number): string => {
  const character = String.fromCodePoint(code)
  return /[A-Za-z0-9]/.test(character) ? character : `\\u{${code.toString(16)}}`
}

/** The source of the pattern for a JavaScript RegExp with the flag `v`. Throws SyntaxError if it has what JavaScript has no equal of. */
export const translate = (source: string): string => {
  let at = 0
  let atomics = 0
  // Whether a dot is a line's end too, and whether case is looked at.
  let dotAll = false
  let ignoresCase = false
  const take = (pattern: RegExp): ReadonlyArray<string> | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(source)
    if (match === null) return undefined
    at = pattern.lastIndex
    return Array.from(match, (group) => group ?? "")
  }
  const refuse = (what: string): never => {
    throw new SyntaxError(`${what}, at ${at}, is not supported`)
  }

  /** What matched cannot be given up: what a lookahead has found stays. */
  const atomic = (inner: string): string => {
    const name = `atomic${++atomics}`
    return `(?=(?<${name}>${inner}))\\k<${name}>`
  }

  /** A code that is written with a backslash; the backslash is taken. */
  const escapedCode = (): number => {
    const hexadecimal = take(/x\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})/y)
    if (hexadecimal !== undefined) {
      const code = Number.parseInt(hexadecimal.slice(1).join(""), 16)
      return code > 0x10ffff ? refuse(`\\${hexadecimal[0]}`) : code
    }
    const octal = take(/[0-7]{1,3}/y)
    if (octal !== undefined) return Number.parseInt(octal[0]!, 8)
    if (at >= source.length) refuse("a backslash at the end")
    const character = take(/./suy)![0]!
    if (/[A-Zcg-z]/.test(character) && controls[character] === undefined) refuse(`\\${character}`)
    return controls[character] ?? character.codePointAt(0)!
  }

  const code = (): number => (take(/\\/y) === undefined ? take(/./suy)![0]!.codePointAt(0)! : escapedCode())

  /** A class that is written with a backslash, or undefined. */
  const escapedClass = (): string | undefined => {
    const named = take(/\\[pP]\{[^}]*\}/y)
    if (named !== undefined) return property(named[0]!)
    const letter = take(/\\([sdwhSDWH])/y)?.[1]
    if (letter === undefined) return undefined
    return letter === letter.toLowerCase() ? `[${letters[letter]}]` : `[^${letters[letter.toLowerCase()]}]`
  }

  const bracket = (): string | undefined => {
    const [, caret, name] = take(/\[:(\^?)([a-z]+):\]/y) ?? []
    if (name === undefined) return undefined
    const meant = posix[name] ?? refuse(`[:${name}:]`)
    return caret === "" ? `[${meant}]` : `[^${meant}]`
  }

  /** The rest of a class whose bracket has been taken. */
  const characterClass = (): string => {
    const negated = take(/\^/y) !== undefined
    const operands: Array<string> = []
    let items = ""
    // A bracket that comes first stands for itself.
    if (take(/\]/y) !== undefined) items += literal(0x5d)
    while (take(/\]/y) === undefined) {
      if (at >= source.length) throw new SyntaxError("a class that does not end")
      if (take(/&&/y) !== undefined) {
        operands.push(items)
        items = ""
        continue
      }
      const set = bracket() ?? escapedClass() ?? (take(/\[/y) === undefined ? undefined : characterClass())
      if (set !== undefined) {
        items += set
        continue
      }
      items += literal(code())
      if (take(/-(?![\][]|&&|\\[pPsdwhSDWH]|$)/y) !== undefined) items += `-${literal(code())}`
    }
    operands.push(items)
    const all = operands.length === 1 ? items : operands.map((operand) => `[${operand}]`).join("&&")
    return `[${negated ? "^" : ""}${all}]`
  }

  /** Runs with the options as they are inside a group. */
  const inside = (options: string, parse: () => string): string => {
    const [on = "", off = ""] = options.split("-")
    if (/[^im]/.test(on + off)) refuse(`the option ${options}`)
    const before = { dotAll, ignoresCase }
    dotAll = (dotAll || on.includes("m")) && !off.includes("m")
    ignoresCase = (ignoresCase || on.includes("i")) && !off.includes("i")
    const parsed = parse()
    ;({ dotAll, ignoresCase } = before)
    const kept = [on.includes("i") ? "i" : "", off.includes("i") ? "-i" : ""].join("")
    return `(?${kept}:${parsed})`
  }

  /** The rest of a group whose opening has been taken. */
  const closed = (): string => {
    const inner = alternatives()
    if (take(/\)/y) === undefined) throw new SyntaxError("a group that does not end")
    return inner
  }

  const atom = (): string => {
    const alone = take(/\\([wW])/y)?.[1]
    if (alone !== undefined) return alone === "w" ? `[${wordAlone}]` : `[^${wordAlone}]`
    // A property by itself is of the character as it is, whatever the case.
    const set = escapedClass()
    if (set !== undefined) return ignoresCase ? `(?-i:${set})` : set
    const anchor = take(/\\[bBAzZGRXKk1-9]|[\^$.[(]/y)?.[0]
    switch (anchor) {
      case undefined:
        return literal(code())
      case "[":
        return characterClass()
      case ".":
        return dotAll ? "\\p{Any}" : "[^\\n]"
      // Of every line, and lines end with \n alone.
      case "^":
        return "(?:^|(?<=\\n)(?!$))"
      case "$":
        return "(?=\\n|$)"
      case "\\A":
        return "(?:^)"
      case "\\z":
        return "(?:$)"
      case "\\Z":
        return "(?=\\n?$)"
      case "\\b":
        return `(?:(?<=[${word}])(?![${word}])|(?<![${word}])(?=[${word}]))`
      case "\\B":
        return `(?:(?<=[${word}])(?=[${word}])|(?<![${word}])(?![${word}]))`
      case "\\R":
        return atomic("\\r\\n|[\\n-\\r\\u{85}\\u{2028}\\u{2029}]")
      case "(":
        return group()
    }
    return refuse(anchor)
  }

  const group = (): string => {
    if (take(/\?#[^)]*\)/y) !== undefined) return "(?:)"
    if (take(/\?>/y) !== undefined) return atomic(closed())
    const around = take(/\?<?[=!]/y)?.[0]
    if (around !== undefined) return `(${around}${closed()})`
    const options = take(/\?([a-z-]*):/y)?.[1]
    if (options !== undefined) return inside(options, closed)
    if (take(/\?<[A-Za-z_]\w*>/y) === undefined && source[at] === "?") refuse(`a group (${source.slice(at, at + 2)}`)
    return `(?:${closed()})`
  }

  const quantified = (): string => {
    let out = atom()
    for (let times = 0; ; times++) {
      const written = take(/[*+?]|\{\d+(?:,\d*)?\}|\{,\d+\}/y)?.[0]
      if (written === undefined) return out
      const quantifier = written.replace("{,", "{0,")
      const one = times === 0 ? out : `(?:${out})`
      const isInterval = written.length > 1
      // In Ruby {n}? is a choice of n or none, and a plus after an interval one more quantifier.
      if (isInterval && !written.includes(",") && take(/\?/y) !== undefined) out = `(?:${one}${quantifier})?`
      else if (take(/\?/y) !== undefined) out = `${one}${quantifier}?`
      else if (!isInterval && take(/\+/y) !== undefined) out = atomic(one + quantifier)
      else out = one + quantifier
    }
  }

  /** Up to the end of the group, or of the pattern. */
  const alternatives = (): string => {
    let out = ""
    while (at < source.length && source[at] !== ")") {
      const options = take(/\(\?([a-z-]+)\)/y)?.[1]
      // Options hold to the end of the group, alternatives included.
      if (options !== undefined) return out + inside(options, alternatives)
      out += take(/\|/y)?.[0] ?? quantified()
    }
    return out
  }

  const all = alternatives()
  if (at < source.length) throw new SyntaxError("a bracket that closes no group")
  return all
}

/** The pattern of a text that stands for itself. */
export const literally = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&")
