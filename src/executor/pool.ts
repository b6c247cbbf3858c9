/**
 * Things that one stage at a time uses, and the queue for them.
 *
 * What the tests hold it to:
 * 1. Nothing is with two that use it, and nothing is free while the first of those who wait could have it.
 * 2. Of two that wait for the same thing the one that came first has it first.
 * 3. What was had is free again however its use ended, and one that stops waiting is passed over.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/** `using(suitable, use)`: waits until one of `suitable` (best first) is free, and has it until `use` ends. */
export interface Pool<A> {
  readonly using: <B, E, R>(
    suitable: ReadonlyArray<A>,
    use: (item: A) => Effect.Effect<B, E, R>
  ) => Effect.Effect<B, E, R>
}

interface Waiting<A> {
  readonly suitable: ReadonlyArray<A>
  readonly resume: (item: A) => void
}

/** A pool of these, all free. */
export const makePool = <A>(items: ReadonlyArray<A>): Pool<A> => {
  const free = new Set(items)
  const queue = new Set<Waiting<A>>()

  const serve = () => {
    for (const waiting of [...queue]) {
      const item = waiting.suitable.find((each) => free.has(each))
      // Who is resumed may come back here before it returns.
      if (item === undefined || !queue.delete(waiting)) continue
      free.delete(item)
      waiting.resume(item)
    }
  }
  const take = (suitable: ReadonlyArray<A>) =>
    Effect.callback<A>((resume) => {
      const waiting: Waiting<A> = { suitable, resume: (item) => resume(Effect.succeed(item)) }
      queue.add(waiting)
      serve()
      return Effect.sync(() => queue.delete(waiting))
    })
  const give = (item: A) =>
    Effect.sync(() => {
      free.add(item)
      serve()
    })
  return {
    using: (suitable, use) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(take(suitable)), (item) => Effect.ensuring(restore(use(item)), give(item)))
      )
  }
}
