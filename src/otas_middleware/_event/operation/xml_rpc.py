"""XML-RPC (xmlrpc.com/spec): always 200, a `fault` is a failure; and `system.multicall`, a batch of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._event.operation import json_rpc
from otas_middleware._event.operation.model import Operation
from otas_middleware._event.operation.xml_tree import root_of

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from otas_middleware._event.operation.exchange import Exchange

_MAX_CALLS = 1_000


def read(exchange: Exchange) -> Operation | None:
    """Recognise a `methodCall` in XML."""
    if exchange.method != "POST" or "xml" not in exchange.request_media:
        return None
    asked = root_of(exchange.request_text, "methodCall")
    method = "" if asked is None else (asked.findtext("methodName") or "").strip()
    if asked is None or not method:
        return None
    answer = root_of(exchange.response_text, "methodResponse")
    if method == "system.multicall" and exchange.request_whole:
        return _read_batch(asked, answer)
    operation = Operation("xml-rpc", method, method=method, type="call")
    fault = None if answer is None else answer.find("fault/value")
    if fault is not None:
        _fail(operation, fault)
    elif answer is not None and exchange.response_whole:
        operation.outcome = "ok"
    return operation


def _read_batch(asked: ET.Element, answer: ET.Element | None) -> Operation | None:
    """Return a batch: each result is an array of one value, or the struct of a fault; a fault of all is one of each."""
    members = asked.findall("params/param/value/array/data/value/struct/member")
    calls = [text for member in members if (text := _named_text(member, "methodName"))]
    items = [Operation("xml-rpc", name, method=name, type="call") for name in calls[:_MAX_CALLS]]
    if not items:
        return None
    fault = None if answer is None else answer.find("fault/value")
    results = [] if answer is None else answer.findall("params/param/value/array/data/value")
    for position, item in enumerate(items):
        result = fault if fault is not None else results[position] if position < len(results) else None
        if result is None:
            continue
        if fault is not None or result.find("struct") is not None:
            _fail(item, result)
        else:
            item.outcome = "ok"
    return json_rpc.batch(items)


def _fail(operation: Operation, fault: ET.Element) -> None:
    """Note what a fault says: the value of a struct."""
    members = fault.findall("struct/member")
    code = next(filter(None, (_named_text(member, "faultCode") for member in members)), "")
    message = next(filter(None, (_named_text(member, "faultString") for member in members)), "")
    number = code.removeprefix("-")
    operation.fail(int(code) if number.isascii() and number.isdigit() and len(number) < 10 else code or None, message)


def _named_text(member: ET.Element, name: str) -> str:
    """Return the text of a struct's member if it has a name: within its type, or plain."""
    if (member.findtext("name") or "").strip() != name:
        return ""
    value = member.find("value")
    if value is None:
        return ""
    return ((value[0] if len(value) else value).text or "").strip()
