/**
 * What a verification found, as lines.
 *
 * @since 0.1.0
 */
import type { Verified } from "../../lineage/verified.ts"
import type { Verification } from "../../verify/verify.ts"
import { shortDigest } from "./artifact.ts"
import { count, duration } from "./quantity.ts"
import type { Style, View } from "./view.ts"
import { cut } from "./width.ts"

const signs = { proven: "✓", differs: "✗", unverifiable: "?", failed: "✗" } as const

/** `3 of 60 batches`, `updates 1-20,401-420 of 800`; empty where all of it ran. */
const sampleText = ({ sampled }: Verified): string => {
  if (sampled === undefined) return ""
  const { made, of, ranges, total } = sampled
  return ranges === undefined ? `${made} of ${total} ${of}` : `${of} ${ranges} of ${total}`
}

const headline = (verified: Verified): string => {
  const { outputs, seconds, verdict } = verified
  const facts = [
    sampleText(verified),
    verdict === "proven" && outputs.length > 0 ? `${count(outputs.length, "output")} the same` : "",
    duration(seconds)
  ].filter((each) => each !== "")
  const words = {
    proven: verified.sampled === undefined ? "proven" : "proven, as far as it was sampled",
    differs: "differs",
    unverifiable: "not verifiable with what is here today",
    failed: "failed when it ran again"
  }
  return `${words[verdict]}: ${facts.join(", ")}`
}

/** Green what is proven, red what is not the same, and yellow what is not known. */
export const verdictColour = ({ verdict }: Verified, { bad, due, good }: Style) =>
  verdict === "proven" ? good : verdict === "unverifiable" ? due : bad

/** One stage: what was found, and below it the first differences, or why it could not be found out. */
export const verdictLines = (verified: Verified, { columns, style }: View): ReadonlyArray<string> => {
  const { failure, outputs, reasons, stage, update, verdict } = verified
  const colour = verdictColour(verified, style)
  const details = [
    ...(update === undefined ? [] : [update.message]),
    ...outputs.flatMap(({ difference, found, port, recorded }) => {
      if (found === recorded) return []
      const digests = `${shortDigest(recorded)} -> ${found === "" ? "(none)" : shortDigest(found)}`
      const rest =
        difference === undefined ? ", what was recorded is no longer in the store" : `: ${difference.message}`
      return [`${port} ${digests}${rest}`]
    }),
    ...reasons.map(({ message }) => message),
    ...(failure === undefined ? [] : [`${failure.cause}: ${failure.message}`])
  ]
  return [
    cut(`${colour(signs[verdict])} ${style.strong(stage)}  ${headline(verified)}`, columns),
    ...details.flatMap((text) => text.split("\n")).map((text) => cut(`    ${text}`, columns))
  ]
}

/** What all stages together say of the artifact. */
export const verificationLines = ({ of, proven, stages }: Verification, { columns, style }: View) => {
  const name = `${of.stage}.${of.port} ${shortDigest(of.artifact.digest)}`
  const sampled = stages.some((each) => each.sampled !== undefined)
  const among = stages.length === 1 ? "" : `, by ${count(stages.length, "stage")}`
  const words = proven
    ? `${style.good("proven")}: ${name} is what its record says${among}${sampled ? ", as far as it was sampled" : ""}`
    : `${style.bad("not proven")}: ${name}${among}`
  return [cut(words, columns)]
}

/** `proven 2026-11-24 14:30, updates 1-20 of 800, by ana, on 2 threads, AVX2`: in a line of lineage or of an artifact. */
export const verifiedText = (verified: Verified): string =>
  [
    `${words[verified.verdict]} ${new Date(verified.time).toISOString().slice(0, 16).replace("T", " ")} UTC`,
    sampleText(verified),
    verified.user === "" ? "" : `by ${verified.user}`,
    verified.device === null ? "" : `on ${verified.device}`
  ]
    .filter((each) => each !== "")
    .join(", ")

const words = { proven: "proven", differs: "differed", unverifiable: "not verifiable", failed: "failed to run again" }
