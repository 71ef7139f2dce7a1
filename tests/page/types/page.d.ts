/** What browsers have, and the library of TypeScript does not yet. */
interface JSON {
  rawJSON?(text: string): object;
}
