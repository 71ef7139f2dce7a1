/** Where the service begins, from where this module lies: `<root>/assets/<digest>/js/`. A proxy may add a path. */

/** Ends with a slash. */
export const ROOT = new URL("../../../", import.meta.url).pathname;
