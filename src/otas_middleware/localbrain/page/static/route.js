// What is shown stands in the address, behind the "#": the view, its filter, and the event that is open.

/** The present view's name and its parameters. */
export function here() {
  const [, path, query] = /^#\/([^?]*)\??(.*)$/.exec(location.hash) ?? [null, "events", ""];
  return { view: path || "events", parameters: Object.fromEntries(new URLSearchParams(query)) };
}

/** An address with its parameters; those that are empty are left out. */
export function withQuery(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given).toString();
  return query ? `${path}?${query}` : path;
}

/** The address of a view. */
export const to = (view, parameters) => withQuery(`#/${view}`, parameters);

/** The address of the present view with other parameters. */
export function change(parameters) {
  const present = here();
  return to(present.view, { ...present.parameters, ...parameters });
}

/** Go there; a change of the filter replaces the entry in the history instead of adding one. */
export function go(address, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", address);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = address;
}
