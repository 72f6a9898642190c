"""The tables of the local Brain's SQLite file, and the shapes of the rows that are read from them."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

APPLICATION_ID = 0x6F746173  # "otas": tells a local Brain's file from any other SQLite database
VERSION = 2  # raised with every change of the tables; UPGRADES says how an older file becomes one of this version

EVENT_COLUMNS = (
    "event_id",
    "source",
    "arrived_at",
    "event_date",
    "project_id",
    "agent_id",
    "agent_session_id",
    "path",
    "method",
    "status_code",
    "latency_ms",
    "request_size_bytes",
    "response_size_bytes",
    "request_headers",
    "request_body",
    "query_params",
    "post_data",
    "response_headers",
    "response_body",
    "request_content_type",
    "response_content_type",
    "custom_properties",
    "error",
    "metadata",
)
"""The columns that an insert fills, in this order."""


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
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    arrived_at REAL NOT NULL,
    event_date TEXT NOT NULL,
    project_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    agent_session_id TEXT NOT NULL,
    path TEXT NOT NULL,
    method TEXT NOT NULL,
    status_code INTEGER NOT NULL,
    latency_ms REAL,  -- NULL is NaN, which SQLite cannot hold; a missing latency is never stored
    request_size_bytes INTEGER NOT NULL,
    response_size_bytes INTEGER NOT NULL,
    request_headers TEXT,
    request_body TEXT,
    query_params TEXT,
    post_data TEXT,
    response_headers TEXT,
    response_body TEXT,
    request_content_type TEXT,
    response_content_type TEXT,
    custom_properties TEXT,
    error TEXT,
    metadata TEXT,
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
    + "DROP INDEX event_summary;",
}
"""What makes a file of a version one of the next; `SCRIPT` then adds what is missing."""
