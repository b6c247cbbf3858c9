/**
 * Serves the benchmark from one warm process: a JSON request a line on standard input, a JSON answer a line on standard output.
 * `{"do": "open", "work": ..., "threads": ...}` makes a work and does it once; `{"do": "repeat", "times": n}` gives seconds a time;
 * `{"do": "memory"}` the peak resident bytes of this process; `{"do": "peak"}` the FLOP/s of one thread.
 */
import { createInterface } from "node:readline"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { cuda } from "../../src/device/cuda/cuda.ts"
import { encode } from "./encode.ts"
import { generate } from "./generate.ts"
import { matmul } from "./matmul.ts"
import { peak } from "./peak.ts"
import { ppo } from "./ppo.ts"
import { train } from "./train.ts"
import type { Spec, Work } from "./work.ts"

type Request = ({ readonly do: "open" } & Spec) | { readonly do: "repeat"; readonly times: number } | Other
interface Other {
  readonly do: "memory" | "peak"
}

const open = (spec: Spec) => {
  switch (spec.work) {
    case "train":
      return train(spec)
    case "generate":
      return generate(spec)
    case "ppo":
      return ppo(spec)
    case "matmul":
      return matmul(spec)
    case "encode":
      return encode(spec)
  }
}

const scope = Effect.runSync(Scope.make())
let work: Work | undefined

const answer = Effect.fnUntraced(function* (request: Request) {
  switch (request.do) {
    case "open":
      work = yield* Layer.buildWithScope(
        request.device === "cuda" ? cuda() : cpu({ threads: request.threads }),
        scope
      ).pipe(
        Effect.flatMap((device) => Effect.provideContext(open(request), device)),
        Effect.provideService(Scope.Scope, scope)
      )
      return { version: `Node ${process.versions.node}`, ...work.opened }
    case "repeat": {
      if (work === undefined) return { error: "nothing is open" }
      const start = performance.now()
      for (let time = 0; time < request.times; time++) yield* work.again
      return { seconds: (performance.now() - start) / 1000 / request.times }
    }
    case "memory":
      return { bytes: process.resourceUsage().maxRSS * 1024 }
    case "peak":
      return { flopsPerSecond: yield* peak }
  }
})

for await (const line of createInterface(process.stdin)) {
  const result = await Effect.runPromise(
    Effect.catch(answer(JSON.parse(line)), (error) => Effect.succeed({ error: error.message }))
  )
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
