/**
 * The digest of bytes that are at hand.
 *
 * @since 0.1.0
 */
import { hash } from "node:crypto"

/** SHA-256 in hex. */
export const sha256 = (data: string | Uint8Array): string => hash("sha256", data, "hex")
