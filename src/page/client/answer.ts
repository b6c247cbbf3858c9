/**
 * What the server answers: asked for, and as a part of the page waits for it.
 *
 * @since 0.1.0
 */
import { signal } from "@preact/signals"
import { useEffect, useState } from "preact/hooks"
import type { Refusal } from "../answers.ts"

/** An answer that is a refusal, or none at all. */
export class Refused extends Error {
  readonly next: string
  constructor({ message, next }: Pick<Refusal, "message" | "next">) {
    super(message)
    this.next = next
  }
}

/** The server is not there. The page says so above its views, once. */
export class Unanswered extends Refused {
  constructor() {
    super({ message: "ptmflow serve does not answer", next: "" })
  }
}

/** Whether the server did not answer when it was asked last. */
export const away = signal(false)

/** How often it answered again after it had not: what is shown is asked for anew then. */
export const returns = signal(0)

/** Milliseconds between two tries to reach it. */
const RETRY = 2_000

/** Tries until it answers, whatever that is. */
const lookForIt = () => {
  if (away.peek()) return
  away.value = true
  const attempt = async () => {
    try {
      await fetch("api/runs?limit=1")
      away.value = false
      returns.value++
    } catch {
      window.setTimeout(attempt, RETRY)
    }
  }
  window.setTimeout(attempt, RETRY)
}

/** Asks for `path` (without `/api/`). */
export const ask = async <A>(path: string, options: RequestInit = {}): Promise<A> => {
  try {
    const response = await fetch(`api/${path}`, options)
    const body = (await response.json()) as A | Refusal
    if (!response.ok) throw new Refused(body as Refusal)
    return body as A
  } catch (error) {
    if (error instanceof Refused || (error as Error).name === "AbortError") throw error
    lookForIt()
    throw new Unanswered()
  }
}

/** Posts JSON. */
export const post = <A>(path: string, body: unknown, options: RequestInit = {}): Promise<A> =>
  ask(path, { ...options, method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })

/** Listens to server-sent events, and sees when there is nobody any more who sends them. */
export const listenTo = (path: string): EventSource => {
  const source = new EventSource(`api/${path}`)
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.OPEN) ask("runs?limit=1").catch(() => {})
  })
  return source
}

/** An answer on its way, there, or refused. While another is on its way the one before stays. */
export interface Asked<A> {
  readonly value: A | undefined
  readonly error: Refused | undefined
  readonly busy: boolean
}

/** The answer for `path`, asked for anew when that changes, and every `every` milliseconds where that is given. None for an empty path. */
export const useAnswer = <A>(path: string, every = 0): Asked<A> => {
  const [state, setState] = useState<Asked<A>>({ value: undefined, error: undefined, busy: path !== "" })
  const again = returns.value
  useEffect(() => {
    if (path === "") {
      setState({ value: undefined, error: undefined, busy: false })
      return
    }
    const abort = new AbortController()
    let timer = 0
    const load = async () => {
      try {
        const value = await ask<A>(path, { signal: abort.signal })
        if (!abort.signal.aborted) setState({ value, error: undefined, busy: false })
      } catch (error) {
        if (abort.signal.aborted) return
        setState((old) => ({ value: old.value, error: error as Refused, busy: false }))
      }
      if (every > 0 && !abort.signal.aborted) timer = window.setTimeout(load, every)
    }
    setState((old) => ({ ...old, error: undefined, busy: true }))
    load()
    return () => {
      abort.abort()
      clearTimeout(timer)
    }
  }, [path, every, again])
  return state
}

/** What the server says is another whenever it changes: asked for when it says so, at `<path>/events`, for as long as a part of the page looks on. `follows` says of what it is worth to wait. */
export const useFollowed = <A>(path: string, follows: (value: A) => boolean): Asked<A> => {
  const [state, setState] = useState<Asked<A>>({ value: undefined, error: undefined, busy: true })
  const again = returns.value
  useEffect(() => {
    const abort = new AbortController()
    let source: EventSource | undefined
    const load = () =>
      ask<A>(path, { signal: abort.signal }).then(
        (value) => {
          if (!abort.signal.aborted) setState({ value, error: undefined, busy: false })
          return value
        },
        (error: Refused) => {
          if (!abort.signal.aborted) setState((old) => ({ ...old, error, busy: false }))
          return undefined
        }
      )
    const seen = async () => {
      if (document.hidden) {
        source?.close()
        source = undefined
        return
      }
      const value = await load()
      if (value === undefined || !follows(value) || source !== undefined || abort.signal.aborted) return
      source = listenTo(`${path}/events`)
      source.addEventListener("message", load)
    }
    document.addEventListener("visibilitychange", seen)
    seen()
    return () => {
      abort.abort()
      source?.close()
      document.removeEventListener("visibilitychange", seen)
    }
  }, [path, again])
  return state
}
