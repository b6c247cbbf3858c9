/**
 * What the server answers: asked for, and as a part of the page waits for it.
 *
 * @since 0.1.0
 */
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

/** Asks for `path` (without `/api/`). */
export const ask = async <A>(path: string, options: RequestInit = {}): Promise<A> => {
  let response: Response
  try {
    response = await fetch(`api/${path}`, options)
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error
    throw new Refused({ message: "ptmflow serve does not answer", next: "Is it still running?" })
  }
  const body = (await response.json()) as A | Refusal
  if (!response.ok) throw new Refused(body as Refusal)
  return body as A
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
  }, [path, every])
  return state
}
