/**
 * Runs that go on without a terminal: a folder of the store for each, with what it is, the events that it writes and its errors.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Holder } from "../store/holder.ts"
import { CommandError } from "./failure.ts"

const Source = Schema.Struct({ stage: Schema.String, port: Schema.String })

/** What a detached run is: its process, how it was called, and of its pipeline what is needed to show it. `time` is milliseconds since 1970. */
export const About = Schema.Struct({
  name: Schema.String,
  time: Schema.Number,
  holder: Holder,
  args: Schema.Array(Schema.String),
  pipeline: Schema.String,
  description: Schema.String,
  stages: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      operator: Schema.Struct({ name: Schema.String }),
      partition: Schema.optionalKey(Schema.String),
      inputs: Schema.Record(Schema.String, Source)
    })
  ),
  outputs: Schema.Record(Schema.String, Source)
})
export type About = typeof About.Type
export const encodeAbout = Schema.encodeSync(Schema.fromJsonString(About))
const decodeAbout = Schema.decodeUnknownOption(Schema.fromJsonString(About))

/** Where a detached run's files are. */
export const filesOf = (store: string, name: string) => {
  const folder = path.join(path.resolve(store), "detached", name)
  const [about, events, errors] = ["about", "events", "errors"].map((file) => path.join(folder, file))
  return { folder, about: about!, events: events!, errors: errors! }
}

const read = (file: string): string | undefined => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch {
    return undefined
  }
}

/** The detached run whose name begins with `reference` (`newest`: the newest). */
export const findDetached = Effect.fnUntraced(function* (
  store: string,
  reference: string
): Effect.fn.Return<About, CommandError> {
  const folder = path.join(path.resolve(store), "detached")
  const names = (fs.existsSync(folder) ? fs.readdirSync(folder) : []).toSorted()
  const found = reference === "newest" ? names.slice(-1) : names.filter((name) => name.startsWith(reference))
  const about = found.length === 1 ? decodeAbout(read(filesOf(store, found[0]!).about)) : Option.none()
  if (Option.isSome(about)) return about.value
  const message =
    names.length === 0
      ? `no run was detached in ${store}`
      : found.length > 1
        ? `${reference} may be ${found.slice(0, 20).join(" or ")}`
        : `there is no detached run ${reference}`
  const next =
    found.length > 1 ? "Say more of it." : names.length === 0 ? "" : `There is ${names.slice(-20).join(", ")}`
  return yield* new CommandError({ place: "", message, next })
})
