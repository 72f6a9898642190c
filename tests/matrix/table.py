"""Writes `docs/compatibility.md` from the results of the tests."""

from __future__ import annotations

from collections import defaultdict
from statistics import median, quantiles
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from servers.catalogue import APPLICATIONS, SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from xml.etree.ElementTree import Element

CHECKS = ("echo", "upload", "stream", "first byte", "disconnect", "failure")
HEAD = """# What was tested with what

Written by `make matrix`. Each server is started by its users' command, with the middleware and without; the client gets
the same bytes from both, and each request is one event in a local Brain.

The checks: **echo** (a body there and back, with and without a token), **upload** (1 MB in pieces, of known and of
unknown length), **stream** (each chunk reaches the client before the next is made), **first byte** (as early as bare),
**disconnect** (a client leaves in the middle: the application is told, the event says `aborted`), **failure** (an
unhandled exception). *All* passed, or all but what is named; *-*: the two do not go together, or were not tested.
"""

NOT_IN_THE_TABLE = """## Beside the tables

- Tornado's `WSGIContainer` sends nothing before the response is complete, nor when the application raises.
- FastPySGI lets no thread of the application run while it waits: events leave with the next requests or at the end
  (`findings/fastpysgi_threads_sleep.sh`).
- socketify: an exception of the application ends the process.
- pyvoy, ASGI: all but *disconnect*, whose stream does not reach the client, with or without the middleware.
- Starlette's `WSGIMiddleware`, a2wsgi, asgiref, apig-wsgi, serverless-wsgi and Mangum are tested in process too.
- `mod_wsgi-express` 6.1 was tried by hand.
- gunicorn's asgi worker cancels an application whose client has gone, and tells only those that ask. Starlette and
  FastAPI do not ask while they stream: their event names the `CancelledError` and is not `aborted`.
- hypercorn's WSGI answers 500 to empty bodies, and a2wsgi ignores a second `start_response`: events say what the
  application answered.

What each server does at its end: [deployment](deployment.md#how-servers-end).
"""


class Result:
    """One test case of a JUnit file."""

    def __init__(self, case: Element) -> None:
        self.properties: dict[str, str] = {}
        self.versions: set[str] = set()
        for item in case.iter("property"):
            name, value = item.get("name", ""), item.get("value", "")
            if name.endswith(" version"):
                self.versions.add(value)
            self.properties[name] = value
        self.name = case.get("name", "")
        kinds = {child.tag for child in case}
        self.skipped = "skipped" in kinds
        self.failed = bool(kinds & {"failure", "error"})

    @property
    def key(self) -> tuple[str, str, str]:
        """Server, framework, check."""
        of = self.properties.get
        return of("server", ""), of("framework", ""), of("check", "")


def results(folder: Path) -> Iterator[Result]:
    """Yield the results of all runs that belong to a check."""
    for file in sorted(folder.glob("*.xml")):
        for case in ET.parse(file).iter("testcase"):
            result = Result(case)
            if result.properties.get("check"):
                yield result


def write_table(folder: Path, page: Path) -> None:
    """Write the page.

    Args:
        folder: Where the JUnit files are.
        page: The page.
    """
    found = list(results(folder))
    parts = [HEAD]
    for interface, title in (("asgi", "ASGI"), ("wsgi", "WSGI")):
        parts.append(f"## {title}\n\n" + "\n".join(grid(found, interface)))
    parts.append(NOT_IN_THE_TABLE)
    parts.append("## The first byte of a stream\n\n" + first_byte(found))
    parts.append("## Further checks\n\n" + "\n".join(further(found)))
    parts.append("## Versions\n\n" + versions(found))
    parts.append("## The contract suite\n\n" + "\n".join(suites(folder)))
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n")


def grid(found: Iterable[Result], interface: str) -> Iterator[str]:
    """Yield the lines of a table: servers down, those with equal results in one line, frameworks across."""
    outcome: defaultdict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for result in found:
        server, framework, check = result.key
        if check in CHECKS and not result.skipped:
            known = outcome[server, framework].get(check, True)
            outcome[server, framework][check] = known and not result.failed
    frameworks = [each.framework for each in APPLICATIONS if each.interface == interface]
    rows: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for each in SERVERS:
        if each.interface == interface:
            rows[tuple(cell(outcome.get((each.name, framework))) for framework in frameworks)].append(each.name)
    yield "| servers | " + " | ".join(frameworks) + " |"
    yield "|---|" + "---|" * len(frameworks)
    for cells, names in rows.items():
        yield f"| {'; '.join(names)} | " + " | ".join(cells) + " |"


def cell(checks: dict[str, bool] | None) -> str:
    """Return what stands in the grid for one server and one framework."""
    if not checks:
        return "-"
    failed = [name for name in CHECKS if checks.get(name) is False]
    if failed:
        return "failed: " + ", ".join(failed)
    missing = [name for name in CHECKS if name not in checks]
    return "all" if not missing else "all but " + ", ".join(missing)


def first_byte(found: Iterable[Result]) -> str:
    """Return a paragraph on how early the first bytes came, with and without the middleware."""
    times: dict[str, list[float]] = {"wrapped": [], "bare": []}
    for result in found:
        pair = [result.properties.get(f"first byte, {kind}, ms") for kind in times]
        if None not in pair and not result.failed:
            for values, value in zip(times.values(), pair, strict=True):
                values.append(float(value or 0))
    if not times["bare"]:
        return "Not measured in this run."
    later = [wrapped - bare for wrapped, bare in zip(times["wrapped"], times["bare"], strict=True)]
    return (
        f"Medians over {len(later)} combinations: {median(times['wrapped']):.2f} ms with the middleware, "
        f"{median(times['bare']):.2f} ms without; quartiles of the differences "
        f"{', '.join(f'{value:+.2f}' for value in quantiles(later, n=4))} ms."
    )


def further(found: Iterable[Result]) -> Iterator[str]:
    """Yield the lines of the table of the checks that are not in the grid: how many cases, and what they measured."""
    cases: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    figures: defaultdict[tuple[str, str], defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in found:
        check = result.key[2]
        if (check in CHECKS and result.key[0]) or result.skipped:
            continue
        row = check, "failed" if result.failed else "passed"
        cases[row].add(result.name)
        for name, value in result.properties.items():
            if name.endswith((" MB", " core", " ms")):
                figures[row][name].append(float(value))
    yield "| check | result | cases | smallest … largest figure |"
    yield "|---|---|---|---|"
    for row, names in sorted(cases.items()):
        ranges = "; ".join(f"{name}: {min(values)} … {max(values)}" for name, values in figures[row].items())
        yield f"| {' | '.join(row)} | {len(names)} | {ranges} |"


def suites(folder: Path) -> Iterator[str]:
    """Yield the lines of a table: how the contract suite ended in each environment."""
    yield "Every framework with every scenario, in process and over uvicorn and gunicorn, and the adapters' own tests:"
    yield ""
    yield "| environment | passed | failed | skipped |"
    yield "|---|---|---|---|"
    for file in sorted(folder.glob("*-0.xml")):
        cases = [{child.tag for child in case} for case in ET.parse(file).iter("testcase")]
        failed = sum(bool(kinds & {"failure", "error"}) for kinds in cases)
        skipped = sum("skipped" in kinds for kinds in cases)
        yield f"| {file.stem.removesuffix('-0')} | {len(cases) - failed - skipped} | {failed} | {skipped} |"


def versions(found: Iterable[Result]) -> str:
    """Return what was tested; of what there are several versions, with which Python."""
    known: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for result in found:
        if not result.skipped and "python" in result.properties:
            for each in result.versions:
                name, _, version = each.rpartition(" ")
                known[name][version].add(result.properties["python"])
    return ", ".join(f"{name} {_with_python(of)}" for name, of in sorted(known.items())) + "."


def _with_python(versions: dict[str, set[str]]) -> str:
    if len(versions) == 1:
        return next(iter(versions))
    return " and ".join(f"{version} (Python {', '.join(sorted(of))})" for version, of in sorted(versions.items()))
