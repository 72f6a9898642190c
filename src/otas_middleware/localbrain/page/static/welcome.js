// How to play an agent: a session token to try things with, and what a newcomer sees while there is no event yet.

import { order } from "./api.js";
import { copy, h, say } from "./dom.js";

/** A button that creates a session, and the command that appears then. */
export function tokenMaker() {
  const command = h("pre", { tabindex: "0", role: "region", "aria-label": "Command", hidden: true });
  const make = h("button", {
    type: "button",
    onclick: async () => {
      try {
        const { token } = await order("new-session");
        command.textContent = `curl -i -H 'X-OTAS-AGENT-SESSION-TOKEN: ${token}' http://localhost:8000/`;
        command.hidden = false;
        await copy(command.textContent, "the command, with a token in it");
      } catch {
        say("The Brain does not answer.");
      }
    },
  }, "Make a session token");
  return { make, command };
}

export function welcome() {
  const { make, command } = tokenMaker();
  return h("div", { class: "welcome" },
    h("h3", {}, "Nothing has arrived yet"),
    h("ol", {},
      h("li", {}, "Paste the ", h("code", {}, "export"), " lines that ", h("code", {}, "otas-middleware brain"),
        " printed into the terminal of your application, and start it."),
      h("li", {}, "Send it a request as an agent does, with a session token: ", make, command),
      h("li", {}, "The event shows up here by itself.")));
}
