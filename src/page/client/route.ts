/**
 * Where in the page one is: `#/view/id?name=value`. So every view has an address, and going back works.
 *
 * @since 0.1.0
 */
import { signal } from "@preact/signals"

/** A view, what it shows, and how. */
export interface Route {
  readonly view: string
  readonly id: string
  readonly query: { readonly [name: string]: string }
}

const read = (): Route => {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2)
  const [view = "", ...rest] = path.split("/")
  return {
    view: view || "runs",
    id: decodeURIComponent(rest.join("/")),
    query: Object.fromEntries(new URLSearchParams(query))
  }
}

/** Where one is now. */
export const route = signal<Route>(read())

addEventListener("hashchange", () => {
  route.value = read()
})

/** The address of a view; what is empty is left out. */
export const href = (view: string, id = "", query: { readonly [name: string]: string | undefined } = {}): string => {
  const given = Object.entries(query).filter(
    (pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== ""
  )
  const text = new URLSearchParams(given).toString()
  return `#/${view}${id === "" ? "" : `/${encodeURIComponent(id)}`}${text === "" ? "" : `?${text}`}`
}

/** Goes to an address. */
export const go = (address: string): void => {
  location.hash = address.slice(1)
}

/** The same view, shown otherwise; it is no step to go back from. */
export const show = (query: { readonly [name: string]: string | undefined }): void => {
  const { id, query: old, view } = route.peek()
  history.replaceState(null, "", href(view, id, { ...old, ...query }))
  route.value = read()
}
