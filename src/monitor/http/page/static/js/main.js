/** Where the page begins. The token leaves the address before anything else happens. */

import { App } from "./app.js";
import { toast } from "./components/toast.js";
import { html, render } from "./html.js";
import { startKeys } from "./keys.js";
import { startRouter } from "./router.js";
import { offer, restore, takeFromAddress } from "./session.js";
import { startTheme } from "./theme.js";

const said = (problem) => problem && toast(`The token of the link was not used: ${problem}`, { tone: "warn" });
said(restore());
// Before the router: a link with a token may be opened in a tab that is already here.
window.addEventListener("hashchange", () => {
  const token = takeFromAddress();
  if (token) said(offer(token));
});
startTheme();
startRouter();
startKeys();
const place = /** @type {HTMLElement} */ (document.getElementById("app"));
place.replaceChildren();
render(html`<${App} />`, place);
