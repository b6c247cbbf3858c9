/**
 * Light or dark: as the system is, or as a person said.
 *
 * @since 0.1.0
 */
import { effect, signal } from "@preact/signals"

/** What a person can say. */
export const themes = ["auto", "light", "dark"] as const

const KEY = "ptmflow-theme"
const system = matchMedia("(prefers-color-scheme: dark)")
const saved = themes.find((each) => each === localStorage.getItem(KEY)) ?? "auto"

/** What was said. */
export const wish = signal<(typeof themes)[number]>(saved)

/** What is shown. */
export const theme = signal<"light" | "dark">("light")

const settle = () => {
  theme.value = wish.value === "auto" ? (system.matches ? "dark" : "light") : wish.value
}

effect(() => {
  localStorage.setItem(KEY, wish.value)
  document.documentElement.dataset["theme"] = wish.value
  settle()
})
system.addEventListener("change", settle)
