"""The settings as keyword arguments, for editors and type checkers; nothing here is imported while a program runs.

Each key is a field of `OtasSettings` with every form that the field accepts: a key as plain text, a list as one
comma-separated string, a callable by its import path. `tests/typing` holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable  # noqa: TC003  # a TypedDict keeps its annotations for who asks
from os import PathLike  # noqa: TC003
from typing import Any, Literal, TypedDict
from uuid import UUID  # noqa: TC003

from pydantic import SecretStr  # noqa: TC002


class CommonOptions(TypedDict, total=False):
    """Every setting but `project_domain`, which `AgentSession` takes as its first argument."""

    enabled: bool
    sdk_key: str | SecretStr | None
    project_id: str | UUID | None
    brain_url: str
    uasam_url: str | None
    agent_key: str | SecretStr | None
    propagate_to: str | Iterable[str]
    max_body_bytes: int
    capture_traceback: bool
    session_secret: str | SecretStr | None
    session_jwks_url: str | None
    ignore_paths: str | Iterable[str]
    ignore_methods: str | Iterable[str]
    ignore_operations: str | Iterable[str]
    should_record: str | Callable[..., Any] | None
    session_sample_rate: float
    session_max_events_per_second: float | None
    session_max_bytes_per_second: float | None
    sensitive_headers: str | Iterable[str]
    sensitive_fields: str | Iterable[str]
    redact_keep: str | Iterable[str]
    redact_patterns: str | Iterable[str]
    redact_path_patterns: str | Iterable[str]
    redact_emails: bool
    redact_phones: bool
    redact_ips: bool
    capture_headers: bool
    capture_request_body: bool
    capture_response_body: bool
    skip_header_paths: str | Iterable[str]
    skip_request_body_paths: str | Iterable[str]
    skip_response_body_paths: str | Iterable[str]
    operation_protocols: str | Iterable[str | Callable[..., Any]]
    before_send: str | Callable[..., Any] | None
    queue_max_events: int
    queue_max_bytes: int
    max_connections: int
    request_timeout: float
    connect_timeout: float
    max_retries: int
    max_retry_delay: float
    agnost_org_id: str | UUID | None
    agnost_url: str
    destinations: str | Iterable[str]
    celery_app: str | None
    celery_queue: str
    celery_rate_limit: str | None
    spool_dir: str | PathLike[str] | None
    spool_max_bytes: int
    spool_key: str | SecretStr | None
    durability: Literal["memory", "spool", "relay"]
    relay: str | None
    relay_batch: bool
    relay_log: str | PathLike[str] | None
    on_loss: str | Callable[..., Any] | None
    stats_interval: float
    transport: str
    shutdown_timeout: float


class SettingOptions(CommonOptions, total=False):
    """Every setting."""

    project_domain: str | Iterable[str]
