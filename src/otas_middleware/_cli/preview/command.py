"""What `otas-middleware preview` runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from otas_middleware._cli.application import read as read_application
from otas_middleware._cli.preview.exchange import UnreadableError
from otas_middleware._cli.preview.read import read as read_exchanges
from otas_middleware._cli.preview.read import with_response
from otas_middleware._cli.preview.replay import replay
from otas_middleware._cli.preview.show import printable, show

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otas_middleware._cli.application import Source, Subject
    from otas_middleware._cli.preview.read import Format

_ENDPOINT = "/api/v1/backend/log/sdk/"


def run(
    words: Sequence[str],
    *,
    source: Source,
    response: Path | None,
    form: Format | None,
    entry: int | None,
    route: str | None,
    as_json: bool,
) -> None:
    """Print the event of each exchange.

    Args:
        words: See `read`.
        source: Where the settings come from.
        response: A file with the response.
        form: The format of the input.
        entry: Which exchange of several, counted from 1; all of them when None.
        route: The route template.
        as_json: Print the bytes that would be posted, an event a line, and nothing else on standard output.

    Raises:
        OtasError: The input or the settings cannot be used.
    """
    exchanges = read_exchanges(words, form)
    if entry is not None:
        if not 1 <= entry <= len(exchanges):
            raise UnreadableError(f"--entry {entry} is not there; the input holds {len(exchanges)}")
        exchanges = [exchanges[entry - 1]]
    if response is not None:
        if len(exchanges) > 1:
            raise UnreadableError("--response belongs to a single request; choose one of these with --entry")
        exchanges = [with_response(exchanges[0], response)]
    subject = read_application(source)
    if subject.error is not None or subject.settings is None:
        raise subject.error or UnreadableError("the settings cannot be read")
    if subject.placements == ():
        sys.stderr.write(f"note: otas_middleware is not installed in {source.target}; see otas-middleware doctor.\n")
    for number, exchange in enumerate(exchanges, 1):
        preview = replay(exchange, subject.settings, _framework(subject), route)
        if as_json:
            for remark in preview.remarks:
                sys.stderr.write(printable(f"note: {remark}\n"))
            if preview.event is not None:
                sys.stdout.write(preview.event.to_json().decode() + "\n")
            continue
        title = f"[{number} of {len(exchanges)}] " if len(exchanges) > 1 else ""
        url = f"{subject.settings.brain_url}{_ENDPOINT}" if subject.settings.enabled else ""
        sys.stdout.write(show(preview, title=title, url=url, colour=_colour()) + "\n" * (2 if title else 1))


def _framework(subject: Subject) -> str:
    if subject.framework is not None:
        return subject.framework.partition(" ")[0].lower()
    return subject.source.kind if subject.source.target else "asgi"


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
