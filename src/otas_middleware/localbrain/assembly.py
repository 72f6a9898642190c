"""Puts the parts of a local Brain together: the store, who may post, and the handlers of all services."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otas_middleware.localbrain.agnost import Agnost
from otas_middleware.localbrain.analytics import Analytics
from otas_middleware.localbrain.app import Services
from otas_middleware.localbrain.batch import Batch
from otas_middleware.localbrain.control import Control
from otas_middleware.localbrain.directory import Directory, first_credentials
from otas_middleware.localbrain.intake import Intake
from otas_middleware.localbrain.page.feed import Feed
from otas_middleware.localbrain.page.refusals import Refusals
from otas_middleware.localbrain.page.site import Site
from otas_middleware.localbrain.store import Store
from otas_middleware.localbrain.tokens import TokenAuthority
from otas_middleware.localbrain.uasam import Uasam

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from otas_middleware.localbrain.directory import Credentials
    from otas_middleware.localbrain.faults import Faults


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running Brain consists of, but for its server."""

    store: Store
    directory: Directory
    credentials: Credentials
    tokens: TokenAuthority
    services: Services


def assemble(
    db: Path | None,
    faults: Faults,
    on_events: Callable[[Sequence[tuple[object, ...]]], None],
    on_refused: Callable[[str], None],
) -> Parts:
    """Open the store, and make everything that works on it; the caller closes the store.

    Args:
        db: The SQLite file; None for a temporary one.
        faults: The misbehaviour that is asked for.
        on_events: Called with the rows that were just stored.
        on_refused: Called with the reason when an event cannot be stored.

    Raises:
        ConfigurationError: The file is not a local Brain's.
    """
    with ExitStack() as undo:
        store = Store(db)
        undo.callback(store.close)
        directory = Directory(store)
        credentials = first_credentials(store, directory)
        tokens = TokenAuthority(credentials.token_secret.encode())
        feed = Feed()
        uasam = Uasam(store, directory, tokens)

        def stored(rows: Sequence[tuple[object, ...]]) -> None:
            feed.publish()
            on_events(rows)

        def new_token() -> str:
            agent = directory.agent(credentials.agent_id)
            if agent is None:
                raise KeyError(credentials.agent_id)
            return uasam.new_session(agent, {"made_by": "the local Brain's page"})

        services = Services(
            intake=Intake(directory, tokens, Batch(store, stored).save, faults, on_refused),
            analytics=Analytics(store, directory, tokens, credentials.user_id),
            uasam=uasam,
            agnost=Agnost(store, credentials.agnost_org_id, feed.publish),
            control=Control(store, faults),
            site=Site(store, feed, Refusals(), new_token),
        )
        undo.pop_all()
    return Parts(store, directory, credentials, tokens, services)
