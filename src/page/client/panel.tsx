/**
 * The panel beside a graph that says what is known of one stage.
 *
 * @since 0.1.0
 */
import type { ComponentChildren } from "preact"
import type { PlanStage, StageState } from "../answers.ts"
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

/** What a stage takes: by input the output of another stage, which the link leads to. */
export const Takes = ({
  hrefOf,
  inputs
}: {
  readonly hrefOf: (stage: string) => string
  readonly inputs: PlanStage["inputs"]
}) =>
  Object.keys(inputs).length === 0 ? null : (
    <>
      <h3>Takes</h3>
      <ul class="plain">
        {Object.entries(inputs).map(([port, from]) => (
          <li key={port}>
            {port} ←{" "}
            <a href={hrefOf(from.stage)}>
              {from.stage}.{from.port}
            </a>
          </li>
        ))}
      </ul>
    </>
  )
