/**
 * Serves the benchmark's training step from TensorFlow.js: a JSON request a line on stdin, a JSON answer a line on stdout, as
 * bench/peers/torch_serve.py.
 */
import { createRequire } from "node:module"
import { dirname } from "node:path"
import { createInterface } from "node:readline"
import * as tf from "@tensorflow/tfjs"
import { getThreadsCount, setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm"
import { make } from "./gpt.mjs"

console.log = console.error
setWasmPaths(`${dirname(createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-wasm"))}/`)
let model
let shape

const batch = () => {
  const tokens = Int32Array.from({ length: shape.batch * shape.context }, () =>
    Math.floor(Math.random() * shape.vocabulary)
  )
  return [tokens, Int32Array.from(tokens, (_, i) => tokens[(i + 1) % tokens.length])]
}

const answer = async (request) => {
  if (request.do === "open") {
    shape = request
    setThreadsCount(request.threads)
    await tf.setBackend("wasm")
    model = make({ ...shape, batch: shape.microBatch })
    const loss = model.step(...batch())
    const simd = await tf.env().getAsync("WASM_HAS_SIMD_SUPPORT")
    const threaded = await tf.env().getAsync("WASM_HAS_MULTITHREAD_SUPPORT")
    const variant = `${tf.getBackend()}${simd ? ", SIMD" : ""}, ${threaded ? getThreadsCount() : 1} thread`
    return { version: `TensorFlow.js ${tf.version_core}`, variant, parameters: model.parameters, loss }
  }
  if (request.do === "repeat") {
    const batches = Array.from({ length: request.times }, batch)
    const start = performance.now()
    let loss = 0
    for (const each of batches) loss = model.step(...each)
    return { seconds: (performance.now() - start) / 1000 / request.times, loss }
  }
  return { bytes: process.resourceUsage().maxRSS * 1024 }
}

for await (const line of createInterface(process.stdin)) {
  const result = await answer(JSON.parse(line)).catch((error) => ({ error: String(error) }))
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
