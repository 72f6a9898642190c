"""GraphQL over HTTP: POST and GET, batches, persisted documents, incremental delivery, `graphql-sse`, uploads.

Sources: the GraphQL specification (sections 2.1 to 2.8 say which operations a document holds), GraphQL over HTTP
(August 2026), the incremental delivery over HTTP proposal, Apollo's persisted queries, the multipart request
specification, the protocol of `graphql-sse`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from otas_middleware._event.operation import json_rpc
from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation, Outcome
from otas_middleware._event.patterns import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._event.operation.exchange import Exchange

_RESPONSE_MEDIA = "application/graphql-response+json"
_STREAMS = frozenset(("text/event-stream", "multipart/mixed"))
_PARTIAL_SUCCESS = 294
_KEYS = "data errors extensions hasNext pending incremental completed label path"
_RESULT_KEYS = frozenset(_KEYS.split())


class _Call(NamedTuple):
    """One operation that a request asks for; `certain` when nothing but GraphQL looks like it.

    What is not certain is one only if its answer has no other members than `keys`, where these are known.
    """

    definition: Definition
    certain: bool
    keys: set[str] | None = None


def read(exchange: Exchange) -> Operation | None:
    """Recognise a document, a persisted document, or GraphQL's own media types."""
    if _answers_otherwise(exchange):
        return None
    calls = _calls(exchange)
    says_so = exchange.response_media == _RESPONSE_MEDIA
    if not calls:
        if not says_so and not _is_refused(exchange):
            return None
        operation = Operation("graphql")
        _judge(operation, _results(exchange), exchange)
        return operation
    results = _results(exchange)
    certain = says_so or all(call.certain for call in calls)
    begun = [] if results else [value for value in [exchange.beginning()] if value is not None]
    answers = [item for result in results or begun for item in (as_list(result) or [result])]
    shaped = bool(answers) and all(_is_result(answer, certain=certain) for answer in answers)
    keys = [call.keys for call in calls if call.keys is not None]
    if shaped and not certain and len(keys) == len(calls):
        shaped = all(as_object(as_object(answer).get("data")).keys() <= set().union(*keys) for answer in answers)
    unclear = exchange.failed or not exchange.response_whole or not exchange.response.text
    if not (shaped or (certain and unclear)):
        return None
    if isinstance(_body(exchange), list):
        return _batch(calls, results, exchange)
    operation = _named(calls[0].definition)
    operation.long_lived = operation.type == "subscription" and exchange.response_media in _STREAMS
    _judge(operation, results, exchange)
    return operation


def _answers_otherwise(exchange: Exchange) -> bool:
    """Say quickly of most JSON answers that they are no result: a result's first member is one of a few."""
    if exchange.failed or exchange.response_media != "application/json":
        return False
    name = exchange.response.text[:32].lstrip(" \t\r\n[{").partition('"')[2].partition('"')[0]
    return bool(name) and name not in _RESULT_KEYS


def _is_refused(exchange: Exchange) -> bool:
    """Say whether an answer tells where in a document, which need be none, its syntax is wrong."""
    if '"locations"' not in exchange.response.text or '"query"' not in exchange.request.text:
        return False
    errors = [as_object(error) for result in _results(exchange) for error in as_list(as_object(result).get("errors"))]
    places = [as_object(place) for error in errors for place in as_list(error.get("locations"))]
    return bool(places) and all("line" in place and "column" in place for place in places)


def _calls(exchange: Exchange) -> list[_Call]:
    """Return what a request asks for; empty when it is no GraphQL."""
    if exchange.method == "GET":
        return _call_in_fields(exchange.query, exchange.query_fields, cut=False)
    if exchange.request_media == "application/graphql":
        call = _call({"query": exchange.request_text}, cut=not exchange.request_whole)
        return [call._replace(certain=True)] if call else [_Call(Definition("", ""), certain=True)]
    if exchange.request.kind == "form":
        return _call_in_fields(exchange.request.text, exchange.form_fields, cut=not exchange.request_whole)
    body = _body(exchange)
    items = as_list(body) or [body]
    calls = [_call(as_object(item), cut=not exchange.request_whole) for item in items]
    if not all(calls) and not isinstance(body, list):  # some servers take the document from the URL, the rest from here
        return _call_in_fields(exchange.query, exchange.query_fields, cut=False)
    return [call for call in calls if call] if all(calls) else []


def _call_in_fields(text: str, fields: Mapping[str, str], *, cut: bool) -> list[_Call]:
    """Return the call whose members are fields of a query string or a form."""
    if not any(name in text for name in ("query=", "extensions=", "documentId=")):
        return []
    call = _call({**fields, "extensions": parse_json(fields.get("extensions") or "null")}, cut=cut)
    return [call] if call else []


def _body(exchange: Exchange) -> Any:
    """Return the JSON that may hold the operations: the body, or the field `operations` of an upload."""
    if exchange.request.parts is not None:
        fields = {part.get("name"): part.get("value") for part in exchange.request.parts}
        return parse_json(as_text(fields["operations"])) if "operations" in fields else fields
    if exchange.request_whole:
        return exchange.request_json
    return parse_json(exchange.request.text, partial="trailing-strings")


def _call(fields: dict[str, Any], *, cut: bool) -> _Call | None:
    name = as_text(fields.get("operationName"))
    document = fields.get("query")
    if isinstance(document, str) and document:
        if not may_be_document(document):
            return None
        found = operations_in(document, cut=cut)
        if not found:
            return None
        unknown = Definition("", name) if name else found[0]
        chosen = next((definition for definition in found if definition.name == name), unknown)
        return _Call(chosen, certain=bool(chosen.name), keys=None if chosen.name or cut else response_keys(document))
    persisted = as_object(as_object(fields.get("extensions")).get("persistedQuery"))
    if isinstance(persisted.get("sha256Hash"), str):
        return _Call(Definition("", name), certain=True)
    document_id = fields.get("documentId")
    by_id = isinstance(document_id, str) and (name or ":" in document_id)
    behind = cut and name and isinstance(fields.get("variables"), dict)  # clients write the document behind these
    return _Call(Definition("", name), certain=False) if document is None and (by_id or behind) else None


def _named(definition: Definition) -> Operation:
    name = f"{definition.type} {definition.name}".strip()
    return Operation("graphql", name, target=definition.name, type=definition.type)


def _results(exchange: Exchange) -> list[Any]:
    """Return the response's results in their order: one, or one for each part or event."""
    if exchange.response_media == "multipart/mixed":
        text = exchange.response_text
        if exchange.gap:
            text += exchange.ending().decode("utf-8", "replace")
        parts = [_unwrapped(parse_json(content)) for content in _contents(text)]
        return [part for part in parts if part]
    if exchange.response_media == "text/event-stream":
        return [parse_json(event.data) for event in exchange.events if event.name in {"", "next"} and event.data]
    return [value for text in exchange.documents if (value := parse_json(text)) is not None]


def _unwrapped(part: Any) -> Any:
    """Return a part's result: those of subscriptions are wrapped, errors of the transport's beside them.

    What is empty keeps the connection alive.
    """
    wrapper = as_object(part)
    if "payload" not in wrapper:
        return part
    return {**as_object(wrapper["payload"]), **({"errors": wrapper["errors"]} if wrapper.get("errors") else {})}


def _contents(text: str) -> list[str]:
    """Return the contents of the parts of a multipart body; no JSON holds what is between them."""
    pieces = ("\n" + text.replace("\r\n", "\n")).split("\n--")
    return [piece.partition("\n\n")[2] for piece in pieces[1:]]


def _is_result(value: object, *, certain: bool) -> bool:
    """Say whether a value is a response of GraphQL, which holds nothing but what the specification names.

    Args:
        value: A JSON value.
        certain: The request is beyond doubt; then a server may have added members, as some do.
    """
    result = as_object(value)
    known = result.keys() & _RESULT_KEYS
    if not known or (not certain and len(known) < len(result)):
        return False
    data = result.get("data")
    return data is None or isinstance(data, dict)


def _batch(calls: list[_Call], results: list[Any], exchange: Exchange) -> Operation:
    answers = as_list(results[0]) if len(results) == 1 else []
    whole = {} if answers else as_object(results[0] if results else None)
    refused = [whole] if whole.get("errors") and whole.get("data") is None else []
    items: list[Operation] = []
    for position in range(len(calls) if exchange.request_whole else max(len(calls), len(answers))):
        item = _named(calls[position].definition if position < len(calls) else Definition("", ""))
        answer = answers[position : position + 1] or refused
        if answer:
            _judge(item, answer, exchange)
        items.append(item)
    return json_rpc.batch(items)


def _judge(operation: Operation, results: list[Any], exchange: Exchange) -> None:
    """Decide by `errors`, wherever in the results they are; with data beside them the operation failed in part."""
    errors: list[object] = []
    has_data = False
    for value in results:
        for part in _parts(as_object(value)):
            errors += as_list(part.get("errors"))
            has_data = has_data or part.get("data") is not None or bool(part.get("items"))
    outcome: Outcome = "partial" if has_data or exchange.status == _PARTIAL_SUCCESS else "error"
    if errors:
        first = as_object(errors[0])
        code = as_object(first.get("extensions")).get("code")
        operation.fail(
            code if isinstance(code, str | int) else None, as_text(first.get("message")) or as_text(errors[0]), outcome
        )
    elif exchange.status == _PARTIAL_SUCCESS:
        operation.fail(_PARTIAL_SUCCESS, "Partial Success", "partial")
    elif results and exchange.response_whole:
        # A last part that announces more is not the last that was to come.
        operation.outcome = "unknown" if as_object(results[-1]).get("hasNext") is True else "ok"
    elif not results:
        _judge_beginning(operation, exchange)


def _judge_beginning(operation: Operation, exchange: Exchange) -> None:
    """Decide by the beginning of a response that was cut, where `errors` are advised to stand, or by its end."""
    begun = as_object(exchange.beginning())
    errors = as_list(begun.get("errors")) or as_list(exchange.member_at_end("errors", 0))
    if errors:
        _judge(operation, [{**begun, "errors": errors}], exchange)


def _parts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a result and what incremental delivery adds to it."""
    parts = [result]
    for key in ("incremental", "completed"):
        parts += [as_object(part) for part in as_list(result.get(key))]
    return parts


_WORD = compiled(
    r"(?P<ignored>(?:[\s,\ufeff]+|#[^\n\r]*)++)|(?P<name>[_A-Za-z]\w*+)|(?P<mark>\.\.\.|[{}():@])"
    r'|(?P<value>[!$&=|\[\]]|"""(?:\\"""|[^"]|"(?!""))*+"""|"(?:\\.|[^"\\\n])*+"|-?\d[\d.eE+-]*+)'
)
_KINDS = frozenset(("query", "mutation", "subscription", "fragment"))
_VALUE = "="
_NEVER = frozenset((_VALUE, ")"))  # values stand in parentheses only, but for descriptions
_MAX_WORDS = 20_000


class Definition(NamedTuple):
    """One operation of a document: `query`, `mutation` or `subscription`, and its name, which may be empty."""

    type: str
    name: str


def may_be_document(text: str) -> bool:
    """Say quickly whether a text begins as a document does."""
    begin = text.lstrip(" \t\r\n,\ufeff")
    return begin[:1] in {"{", "#", '"'} or begin.startswith(("query", "mutation", "subscription", "fragment"))


def operations_in(text: str, *, cut: bool = False) -> list[Definition] | None:
    """Return the operations of a document, or None when the text is no executable document.

    Args:
        text: The document.
        cut: It may end anywhere.
    """
    words, complete = _words(text)
    found: list[Definition] = []
    header: list[str] = []  # what stands before a definition's braces
    depth = 0
    previous = ""
    for word in words:
        if word == _VALUE and not depth and not header and previous != _VALUE:
            previous = word  # a description, which a shorthand cannot have
            continue
        if word in _NEVER or (previous == "{" and word == "}") or (previous == _VALUE and word not in _KINDS):
            return None
        if not depth and word == "{":
            if header and header[0] not in _KINDS:
                return None
            if not header or header[0] != "fragment":
                found.append(_definition(header))
            header, depth = [], 1
        elif not depth:
            header.append(word)
        elif word in "{}":
            depth += 1 if word == "{" else -1
        previous = word
    complete = complete and not depth and not header
    return found if found and (complete or cut) else None


def response_keys(text: str) -> set[str] | None:
    """Return the members that the answer to a shorthand may have; None where fragments add others."""
    keys: set[str] = set()
    depth = 0
    previous = ""
    for word in _words(text)[0]:
        if word in "{}":
            depth += 1 if word == "{" else -1
        elif depth == 1 and word == "...":
            return None
        elif depth == 1 and word != ":" and previous not in {":", "@"}:
            keys.add(word)  # a field, or its alias
        previous = word
    return keys


def _definition(header: list[str]) -> Definition:
    if not header:
        return Definition("query", "")
    return Definition(header[0], header[1] if len(header) > 1 and header[1] != "@" else "")


def _words(text: str) -> tuple[list[str], bool]:
    """Return the words outside of parentheses, in which values of any kind may stand, and whether these are all."""
    words: list[str] = []
    parentheses = position = 0
    for _ in range(_MAX_WORDS):
        match = _WORD.match(text, position)
        if match is None:
            break
        position = match.end()
        if match.lastgroup == "ignored":
            continue
        mark = match[0] if match.lastgroup == "mark" else ""
        parentheses += (mark == "(") - (mark == ")")
        if parentheses == 0 and mark != ")":
            words.append(_VALUE if match.lastgroup == "value" else match[0])
    return words, position == len(text) and parentheses == 0
