"""The generated parts of the documents that follow from the code. Each function returns one part's Markdown."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, cast

from pydantic import SecretStr

from docs.example import as_document, example_event, same
from otas_middleware import BackendEvent, OtasSettings
from otas_middleware._config.sources import env_name
from otas_middleware._delivery import Verdict, destinations
from otas_middleware._delivery.destinations import agnost
from otas_middleware._event.redact import sensitive_names as _table
from otas_middleware._event.redact import service_keys as _keys
from otas_middleware._event.redact import shapes as _shapes

if TYPE_CHECKING:
    from collections.abc import Iterable

TOPICS = {
    "What is on, and where Brain is": "enabled sdk_key project_id brain_url uasam_url",
    "What is recorded": "max_body_bytes capture_traceback capture_headers capture_request_body capture_response_body "
    "skip_header_paths skip_request_body_paths skip_response_body_paths ignore_paths ignore_methods ignore_operations "
    "should_record session_sample_rate session_max_events_per_second session_max_bytes_per_second operation_protocols",
    "Who may make us record": "session_secret session_jwks_url",
    "What is masked": "sensitive_headers sensitive_fields redact_keep redact_patterns redact_path_patterns "
    "redact_emails redact_phones redact_ips before_send",
    "Sending": "transport max_connections request_timeout connect_timeout max_retries max_retry_delay "
    "shutdown_timeout queue_max_events queue_max_bytes destinations",
    "Disk": "spool_dir spool_max_bytes spool_key durability",
    "The relay": "relay relay_batch relay_log",
    "Celery": "celery_app celery_queue celery_rate_limit",
    "Watching": "on_loss stats_interval",
    "Agents, and calls between backends": "agent_key project_domain propagate_to",
    "Agnost": "agnost_org_id agnost_url",
}
"""Headings of docs/settings.md, and the fields under each; every field has its place in exactly one."""

FIRST = (
    "sdk_key brain_url enabled max_body_bytes ignore_paths session_sample_rate sensitive_fields before_send spool_dir"
)
"""The settings that the README shows."""

_FORMS = {
    "count": "a number, a duration, a date",
    "plain": "nothing that looks like a machine made it by chance",
    "words": "a sentence",
    "url": "an address without a random part",
    "path": "a file's path",
    "source": "a piece of source code",
    "few_digits": "short, and no number of a card",
    "resource": "an id of Twilio's: two capitals, and digits",
    "members": "an object, whose members are looked at",
    "pieces": "a list of words and pieces of words, as models have them",
}
"""What a form of values that stay readable is, in words."""

_VERDICTS = {
    Verdict.DELIVERED: "delivered",
    Verdict.REJECTED: "dropped, counted",
    Verdict.BAD_TOKEN: "dropped, counted; requests with this token are not recorded for ten minutes. "
    "A token younger than a minute gets one more try after 3 s",
    Verdict.RETRYABLE: "tried again with growing pauses; dropped after `max_retries` if others were delivered since",
    Verdict.UNAVAILABLE: "kept; the breaker opens",
    Verdict.MISCONFIGURED: "kept; the breaker opens; the log says what to do",
}


def _settings_table(names: Iterable[str]) -> str:
    rows = ["| environment | default | what it does |", "|---|---|---|"]
    for name in names:
        field = OtasSettings.model_fields[name]
        default = field.default
        empty = default is None or default == () or isinstance(default, SecretStr)
        rows.append(f"| `{env_name(name)}` | {'' if empty else f'`{_plain(default)}`'} | {field.description} |")
    return "\n".join(rows) + "\n"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)


def settings(_: str = "") -> str:
    """Return a table of the settings that most set-ups look at; docs/settings.md has all."""
    return _settings_table(FIRST.split())


def settings_by_topic(_: str = "") -> str:
    """Return a table for each topic."""
    return "\n".join(f"## {topic}\n\n{_settings_table(names.split())}" for topic, names in TOPICS.items())


def event_fields(_: str = "") -> str:
    """Return the table of the fields of an event."""
    rows = ["| field | type | what it holds |", "|---|---|---|"]
    for name, field in BackendEvent.model_fields.items():
        kind = re.sub(r"dict\[str, (?:typing\.)?Any\]", "object", inspect.formatannotation(field.annotation))
        kind = {"str": "text", "int": "integer", "float": "number"}.get(kind.removesuffix(" | None"), kind)
        described = f"What this package knows: [below](#{name})." if name == "metadata" else field.description
        rows.append(f"| `{name}` | {kind} | {described} |")
    return "\n".join(rows) + "\n"


def event(old: str = "") -> str:
    """Return a real event. Where only identifiers and times differ, the old one stays."""
    new = f"```json\n{as_document(example_event())}\n```\n"
    return old if same(old, new) else new


def names(_: str = "") -> str:
    """Return the table of the names that are sensitive by default."""
    rows = ["| what | inside of names | as words of names | as last words | stays readable |", "|---|---|---|---|---|"]
    for row in _table.DEFAULT_NAMES:
        cells = (_listed(entries) for entries in (row.inside, row.phrase, row.last))
        rows.append(f"| {row.what} | {' | '.join(cells)} | {'; '.join(_FORMS[form] for form in row.stays)} |")
    return "\n".join(rows) + "\n"


def readable(_: str = "") -> str:
    """Return the table of the words of names that say what form a value has that stays readable."""
    rows = ["| a name that | stays readable when its value is |", "|---|---|"]
    for form, words in _table.ENDINGS.items():
        rows.append(f"| ends with {_listed(words)} | {_FORMS[form]} |")
    for form, words in _table.BEGINNINGS.items():
        rows.append(f"| begins with {_listed(words)} | {_FORMS[form]} |")
    return "\n".join(rows) + "\n"


def labels(_: str = "") -> str:
    """Return which members label others, and which are labelled."""
    return (
        f"Labels are members whose last word is one of {_listed(_table.LABELS)}; what they describe are members whose "
        f"last word is one of {_listed(_table.VALUES)}, and unless the label may be the name of a tool or of a kind, "
        f"one of {_listed(_table.LOOSE_VALUES)}.\n"
    )


def shapes(_: str = "") -> str:
    """Return the table of the values that are masked whatever their name."""
    rows = ["| what | looks like |", "|---|---|"]
    rows += [f"| {shape.what} | `{shape.example}` |" for shape in _shapes.SURE if shape.example]
    return "\n".join(rows) + "\n"


def services(_: str = "") -> str:
    """Return the services whose keys and webhooks are known by their shape."""
    return f"{'; '.join([*_keys.PREFIXES, *_keys.SPECIAL])}. Webhooks: {'; '.join(_keys.WEBHOOKS)}.\n"


def _listed(words: Iterable[str]) -> str:
    together = " ".join(words)
    return f"`{together}`" if together else ""


def answers(_: str = "") -> str:
    """Return the table of Brain's answers and what becomes of the event."""
    known = [(f"`{name}`", verdict) for name, (verdict, _) in destinations._BY_DESCRIPTION.items()]
    known += [(f"{status}", verdict) for status, (verdict, _) in destinations._BY_STATUS.items()]
    rows = ["| Brain answers | the event is |", "|---|---|", "| 201, `event_captured` | delivered |"]
    for verdict, disposition in _VERDICTS.items():
        these = [answer for answer, its in known if its is verdict]
        if these:
            rows.append(f"| {', '.join(these)} | {disposition} |")
    return "\n".join(rows) + "\n"


def agnost_mapping(_: str = "") -> str:
    """Return the table of what becomes of an event's fields in Agnost, which the module itself keeps."""
    return "\n".join(line for line in (agnost.__doc__ or "").splitlines() if line.startswith("|")) + "\n"
