"""Puts a pipeline together from the settings: destinations, transports, lanes, spools and the keeper."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery._keeper import Keeper, Summary
from otas_middleware._delivery._key_watch import KeyWatch
from otas_middleware._delivery._lane import Lane
from otas_middleware._delivery._sender import HttpAttempt
from otas_middleware._delivery._transports import transport_factory
from otas_middleware._destinations.brain import BrainDestination
from otas_middleware._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery._protocols import Destination, Outcome
    from otas_middleware._event import Parcel
    from otas_middleware._settings import OtasSettings

    Build = Callable[[Any, OtasSettings], Parcel | None]
    """Makes a finished event of what the request path left; None leaves the request out."""


class State:
    """What belongs to one process."""

    __slots__ = ("agent", "backend", "keeper", "lanes", "pid")

    def __init__(self, lanes: list[Lane], keeper: Keeper) -> None:
        self.pid = os.getpid()
        self.keeper = keeper
        self.lanes = tuple(lanes)
        self.backend = tuple(lane for lane in lanes if lane.name != "brain-agent")
        self.agent = tuple(lane for lane in lanes if lane.name != "brain")


class Assembly:
    """Makes the states of one pipeline, one for each process. Checks the settings at once, and makes nothing else.

    Args:
        settings: Where to send, limits and times.
        build: Makes an event of an item.
        on_bad_token: Told of each session token that Brain refused.
        on_delivered: Told of each event that a destination has stored.

    Raises:
        ConfigurationError: A setting names something that cannot be used.
        MissingExtraError: A setting needs a package that is not installed.
    """

    def __init__(
        self,
        settings: OtasSettings,
        build: Build,
        on_bad_token: Callable[[str], object],
        on_delivered: Callable[[Parcel, Outcome], object],
    ) -> None:
        self._settings = settings
        self._build = build
        self._on_bad_token = on_bad_token
        self._on_delivered = on_delivered
        self._transport = transport_factory(settings)
        if settings.durability == "spool" and settings.spool_dir is None:
            raise ConfigurationError(
                "otas_middleware: durability='spool' needs a directory; set OTAS_SPOOL_DIR to one of its own."
            )
        self._seal = None
        if settings.spool_key is not None:
            from otas_middleware._delivery._seal import Seal  # noqa: PLC0415  # for those who encrypt

            self._seal = Seal(settings.spool_key.get_secret_value())

    def state(self) -> State:
        """Make the lanes of this process; nothing is started or opened."""
        settings = self._settings
        lanes: list[Lane] = []
        chores: list[Callable[[float], float]] = []
        if settings.sdk_key is not None:
            key = settings.sdk_key.get_secret_value()
            brain = BrainDestination(settings.brain_url, key)
            lanes.append(self._lane(brain, settings.brain_url, key))
            if settings.uasam_url is not None:
                watch = KeyWatch(settings.uasam_url, key, self._transport, lanes[0].reporter, brain.learn_project)
                lanes[0].on_refused = watch.refused
                if settings.project_id is None:
                    chores.append(watch.learn)
        if settings.agent_key is not None:
            key = settings.agent_key.get_secret_value()
            lanes.append(self._lane(BrainDestination(settings.brain_url, key, "agent"), settings.brain_url, key))
        if settings.spool_dir is not None or settings.on_loss is not None:
            chores += [lane.tend for lane in lanes]
        if settings.stats_interval:
            chores += [Summary(lane, settings.stats_interval) for lane in lanes]
        keeper = Keeper(chores)
        for lane in lanes:
            lane.wake_keeper = keeper.wake
            lane.crew.on_start = keeper.start
        return State(lanes, keeper)

    def _lane(self, destination: Destination, url: str, key: str) -> Lane:
        settings, build, make_transport = self._settings, self._build, self._transport
        lane = Lane(
            destination.name,
            settings,
            lambda item: build(item, settings),
            lambda: HttpAttempt(destination, make_transport()),
        )
        lane.on_bad_token = self._on_bad_token
        lane.on_delivered = self._on_delivered
        if settings.spool_dir is not None:
            from otas_middleware._delivery._spool import Spool  # noqa: PLC0415  # sqlite3, for those who spool

            account = f"{url} {settings.project_id or key}"
            mark = hashlib.sha256(account.encode()).hexdigest()[:12]
            path = settings.spool_dir / f"otas-{destination.name}-{mark}.sqlite3"
            lane.use_spool(Spool(path, settings.spool_max_bytes, self._seal), str(settings.spool_dir))
        return lane
