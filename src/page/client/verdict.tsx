/**
 * What a verification found.
 *
 * @since 0.1.0
 */
import type { VerifiedView } from "../answers.ts"
import { duration, moment } from "./quantity.ts"

const words = {
  proven: "proven",
  differs: "differs",
  unverifiable: "not verifiable",
  failed: "failed to run again"
} as const

const signs = { proven: "✓", differs: "✗", unverifiable: "?", failed: "✗" } as const

/** The verdict as a sign. */
export const verdictSign = ({ verdict }: VerifiedView): string => signs[verdict]

/** The verdict in words. */
export const verdictWords = ({ sampled, verdict }: VerifiedView): string =>
  `${words[verdict]}${verdict === "proven" && sampled !== null ? ", as far as it was sampled" : ""}`

/** The verdict in words and colour. */
export const Verdict = ({ verified }: { readonly verified: VerifiedView }) => (
  <span class={`state tone-${verified.verdict}`}>{verdictWords(verified)}</span>
)

/** The first differences, or why there is no verdict. */
const detailsOf = ({ difference, failure, outputs, reasons, verdict }: VerifiedView): ReadonlyArray<string> => [
  ...(difference === null ? [] : [difference]),
  ...outputs.flatMap(({ difference, found, port, recorded }) =>
    found === recorded
      ? []
      : [
          `${port} ${recorded.slice(0, 12)} → ${found === "" ? "(none)" : found.slice(0, 12)}${
            difference === null ? ", what was recorded is no longer in the store" : `: ${difference}`
          }`
        ]
  ),
  ...reasons,
  ...(failure === null ? [] : [failure]),
  ...(verdict === "unverifiable" && reasons.length === 0 ? ["it could not run as it ran then"] : [])
]

/** A verification in full: what it found, when, on what, by whom, and how much ran again. */
export const VerifiedItem = ({ verified }: { readonly verified: VerifiedView }) => {
  const { device, outputs, sampled, seconds, stage, time, user, verdict } = verified
  const same = verdict === "proven" && outputs.length > 0 ? outputs.map(({ port }) => port).join(", ") : ""
  return (
    <li class="verified">
      <p>
        <Verdict verified={verified} /> <b>{stage}</b> <span class="faint">{moment(time)}</span>
      </p>
      <p class="faint">
        {[
          sampled === null ? "all of it ran again" : sampled,
          `in ${duration(seconds)}`,
          device === null ? "" : `on ${device}`,
          user === "" ? "" : `by ${user}`,
          same === "" ? "" : `the same: ${same}`
        ]
          .filter((each) => each !== "")
          .join(" · ")}
      </p>
      {detailsOf(verified).map((text) => (
        <pre key={text}>{text}</pre>
      ))}
    </li>
  )
}
