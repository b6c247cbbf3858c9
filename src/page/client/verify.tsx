/**
 * Verifying an artifact: what made it runs again, and every digest is compared; and what was found before.
 *
 * @since 0.1.0
 */
import { useState } from "preact/hooks"
import type { Verifications, Verifying } from "../answers.ts"
import { post, type Refused, useAnswer, useFollowed } from "./answer.ts"
import { about, Choose, referenceOf, Ways } from "./artifact.tsx"
import { Answered, Empty, Problem } from "./notice.tsx"
import { counted, figure } from "./quantity.ts"
import { href, route } from "./route.ts"
import { VerifiedItem } from "./verdict.tsx"

const depths = [
  ["1", "the stage that gave it"],
  ["2", "and those that gave its inputs"],
  ["3", "3 stages deep"],
  ["all", "all, back to the files"]
] as const

const shares = [
  ["", "whole"],
  ["0.2", "a sample of 20%"],
  ["0.05", "a sample of 5%"],
  ["0.01", "a sample of 1%"]
] as const

const Choice = ({
  choose,
  label,
  options,
  value
}: {
  readonly label: string
  readonly value: string
  readonly options: ReadonlyArray<readonly [value: string, words: string]>
  readonly choose: (value: string) => void
}) => (
  <label>
    {label}{" "}
    <select value={value} onChange={(event) => choose(event.currentTarget.value)}>
      {options.map(([each, words]) => (
        <option key={each} value={each}>
          {words}
        </option>
      ))}
    </select>
  </label>
)

/** What goes on now, or was found last. */
const Now = ({ verifying }: { readonly verifying: Verifying }) => {
  const { error, found, of, stage, state, step, steps } = verifying
  const proven = state === "done" && found.length > 0 && found.every(({ verdict }) => verdict === "proven")
  const words = {
    none: "",
    running: stage === null ? "begins" : `${stage} runs again`,
    done: proven ? "proven" : "not proven",
    failed: "could not be verified",
    stopped: "stopped"
  }
  const tone = {
    none: "pending",
    running: "running",
    done: proven ? "proven" : "differs",
    failed: "failed",
    stopped: "stopped"
  }
  return (
    <section class="notice" aria-label="Verification">
      <p role="status">
        <span class={`state tone-${tone[state]}`}>{words[state]}</span>{" "}
        {of === null ? null : <a href={href("verify", referenceOf(of))}>{of.name}</a>}
        {step === null || state !== "running" ? null : (
          <span class="faint">
            {" "}
            · step {figure(step)}
            {steps === null ? "" : ` of ${figure(steps)}`}
          </span>
        )}
      </p>
      {step === null || steps === null ? null : (
        <progress value={step} max={steps} aria-label={`Steps of ${stage}`}>
          {step} of {steps}
        </progress>
      )}
      <ul class="plain">
        {found.map((each) => (
          <VerifiedItem key={`${each.stage} ${each.time}`} verified={each} />
        ))}
      </ul>
      {error === null ? null : <Problem error={error} />}
    </section>
  )
}

const Verify = () => {
  const { id } = route.value
  const now = useFollowed<Verifying>("verify", () => true)
  const running = now.value?.state === "running"
  // Asked anew when one has come to its end
  const asked = useAnswer<Verifications>(
    `verified/${encodeURIComponent(id)}?found=${running ? "" : (now.value?.version ?? "")}`
  )
  const [depth, setDepth] = useState("1")
  const [sample, setSample] = useState("")
  const [error, setError] = useState<Refused | undefined>(undefined)
  const [copied, setCopied] = useState(false)
  const send = (path: string, body: unknown) => {
    setError(undefined)
    post(path, body).catch(setError)
  }
  return (
    <Answered asked={asked}>
      {({ command, of, total, verified }) => {
        const line = `${command}${depth === "1" ? "" : ` --depth ${depth}`}${sample === "" ? "" : ` --sample ${Number(sample) * 100}%`}`
        return (
          <>
            <header class="head">
              <h1>
                Verify {of.name} <span class="code faint">{of.digest.slice(0, 12)}</span>
              </h1>
              <span class="faint">{about(of)}</span>
              <span class="spread" />
              <Ways artifact={of} except="verify" />
            </header>
            <p>
              What made it runs again, apart from all results that are kept, and what it gives is compared with what is
              recorded.
            </p>
            <form
              class="bar"
              onSubmit={(event) => {
                event.preventDefault()
                send("verify", {
                  artifact: id,
                  depth: depth === "all" ? null : Number(depth),
                  sample: sample === "" ? null : Number(sample)
                })
              }}
            >
              <Choice label="Stages" value={depth} options={depths} choose={setDepth} />
              <Choice label="each" value={sample} options={shares} choose={setSample} />
              <button type="submit" class="main" disabled={running}>
                {running ? "Verifying…" : "Verify"}
              </button>
              {running ? (
                <button type="button" onClick={() => send("verify/stop", {})}>
                  Stop
                </button>
              ) : null}
            </form>
            <p class="bar">
              <code class="wrap">{line}</code>
              <button
                type="button"
                onClick={() =>
                  navigator.clipboard?.writeText(line).then(
                    () => setCopied(true),
                    () => setCopied(false)
                  )
                }
              >
                {copied ? "Copied" : "Copy"}
              </button>
            </p>
            {error === undefined ? null : <Problem error={error} />}
            {now.value === undefined || now.value.state === "none" ? null : <Now verifying={now.value} />}
            <h2>{total === 0 ? "Never verified" : `Verified ${counted(total, "time")}`}</h2>
            {total === 0 ? (
              <Empty>What is recorded of it was not yet compared with what its stage gives when it runs again.</Empty>
            ) : (
              <ul class="plain">
                {verified.map((each) => (
                  <VerifiedItem key={each.time} verified={each} />
                ))}
              </ul>
            )}
            {total > verified.length ? <p class="faint">The newest {verified.length} are shown.</p> : null}
          </>
        )
      }}
    </Answered>
  )
}

/** The view of verifications; without an artifact, the choice of one. */
export const VerifyView = () =>
  route.value.id === "" ? (
    <Choose
      title="Verify"
      to={(reference) => href("verify", reference)}
      nothing="No stage of this run has given anything yet."
    />
  ) : (
    <Verify key={route.value.id} />
  )
