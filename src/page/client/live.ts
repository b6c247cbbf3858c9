/**
 * A run as it happens: asked for once, then brought up to date by the server's events.
 *
 * @since 0.1.0
 */
import { useEffect, useState } from "preact/hooks"
import type { LogEntry } from "../../lineage/run-log.ts"
import type { Curves, Run, StageView } from "../answers.ts"
import { advance, collect, type Growing, seriesId } from "../progress.ts"
import { type Asked, ask, listenTo, type Refused, returns } from "./answer.ts"

/** A run and its metrics. `version` grows with every change of the metrics. */
export interface Live {
  readonly run: Run
  readonly series: ReadonlyMap<string, Growing>
  readonly version: number
}

/** Milliseconds after a stage's end until what it gave is asked for: many may end at once. */
const SETTLE = 600

/** The run called so, for as long as a part of the page looks on; none for an empty name. */
export const useRun = (name: string): Asked<Live> => {
  const [state, setState] = useState<Asked<Live>>({ value: undefined, error: undefined, busy: name !== "" })
  const again = returns.value
  useEffect(() => {
    setState((old) => ({
      value: old.value?.run.run === name ? old.value : undefined,
      error: undefined,
      busy: name !== ""
    }))
    if (name === "") return
    const abort = new AbortController()
    const { signal } = abort
    const path = `runs/${encodeURIComponent(name)}`
    let source: EventSource | undefined
    let timer = 0
    let version = 0
    let series = new Map<string, Growing>()

    const set = (change: (run: Run | undefined) => Run | undefined) =>
      setState((old) => {
        const run = change(old.value?.run)
        return run === undefined ? old : { value: { run, series, version }, error: undefined, busy: false }
      })
    const fail = (error: unknown) => {
      if (!signal.aborted) setState((old) => ({ value: old.value, error: error as Refused, busy: false }))
    }
    let asking = false
    let again = false
    const refresh = () => {
      again = asking
      if (asking) return
      asking = true
      timer = window.setTimeout(async () => {
        const began = performance.now()
        await ask<Run>(path, { signal }).then((run) => set(() => run), fail)
        // A large run is not asked for more of the time than it is left alone.
        timer = window.setTimeout(
          () => {
            asking = false
            if (again) refresh()
          },
          3 * (performance.now() - began)
        )
      }, SETTLE)
    }
    const take = (entries: ReadonlyArray<LogEntry>) => {
      for (const entry of entries) collect(series, entry)
      version++
      set((run) => {
        if (run === undefined) return undefined
        const stages = new Map<string, StageView>(run.detail.map((stage) => [stage.stage, stage]))
        for (const entry of entries) {
          if (entry._tag === "Graph" || entry._tag === "Ended") continue
          const stage = stages.get(entry.stage)
          if (stage !== undefined) stages.set(entry.stage, advance(stage, entry))
        }
        return { ...run, detail: [...stages.values()] }
      })
      if (entries.some(({ _tag }) => _tag === "Finished" || _tag === "Reused" || _tag === "Graph")) refresh()
    }
    const load = async (): Promise<Run> => {
      // The curves first: events since then are told again, which a curve would count twice and a stage's state does not.
      const curves = await ask<Curves>(`${path}/curves`, { signal })
      const run = await ask<Run>(path, { signal })
      series = new Map(
        curves.series.map((each) => [seriesId(each.stage, each.metric), { ...each, points: [...each.points] }])
      )
      version++
      set(() => run)
      return { ...run, next: curves.next }
    }
    const listen = (run: Run) => {
      if (run.state !== "running" || signal.aborted || document.hidden) return
      source = listenTo(`${path}/events?from=${run.next}`)
      source.addEventListener("message", ({ data }) => take(JSON.parse(data) as ReadonlyArray<LogEntry>))
      source.addEventListener("done", () => {
        source?.close()
        load().catch(fail)
      })
    }
    // A browser has few connections to one server: a page that nobody sees gives its own back.
    const seen = () => {
      if (document.hidden) {
        source?.close()
        source = undefined
      } else if (source === undefined) load().then(listen, fail)
    }
    document.addEventListener("visibilitychange", seen)
    load().then(listen, fail)
    return () => {
      abort.abort()
      source?.close()
      window.clearTimeout(timer)
      document.removeEventListener("visibilitychange", seen)
    }
  }, [name, again])
  return state
}
