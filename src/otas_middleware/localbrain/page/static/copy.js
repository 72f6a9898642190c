// Copying to the clipboard.

import { say } from "./dom.js";

/** Copy a text and say so; returns whether the browser let us. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied ${what}.`);
    return true;
  } catch {
    say("The browser does not allow copying.");
    return false;
  }
}
