"""Agnost's two endpoints, the second destination for events."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from otas_middleware.localbrain.checks import InvalidJsonError, UncaughtError, read_json
from otas_middleware.localbrain.django_http import DjangoJSON, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.store import Store


class Agnost:
    """Handles the posts of one organisation.

    An event that satisfies either published form is taken; the store says which it satisfies, and whether its session
    was there before it, because a sender wants both forms and the session first.
    """

    def __init__(self, store: Store, org_id: str, on_stored: Callable[[], None]) -> None:
        self._store = store
        self._on_stored = on_stored
        self._org_id = UUID(org_id)

    async def capture_session(self, incoming: Incoming) -> Response:
        """`POST /api/v1/capture-session`: a conversation begins."""
        body = self._body(incoming)
        if wrong := problems(body, Session):
            raise _bad(400, "; ".join(wrong))
        session_id = body.get("session_id", "")
        head = None, time.time(), str(self._org_id)
        self._store.insert("agnost_session", *head, session_id, _as_uuid(session_id), json.dumps(body))
        self._on_stored()
        return DjangoJSON({"session_id": session_id})

    async def capture_event(self, incoming: Incoming) -> Response:
        """`POST /api/v1/capture-event`: a tool, a resource or a prompt was used."""
        body = self._body(incoming)
        wrong = {name: problems(body, form) for name, form in EVENT_FORMS.items()}
        forms = [name for name, found in wrong.items() if not found]
        if not forms:
            raise _bad(400, "; ".join(wrong["second" if "event_id" in body else "first"]))
        event_id = str(UUID(body["event_id"])) if "second" in forms else str(uuid4())
        session = _as_uuid(body["session_id"])
        known = bool(self._store.read("SELECT 1 FROM agnost_session WHERE session_uuid = ?", (session,)))
        head = None, time.time(), str(self._org_id), event_id, session
        self._store.insert("agnost_event", *head, known, ",".join(forms), json.dumps(body))
        self._on_stored()
        return DjangoJSON({"event_id": event_id})

    def _body(self, incoming: Incoming) -> dict[str, Any]:
        """Check the organisation, then read the body."""
        org_id = incoming.header(b"x-org-id")
        if org_id is None:
            raise _bad(401, "X-Org-Id header is required")
        try:
            is_known = UUID(org_id) == self._org_id and not incoming.outage
        except ValueError:
            is_known = False
        if not is_known:
            raise _bad(401, "unknown organization")
        try:
            body = read_json(incoming.body)
        except (InvalidJsonError, UncaughtError):
            body = None
        if not isinstance(body, dict) or incoming.is_too_large:
            raise _bad(400, "the body must be a JSON object")
        return cast("dict[str, Any]", body)


def _bad(status: int, error: str) -> RefusedError:
    return RefusedError(DjangoJSON({"error": error}, status))


def _as_uuid(session_id: str) -> str:
    """Normalise a session id: a UUID to its usual form, any other text to the same UUID each time."""
    try:
        return str(UUID(session_id))
    except ValueError:
        return str(uuid5(NAMESPACE_OID, session_id))


def _a_uuid(text: str) -> str:
    UUID(text)
    return text


_Text = Annotated[str, Field(description="a string")]
_Name = Annotated[str, Field(description="a string", min_length=1)]
_Uuid = Annotated[str, AfterValidator(_a_uuid), Field(description="a UUID")]
_Flag = Annotated[bool, Field(description="true or false")]
_Milliseconds = Annotated[int, Field(description="an integer, in milliseconds")]
_Object = Annotated[dict[str, Any], Field(description="an object")]


class _Strict(BaseModel):
    """Takes values of exactly these types, and ignores unknown fields; a default is never checked."""

    model_config = ConfigDict(strict=True)


class _User(_Strict):
    user_id: str = ""
    userId: str = ""  # noqa: N815  # the other published spelling

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) == 2 and self.user_id != self.userId:
            raise ValueError("two users")
        return self


class _Checkpoint(_Strict):
    name: str
    timestamp: int
    metadata: dict[str, str] = {}


class Session(_Strict):
    """What `capture-session` takes."""

    session_id: _Text = ""
    user_data: _User = Field(default=_User(), description="an object whose user_id and userId are one string")
    client_config: _Text = ""
    connection_type: _Text = ""
    ip: _Text = ""
    tools: list[_Name] = Field(default=[], description="an array of names")
    metadata: _Object = {}
    timestamp: _Milliseconds = 0


class _FirstForm(_Strict):
    session_id: _Name
    primitive_name: _Name
    primitive_type: Literal["tool", "resource", "prompt"] = Field(description="one of tool, resource, prompt")
    success: _Flag
    latency: _Milliseconds
    args: _Text = ""
    result: _Text = ""
    checkpoints: list[_Checkpoint] = Field(
        default=[], description="an array of {name, timestamp in milliseconds, metadata of strings}"
    )
    metadata: _Object = {}


class _SecondForm(_Strict):
    event_id: _Uuid
    session_id: _Uuid
    primitive_name: _Name
    args: _Text
    result: _Text
    success: _Flag = True
    latency: _Milliseconds = 0
    timestamp: _Milliseconds = 0
    parent_id: _Uuid = ""
    metadata: dict[str, str] = Field(default={}, description="an object of strings")


EVENT_FORMS: Mapping[str, type[_Strict]] = {"first": _FirstForm, "second": _SecondForm}


def problems(body: Mapping[str, Any], form: type[_Strict]) -> list[str]:
    """Say what is wrong with a body of this form, in a sentence for each field."""
    try:
        form.model_validate(body)
    except ValidationError as error:
        found = {str(each["loc"][0]): len(each["loc"]) == 1 and each["type"] == "missing" for each in error.errors()}
        return [
            f"{name} is required" if is_missing else f"{name} must be {form.model_fields[name].description}"
            for name, is_missing in found.items()
        ]
    return []
