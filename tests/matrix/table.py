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

This page is written by `make matrix` from the results of its tests. Each server is started by the command that its
users type, once with the middleware and once without; the client compares what it gets from both, byte for byte, and
each request must be one event in a local Brain.

The checks: **echo** (a body there and back, with and without a session token), **upload** (1 MB in pieces, of known and
of unknown length), **stream** (each chunk reaches the client before the next one is made), **first byte** (as early as
bare, measured in the same run), **disconnect** (a client leaves in the middle: the application is told, the event says
`aborted`), **failure** (an unhandled exception).
"""

NOT_IN_THE_TABLE = """## Not in the tables

- Tornado's `WSGIContainer` collects the whole response before it sends anything, and answers nothing when the
  application raises.
- FastPySGI waits for requests without letting go of the interpreter lock: no thread of the application runs meanwhile,
  so events leave with the next requests or at the end (`findings/fastpysgi_threads_sleep.sh`).
- socketify: an exception of the application ends the process.
- pyvoy, ASGI: the endless stream of the check *disconnect* does not reach the client, with or without the middleware;
  the other checks passed.
- Starlette's `WSGIMiddleware` is deprecated for a2wsgi. Both and asgiref's are tested in process too, by
  `tests/adapters/test_bridges.py`; so are apig-wsgi and serverless-wsgi, which are functions and no servers. Mangum has
  `tests/servers/test_lambda.py`.
- mod_wsgi needs Apache; `mod_wsgi-express` 6.1 was tried by hand, and keeps to PEP 3333.

gunicorn's asgi worker cancels an application whose client has gone, and tells those that ask only. Starlette and
FastAPI do not ask while they stream: their event names the `CancelledError` and is not `aborted`.

waitress, Twisted's `twist` and uvicorn end by the signal that stops them, and Python then runs nothing at its end. An
ASGI application's events are delivered by the lifespan all the same; a WSGI application behind a bridge on uvicorn
loses what still waits in memory, unless `durability="spool"` is set.

Some differences between what an application answers and what its client gets happen behind the middleware and cannot be
seen from inside: hypercorn's WSGI answers 500 to empty bodies, and a2wsgi ignores a second `start_response`.
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
    parts.append("## Versions\n\n" + "\n".join(versions(found)))
    parts.append("## The contract suite\n\n" + "\n".join(suites(folder)))
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n")


def grid(found: Iterable[Result], interface: str) -> Iterator[str]:
    """Yield the lines of a table: servers down, frameworks across."""
    outcome: defaultdict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for result in found:
        server, framework, check = result.key
        if check in CHECKS and not result.skipped:
            known = outcome[server, framework].get(check, True)
            outcome[server, framework][check] = known and not result.failed
    frameworks = [each.framework for each in APPLICATIONS if each.interface == interface]
    yield "| server | " + " | ".join(frameworks) + " |"
    yield "|---|" + "---|" * len(frameworks)
    for each in SERVERS:
        if each.interface == interface:
            cells = [cell(outcome.get((each.name, framework))) for framework in frameworks]
            yield f"| {each.name} | " + " | ".join(cells) + " |"
    yield ""
    yield "*all*: all six checks passed; *-*: the two do not go together, or were not tested."


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
        f"From request to first byte, the median of each combination's calls, then the median over {len(later)} "
        f"combinations: {median(times['wrapped']):.2f} ms with the middleware, {median(times['bare']):.2f} ms without; "
        f"the differences have the quartiles {', '.join(f'{value:+.2f}' for value in quantiles(later, n=4))} ms."
    )


def further(found: Iterable[Result]) -> Iterator[str]:
    """Yield the lines of the table of the checks that are not in the grid, a line for each, with what they measured."""
    subjects: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for result in found:
        check = result.key[2]
        if (check in CHECKS and result.key[0]) or result.skipped:
            continue
        subject = result.name.partition("[")[2].rstrip("]") or result.name.replace("_", " ")
        figures = {name: value for name, value in result.properties.items() if name.endswith((" MB", " core", " ms"))}
        if figures:
            subject += f" ({', '.join(figures.values())})"
        subjects[check, "failed" if result.failed else "passed", "; ".join(figures)].add(subject)
    yield "| check | result | of what (figures) | figures |"
    yield "|---|---|---|---|"
    for (check, outcome, measured), names in sorted(subjects.items()):
        yield f"| {check} | {outcome} | {'; '.join(sorted(names))} | {measured} |"


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


def versions(found: Iterable[Result]) -> Iterator[str]:
    """Yield a line for each version of Python, and what was tested with it."""
    by_python: defaultdict[str, set[str]] = defaultdict(set)
    for result in found:
        if not result.skipped and "python" in result.properties:
            by_python[result.properties["python"]] |= result.versions
    for python, names in sorted(by_python.items()):
        yield f"- Python {python}: " + ", ".join(sorted(names))
