"""The tables of the local Brain's SQLite file, and the shapes of the rows that are read from them."""

from __future__ import annotations

from typing import Any, Literal, TypedDict, get_type_hints

APPLICATION_ID = 0x6F746173  # "otas": tells a local Brain's file from any other SQLite database
VERSION = 2  # raised with every change of the tables; UPGRADES says how an older file becomes one of this version


class StoredEvent(TypedDict):
    """One event as it was stored."""

    id: int
    """Counts up in the order of arrival."""
    event_id: str
    """The UUID that this Brain gave it (the sender's own is in `metadata`)."""
    source: Literal["backend", "agent"]
    """Which of the two log endpoints took it."""
    arrived_at: float
    """Unix seconds."""
    event_date: str
    """The day of its arrival in UTC, `YYYY-MM-DD`."""
    project_id: str
    agent_id: str
    agent_session_id: str
    path: str
    method: str
    status_code: int
    latency_ms: float
    """May be NaN or infinite, as in the real Brain."""
    request_size_bytes: int
    response_size_bytes: int
    request_headers: str | None
    request_body: str | None
    query_params: str | None
    post_data: str | None
    response_headers: str | None
    response_body: str | None
    request_content_type: str | None
    response_content_type: str | None
    custom_properties: Any
    """Parsed JSON."""
    error: str | None
    metadata: Any
    """Parsed JSON."""


EVENT_COLUMNS = tuple(name for name in StoredEvent.__annotations__ if name != "id")
"""The columns that an insert fills, in this order."""

_KINDS: dict[object, str] = {
    int: "INTEGER NOT NULL",
    float: "REAL NOT NULL",
    str: "TEXT NOT NULL",
    str | None: "TEXT",
    Any: "TEXT",
    Literal["backend", "agent"]: "TEXT NOT NULL",
}
_POSTED = get_type_hints(StoredEvent)
POSTED_COLUMNS = {name: _POSTED[name] for name in EVENT_COLUMNS[EVENT_COLUMNS.index("path") :]}
"""The columns that a sender fills, and what kind of value they hold."""
_KEPT_OTHERWISE = {"id": "INTEGER PRIMARY KEY", "latency_ms": "REAL"}
"""A latency of NULL is NaN, which SQLite cannot hold; a missing one is never stored."""
_EVENT_TABLE = [f"{name} {_KEPT_OTHERWISE.get(name) or _KINDS[kind]}" for name, kind in _POSTED.items()]

_OPERATION = "nullif(json_extract(metadata, '$.operation.name'), '')"
_ROUTE = "nullif(json_extract(metadata, '$.route'), '')"
_CALLED = f"coalesce({_OPERATION}, method || ' ' || coalesce({_ROUTE}, path))"
DERIVED_COLUMNS = {
    "operation": f"operation TEXT GENERATED ALWAYS AS ({_OPERATION}) VIRTUAL",
    "called": f"called TEXT GENERATED ALWAYS AS ({_CALLED}) VIRTUAL",
}
"""What the page lists and groups by: the operation's name; what was called: that, or the method with route or path."""


class StoredSession(TypedDict):
    """One session that an agent created."""

    id: str
    agent_id: str
    created_at: float
    meta: Any


class AgnostSession(TypedDict):
    """One body that `capture-session` took."""

    id: int
    arrived_at: float
    org_id: str
    session_id: str
    """As it was sent."""
    session_uuid: str
    """As Agnost normalises it."""
    body: dict[str, Any]


class AgnostEvent(TypedDict):
    """One body that `capture-event` took."""

    id: int
    arrived_at: float
    org_id: str
    event_id: str
    session_uuid: str
    session_known: bool
    """Whether its session had been captured before it."""
    forms: list[str]
    """Which of the two published forms it satisfies: `first`, `second` or both."""
    body: dict[str, Any]


SCRIPT = f"""
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS project (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agent (
    id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES project(id), name TEXT NOT NULL, provider TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS access_key (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, prefix TEXT NOT NULL, owner_id TEXT NOT NULL,
    active INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (
    id TEXT PRIMARY KEY, agent_id TEXT NOT NULL, created_at REAL NOT NULL, meta TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS event (
    {", ".join(_EVENT_TABLE)},
    {", ".join(DERIVED_COLUMNS.values())}
);
CREATE INDEX IF NOT EXISTS event_session ON event (agent_session_id);
CREATE INDEX IF NOT EXISTS event_path ON event (path);
CREATE INDEX IF NOT EXISTS event_arrival ON event (arrived_at);
CREATE INDEX IF NOT EXISTS event_day ON event (agent_id, event_date);
-- All that a list or a chart shows of an event, in the order of arrival: the table itself is some twenty times as wide.
CREATE INDEX IF NOT EXISTS event_summary ON event (
    id, arrived_at, source, method, path, status_code, latency_ms, agent_session_id, error, operation, called
);
CREATE INDEX IF NOT EXISTS event_called ON event (called);
CREATE INDEX IF NOT EXISTS event_failed ON event (agent_session_id) WHERE error != '';

CREATE TABLE IF NOT EXISTS agnost_session (
    id INTEGER PRIMARY KEY, arrived_at REAL NOT NULL, org_id TEXT NOT NULL,
    session_id TEXT NOT NULL, session_uuid TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS agnost_session_uuid ON agnost_session (session_uuid);
CREATE TABLE IF NOT EXISTS agnost_event (
    id INTEGER PRIMARY KEY, arrived_at REAL NOT NULL, org_id TEXT NOT NULL,
    event_id TEXT NOT NULL, session_uuid TEXT NOT NULL, session_known INTEGER NOT NULL,
    forms TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS agnost_event_session ON agnost_event (session_uuid);

PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""

UPGRADES = {
    1: "".join(f"ALTER TABLE event ADD COLUMN {column}; " for column in DERIVED_COLUMNS.values())
    + "DROP INDEX event_summary;"
}
"""What makes a file of a version one of the next; `SCRIPT` then adds what is missing."""


_ENTRY_BYTES = 2704
_ENTRY_HEADER = 8 + 4  # the index entry's own header, and the length word of the value
_COMPRESSED_HEADER = 4  # the size before compression
_ALIGNMENT = 8
_WINDOW = 4095
_SHORTEST, _LONGEST = 3, 273
_LONGEST_IN_TWO_BYTES = 17
_WORTHWHILE = 0.75  # pglz keeps the original unless at least a quarter is saved


def fits_index(path: str) -> bool:
    """Tell whether an event with this path can be saved as far as the index on it is concerned."""
    if len(path) * 4 <= _ENTRY_BYTES - _ENTRY_HEADER:
        return True  # nearly all paths, without encoding them
    raw = path.encode("utf-8", "surrogatepass")
    if _entry(len(raw)) <= _ENTRY_BYTES:
        return True
    return _entry(_compressed_size(raw) + _COMPRESSED_HEADER) <= _ENTRY_BYTES


def _entry(value_bytes: int) -> int:
    return -(-(value_bytes + _ENTRY_HEADER) // _ALIGNMENT) * _ALIGNMENT


def _compressed_size(raw: bytes) -> int:
    """Estimate the size after compression; stops counting when it is too large anyway, so that any input is quick."""
    size = items = position = 0
    while position < len(raw) and size < _ENTRY_BYTES:
        length = _longest_match(raw, position)
        if not length:
            size, position = size + 1, position + 1
        else:
            size += 2 if length <= _LONGEST_IN_TWO_BYTES else 3
            position += length
        items += 1
    size += -(-items // 8)
    return size if size <= len(raw) * _WORTHWHILE else len(raw)


def _longest_match(raw: bytes, position: int) -> int:
    """Return the length of the longest piece here that also begins in the window before; 0 when it is below three."""
    start = max(0, position - _WINDOW)

    def occurs(length: int) -> bool:
        return raw.find(raw[position : position + length], start, position + length - 1) >= 0

    shortest, longest = _SHORTEST - 1, min(_LONGEST, len(raw) - position)
    if longest < _SHORTEST or not occurs(_SHORTEST):
        return 0
    while shortest < longest:  # when a piece occurs, so do its beginnings
        middle = (shortest + longest + 1) // 2
        if occurs(middle):
            shortest = middle
        else:
            longest = middle - 1
    return shortest
