/**
 * What a page follows: told that it is another, it asks for it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** Something with a version that grows with every change. */
export interface Followed {
  readonly view: () => { readonly version: number }
}

const QUIET_LOOKS = 50
const LISTEN = Duration.millis(200)

/** The version of what is followed as server-sent events: at once, and whenever it is another. */
export const versions = ({ view }: Followed): Stream.Stream<string> => {
  let quiet = 0
  const look = (known: number) => {
    const { version } = view()
    quiet = version === known ? quiet + 1 : 0
    const text =
      version === known
        ? quiet % QUIET_LOOKS === 1
          ? ": still there\n\n"
          : ""
        : `id: ${version}\ndata: ${version}\n\n`
    return [text, version] as const
  }
  return Stream.unfold(-1, (known) =>
    known < 0
      ? Effect.sync(() => look(known))
      : Effect.delay(
          Effect.sync(() => look(known)),
          LISTEN
        )
  )
}
