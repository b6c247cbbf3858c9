/**
 * Numbers as people read them.
 *
 * @since 0.1.0
 */

/** `12 ms`, `0.3 s`, `12 s`, `3m 05s`, `2h 07m`. */
export const duration = (seconds: number): string => {
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const two = (n: number) => String(n).padStart(2, "0")
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`
  const minutes = Math.round(seconds / 60)
  return `${Math.floor(minutes / 60)}h ${two(minutes % 60)}m`
}

/** Four significant digits; whole numbers as they are, large ones as `12.3k`, small ones as `2.0e-4`. */
export const decimal = (value: number): string => {
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  if (size >= 1e15) return value.toExponential(2)
  for (const [unit, suffix] of [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e4, "k"]
  ] as const) {
    if (size >= unit) return `${(value / (unit === 1e4 ? 1e3 : unit)).toPrecision(3)}${suffix}`
  }
  if (Number.isInteger(value)) return String(value)
  if (size < 1e-3) return value.toExponential(1)
  return size >= 1000 ? value.toFixed(0) : value.toPrecision(4)
}

/** Bytes in decimal units: `812 B`, `3.21 MB`. */
export const bytes = (count: number): string => {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"]
  let value = count
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`
}

/** `1 stage`, `12 stages`. */
export const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`

/** `just now`, `5 minutes ago`, `3 days ago`; times in milliseconds. */
export const ago = (time: number, now: number): string => {
  const seconds = Math.max(0, (now - time) / 1000)
  if (seconds < 45) return "just now"
  for (const [unit, name] of [
    [86400, "day"],
    [3600, "hour"],
    [60, "minute"]
  ] as const) {
    if (seconds >= unit * 0.95) return `${count(Math.round(seconds / unit), name)} ago`
  }
  return "a minute ago"
}
