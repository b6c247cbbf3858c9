/**
 * A command's code is loaded when it is called.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/** The effect that the loaded code makes. */
export const from = <A, E, R>(load: () => Promise<Effect.Effect<A, E, R>>) => Effect.flatten(Effect.promise(load))
