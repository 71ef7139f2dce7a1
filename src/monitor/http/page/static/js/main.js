/** Where the page begins. The token leaves the address before anything else happens. */

import { App } from "./app.js";
import { toast } from "./components/toast.js";
import { html, render } from "./html.js";
import { startKeys } from "./keys.js";
import { leave } from "./left.js";
import { address, startRouter } from "./router.js";
import { offer, restore } from "./session.js";
import { startTheme } from "./theme.js";
import { takeFromAddress } from "./token.js";
import { startZone } from "./zone.js";

const handed = takeFromAddress("#/");
const said = (problem) => problem && toast(`The token of the link was not used: ${problem}`, { tone: "warn" });
// Before the router: a link with a token may be opened in a tab that is already here.
window.addEventListener("hashchange", async () => {
  const token = takeFromAddress(address());
  if (token) said(await offer(token));
});
startTheme();
startZone();
startRouter(leave);
startKeys();
const place = /** @type {HTMLElement} */ (document.getElementById("app"));
place.replaceChildren();
render(html`<${App} />`, place);
said(await restore(handed));
