"""Where captures end in tests that look at thousands of them: in memory, before anything is built or sent."""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from pydantic import SecretStr

from otas_middleware import OtasSettings
from otas_middleware._capture import Capture
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._recorder import Recorder
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from otas_middleware._delivery import Weighted
    from otas_middleware._event import Envelope


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


SESSION = {"agent_session_id": str(uuid4()), "agent_id": str(uuid4())}
TOKEN = (TOKEN_HEADER, f"{_part({'alg': 'HS256'})}.{_part(SESSION)}.c2lnbmF0dXJl")
"""A header that names a session; nobody will check its signature."""


class Sink:
    """Takes the pipeline's place for applications that are made with its `settings`."""

    def __init__(self, **changes: Any) -> None:
        # The project sets these settings apart from all others, and with them their recorder.
        self.settings = OtasSettings(sdk_key=SecretStr("otas_test_key"), project_id=uuid4(), **changes)
        self.captures: deque[Capture] = deque()
        runtime.recorders[self.settings] = Recorder(self.settings, lambda _: self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the recorder: each that lives has to be asked by whoever asks for the process's counters."""
        del runtime.recorders[self.settings]

    def put(self, item: Weighted) -> None:
        assert isinstance(item, Capture)
        self.captures.append(item)

    def take(self) -> Capture:
        """Return the one capture that came since the last call."""
        assert len(self.captures) == 1, f"{len(self.captures)} captures instead of one"
        return self.captures.popleft()

    @property
    def crowded(self) -> bool:
        return False

    def put_envelope(self, envelope: Envelope) -> None:
        raise NotImplementedError("the request path hands over captures only")

    def flush(self, timeout: float) -> bool:
        return True

    def stats(self) -> dict[str, Any]:
        return {}
