/**
 * The playground: a checkpoint continues a text.
 *
 * @since 0.1.0
 */
import { useRef, useState } from "preact/hooks"
import type { Lineage, Sampled } from "../answers.ts"
import { post, type Refused, useAnswer } from "./answer.ts"
import { Choose, Ways } from "./artifact.tsx"
import { Answered, Problem } from "./notice.tsx"
import { duration, figure } from "./quantity.ts"
import { href, route } from "./route.ts"
import { Legend, scaleOf, Tokens } from "./tokens.tsx"

const fields = [
  ["tokens", "tokens", 48, 1, 1, "at most; fewer when the model ends its answer"],
  ["temperature", "temperature", 1, 0, 0.1, "0 takes the likeliest token"],
  ["topK", "top-k", 0, 0, 1, "0: from all tokens"],
  ["topP", "top-p", 1, 0.01, 0.01, "likeliest tokens of so much probability"],
  ["seed", "seed", 1, undefined, 1, "the same gives the same text"],
  ["count", "answers", 2, 1, 1, "side by side"]
] as const

const Result = ({ sampled }: { readonly sampled: Sampled }) => {
  const scale = scaleOf(
    "log-probability",
    sampled.completions.flatMap(({ tokens }) => tokens.map(({ logProbability }) => logProbability))
  )
  return (
    <section aria-label="Answers">
      <div class="bar">
        <Legend scale={scale} />
        <span class="spread" />
        <span class="faint" role="status">
          {duration(sampled.seconds)}, {sampled.limit} tokens at most
        </span>
      </div>
      <div class="answers">
        {sampled.completions.map(({ ended, tokens }, i) => (
          <article key={i} class="answer">
            <header class="faint">
              {i + 1} of {sampled.completions.length}
              <span class="spread" />
              {ended ? "ended by itself" : "cut at the limit"}
            </header>
            <p class="text faint">{sampled.prompt}</p>
            <Tokens
              tokens={tokens.map(({ logProbability, text }) => ({
                text,
                value: logProbability,
                title: `log-probability ${figure(logProbability)}`
              }))}
              scale={scale}
              numbers={false}
            />
          </article>
        ))}
      </div>
    </section>
  )
}

const Play = () => {
  const { id } = route.value
  const about = useAnswer<Lineage>(`lineage/${encodeURIComponent(id)}?depth=0`)
  const [sampled, setSampled] = useState<Sampled | undefined>(undefined)
  const [error, setError] = useState<Refused | undefined>(undefined)
  const [busy, setBusy] = useState(false)
  const running = useRef<AbortController | undefined>(undefined)
  const sample = async (form: HTMLFormElement) => {
    const given = new FormData(form)
    const numbers = Object.fromEntries(fields.map(([name]) => [name, Number(given.get(name))]))
    const abort = new AbortController()
    running.current = abort
    setBusy(true)
    setError(undefined)
    try {
      const answer = await post<Sampled>(
        "sample",
        { checkpoint: id, prompt: given.get("prompt"), ...numbers },
        { signal: abort.signal }
      )
      setSampled(answer)
    } catch (cause) {
      if (!abort.signal.aborted) setError(cause as Refused)
    }
    setBusy(false)
  }
  return (
    <>
      <Answered asked={about}>
        {({ nodes }) => (
          <header class="head">
            <h1>{nodes[0]!.name}</h1>
            <span class="code faint">{nodes[0]!.digest.slice(0, 12)}</span>
            <span class="spread" />
            <Ways artifact={nodes[0]!} except="play" />
          </header>
        )}
      </Answered>
      <form
        class="play"
        onSubmit={(event) => {
          event.preventDefault()
          sample(event.currentTarget)
        }}
      >
        <label>
          Prompt
          <textarea
            name="prompt"
            rows={3}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit()
            }}
          />
        </label>
        <div class="fields">
          {fields.map(([name, words, value, least, step, hint]) => (
            <label key={name} title={hint}>
              {words}
              <input name={name} type="number" defaultValue={String(value)} min={least} step={step} required />
            </label>
          ))}
        </div>
        <div class="buttons">
          <button type="submit" class="main" disabled={busy}>
            {busy ? "Sampling…" : "Sample"}
          </button>
          {busy ? (
            <button
              type="button"
              onClick={() => {
                running.current?.abort()
                setBusy(false)
              }}
            >
              Stop
            </button>
          ) : null}
          <span class="faint">Ctrl-Enter samples. The first answer takes longer: the device is opened.</span>
        </div>
      </form>
      {error === undefined ? null : <Problem error={error} />}
      {sampled === undefined ? null : <Result sampled={sampled} />}
    </>
  )
}

/** The view of the playground; without a checkpoint, the choice of one. */
export const PlaygroundView = () =>
  route.value.id === "" ? (
    <Choose
      title="Playground"
      kind="checkpoint"
      to={(reference) => href("play", reference)}
      nothing="No stage of this run has given a checkpoint yet."
    />
  ) : (
    <Play key={route.value.id} />
  )
