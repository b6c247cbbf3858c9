/**
 * Counter-based random numbers: functions of a key and a counter, with no state between calls, so that resume and replay are exact.
 *
 * @since 0.1.0
 */
export { normal, philox, uniform } from "../device/philox.ts"
