/**
 * The parameters of a stage.
 *
 * @since 0.1.0
 */

/** A parameter's value in one line. */
const value = (json: unknown): string => (typeof json === "string" ? json : JSON.stringify(json))

const pairs = (json: unknown): ReadonlyArray<readonly [string, string]> =>
  json !== null && typeof json === "object" && !Array.isArray(json)
    ? Object.entries(json).map(([name, each]) => [name, value(each)] as const)
    : [["", value(json)]]

/** A table of them; nothing where there are none. */
export const Parameters = ({ json }: { readonly json: unknown }) => {
  const all = pairs(json)
  return all.length === 0 ? null : (
    <>
      <h3>Parameters</h3>
      <table class="figures">
        <tbody>
          {all.map(([name, each]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="code wrap">{each}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  )
}
