/** Keys that make a repeated request one request. */

/**
 * @returns {string} 128 random bits in hexadecimal
 *
 * `crypto.randomUUID` is there only in a secure context, which a plain-http page of another host than localhost is not.
 */
export function idempotencyKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
