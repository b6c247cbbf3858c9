/**
 * The files of the page: from the package, or bundled on the spot in a checkout.
 *
 * @since 0.1.0
 */
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { PageError } from "./refusal.ts"

const types: { readonly [name: string]: string } = {
  "page.js": "text/javascript; charset=utf-8",
  "page.css": "text/css; charset=utf-8"
}

const index = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>ptmflow</title>
<link rel="icon" href="icon.svg">
<link rel="stylesheet" href="page.css">
<script type="module" src="page.js"></script>
</head>
<body><div id="page"></div><noscript>This page needs JavaScript.</noscript></body>
</html>
`

const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><g fill="none" stroke="#2a78d6" stroke-width="1.6"><path d="M5 4h3.5a3 3 0 0 1 3 3v2M5 12h3.5a3 3 0 0 0 3-3"/></g><g fill="#2a78d6"><circle cx="3.5" cy="4" r="2"/><circle cx="3.5" cy="12" r="2"/><circle cx="12" cy="8" r="2.4"/></g></svg>`

const from = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** Answers for the page's files: these names and no others, so no path leads anywhere. */
export const assets = Effect.gen(function* () {
  const source = existsSync(from("../client/page.tsx"))
  const files = yield* Effect.tryPromise({
    try: async () => {
      if (source) return (await import("../bundle.ts")).bundle()
      const read = Object.keys(types).map(
        async (name) => [name, await readFile(from(`../../../page/${name}`))] as const
      )
      return new Map<string, Uint8Array>(await Promise.all(read))
    },
    catch: (cause) =>
      new PageError({
        status: 500,
        place: "page",
        message: `the page could not be ${source ? "bundled" : "read"}: ${cause instanceof Error ? cause.message : cause}`,
        next: source ? "npm install, and try again." : "npm run build makes it."
      })
  })
  return new Map([
    ["/", HttpServerResponse.text(index, { contentType: "text/html; charset=utf-8" })],
    ["/icon.svg", HttpServerResponse.text(icon, { contentType: "image/svg+xml" })],
    ...Object.entries(types).map(
      ([name, contentType]) => [`/${name}`, HttpServerResponse.uint8Array(files.get(name)!, { contentType })] as const
    )
  ])
})
