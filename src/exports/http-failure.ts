/**
 * What a service could not be reached for, as a person is told.
 *
 * @since 0.1.0
 */

/** What an HTTP client failed with, and what was at the bottom of it: the system's code, or else the message. */
export const inWords = (error: { readonly message: string }): string => {
  type Link = { readonly reason?: Link; readonly cause?: Link; readonly code?: unknown; readonly message?: unknown }
  let bottom = ""
  for (let link = (error as Link).reason; link instanceof Object; link = link.cause) {
    bottom = String(link.code ?? link.message ?? bottom)
  }
  return bottom === "" || error.message.includes(bottom) ? error.message : `${error.message}: ${bottom}`
}
