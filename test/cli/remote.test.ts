/** Sharing results from the command line (row 37 of the table of features). */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { counting, Folder } from "./command-line.ts"

let folder: Folder
beforeAll(() => {
  folder = new Folder()
})
afterAll(() => folder.remove())

test("serve-remote, --remote and --remote-policy", async () => {
  const env = { PTMFLOW_REMOTE_TOKEN: "a secret" }
  const started = Promise.withResolvers<{ address: string; stop: () => void }>()
  const server = folder.start(["serve-remote", "shared", "--port", "0", "--json"], {
    env,
    onLine: (line, child) => started.resolve({ ...JSON.parse(line), stop: () => child.kill("SIGTERM") })
  })
  const { address, stop } = await started.promise
  const ask = (command: string, store: string, ...flags: ReadonlyArray<string>) =>
    folder.start([command, counting, "--store", store, ...flags], { env })
  const made = await ask("run", "one", "--remote", address)
  expect(made).toMatchObject({ code: 0, errors: "" })
  expect((await ask("plan", "two")).code).toBe(2)
  const planned = await ask("plan", "two", "--remote", address)
  expect(planned.out).toContain(`from ${address}`)
  expect(planned.code).toBe(0)
  expect(fs.existsSync(path.join(folder.root, "two", "records")), "a plan keeps nothing").toBe(false)
  const pulled = await folder.start(["run", counting, "--store", "two"], { env: { ...env, PTMFLOW_REMOTE: address } })
  expect(pulled.code).toBe(0)
  expect(pulled.out).toMatch(/reused count, from http/)
  expect(pulled.out).not.toContain("started")

  const stranger = await folder.start(["plan", counting, "--store", "three", "--remote", address])
  expect(stranger.errors).toMatch(/PTMFLOW_REMOTE_TOKEN.*going on with what is here/)
  expect(stranger.code).toBe(2)

  stop()
  expect((await server).code).toBe(143)
  const alone = await ask("run", "four", "--remote", address)
  expect(alone.errors).toMatch(/cannot be reached.*going on with what is here/)
  expect(alone.code).toBe(0)
  const required = await ask("run", "five", "--remote", address, "--remote-policy", "required")
  expect(required.errors).toMatch(/error: .*cannot be reached/)
  expect(required.code).toBe(1)
})

test("a place that is none, and a token that would be sent in the clear, are refused", async () => {
  const run = (remote: string, env = {}) =>
    folder.start(["run", counting, "--store", "six", "--remote", remote], { env })
  expect((await run("ftp://name:word@example.org/x")).errors).toContain("ftp://example.org/x is no remote")
  const clear = await run("http://example.org/x", { PTMFLOW_REMOTE_TOKEN: "secret" })
  expect(clear.errors).toContain("would be sent to http://example.org/x unencrypted")
  expect(clear.code).toBe(1)
  const open = await folder.start(["serve-remote", "shared", "--host", "0.0.0.0"])
  expect(open.errors).toContain("PTMFLOW_REMOTE_TOKEN")
  expect(open.code).toBe(1)
})
