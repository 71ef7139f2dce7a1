/** Where the page begins. The token leaves the address before anything else happens. */

import { App } from "./app.js";
import { html, render } from "./html.js";
import { startKeys } from "./keys.js";
import { startRouter } from "./router.js";
import { restore, signIn, takeFromAddress } from "./session.js";
import { startTheme } from "./theme.js";

restore();
// Before the router: a link with a token may be opened in a tab that is already here.
window.addEventListener("hashchange", () => {
  const token = takeFromAddress();
  if (token) signIn(token);
});
startTheme();
startRouter();
startKeys();
const place = document.getElementById("app");
place.replaceChildren();
render(html`<${App} />`, place);
