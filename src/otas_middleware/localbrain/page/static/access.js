// Where others can reach the Brain, it asks for its access token, once.

import { attempt, order } from "./api.js";
import { $ } from "./dom.js";

export function guard() {
  const dialog = $("access");
  addEventListener("access-needed", () => { if (!dialog.open) dialog.showModal(); });
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      await order("access", { token: new FormData(event.target).get("token") });
      location.reload();
    });
  });
}
