/**
 * How ptmflow was called, so that what it tells a person to type works.
 *
 * @since 0.1.0
 */

type Environment = { readonly [name: string]: string | undefined }

/** The words before a command: `ptmflow`, `npx ptmflow` where a script of a project called, or `npm run ptmflow --` in a checkout. */
export const program = (env: Environment = process.env): string => {
  const byScript = env["npm_lifecycle_event"] !== undefined
  if (byScript && env["npm_package_name"] === "ptmflow") return "npm run ptmflow --"
  return byScript || env["npm_command"] === "exec" ? "npx ptmflow" : "ptmflow"
}

/** This call again, as it was typed. */
export const again = (args: ReadonlyArray<string> = process.argv.slice(2), env: Environment = process.env): string => {
  const script = env["npm_lifecycle_script"]?.split(/\s+/) ?? []
  const event = env["npm_lifecycle_event"]
  const at = script.findIndex((word) => /ptmflow(\.mjs)?$/.test(word))
  const fixed = script.slice(at + 1)
  if (event !== undefined && event !== "npx" && at >= 0 && fixed.every((word, i) => word === args[i])) {
    const rest = args.slice(fixed.length).map(quoted)
    return [event === "start" ? "npm start" : `npm run ${event}`, ...(rest.length === 0 ? [] : ["--", ...rest])].join(
      " "
    )
  }
  return [program(env), ...args.map(quoted)].join(" ")
}

/** What Node is started with for another command of this ptmflow, in a process of its own. */
export const another = (args: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...process.execArgv,
  process.argv[1]!,
  ...args
]

/** The environment of a command whose words a page shows: it breaks lines itself. */
export const forPage = (): NodeJS.ProcessEnv => ({ ...process.env, COLUMNS: "100000", NO_COLOR: "1" })

const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)
