/**
 * The panel beside a graph that says what is known of one stage.
 *
 * @since 0.1.0
 */
import type { ComponentChildren } from "preact"
import type { StageState } from "../answers.ts"
import { show } from "./route.ts"
import { State } from "./runs.tsx"

/** A stage's name and state over what is known of it, and the button that closes the panel. */
export const Panel = ({
  children,
  name,
  state
}: {
  readonly children: ComponentChildren
  readonly name: string
  readonly state: StageState
}) => (
  <aside class="panel" aria-label={`Stage ${name}`}>
    <header>
      <h2>{name}</h2>
      <State state={state} />
      <span class="spread" />
      <button type="button" aria-label="Close" onClick={() => show({ stage: undefined })}>
        ×
      </button>
    </header>
    {children}
  </aside>
)

/** Why a stage runs or ran, under a heading; nothing where there are no reasons. */
export const Reasons = ({ heading, reasons }: { readonly heading: string; readonly reasons: ReadonlyArray<string> }) =>
  reasons.length === 0 ? null : (
    <>
      <h3>{heading}</h3>
      <ul class="plain">
        {reasons.map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
    </>
  )
