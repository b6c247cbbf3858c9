/**
 * What is said where there is nothing else to show: something is on its way, went wrong, or is not there.
 *
 * @since 0.1.0
 */
import type { ComponentChildren } from "preact"
import { type Asked, type Refused, Unanswered } from "./answer.ts"

/** An error with what can be done. That the server is not there is said above. */
export const Problem = ({ error }: { readonly error: Pick<Refused, "message" | "next"> }) =>
  error instanceof Unanswered ? null : (
    <div class="notice bad" role="alert">
      <p>{error.message}</p>
      {error.next === "" || error.next === undefined ? null : <p class="faint">{error.next}</p>}
    </div>
  )

/** Why there is nothing, and what to do. */
export const Empty = ({ children }: { readonly children: ComponentChildren }) => <div class="notice">{children}</div>

/** What to show of an answer: the error beside what was there before. */
export const Answered = <A,>({
  asked,
  children
}: {
  readonly asked: Asked<A>
  readonly children: (value: A) => ComponentChildren
}) => (
  <>
    {asked.error === undefined ? null : <Problem error={asked.error} />}
    {asked.value === undefined
      ? asked.busy && (
          <p class="notice faint" role="status">
            Loading…
          </p>
        )
      : children(asked.value)}
  </>
)
