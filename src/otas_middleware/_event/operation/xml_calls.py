"""Calls in XML, as far as it was recorded: SOAP 1.1 and 1.2, XML-RPC (xmlrpc.com/spec) with its `system.multicall`.

SOAP is named by its action, or the first child of the body. A `Fault` or `fault` is a failure, with 200 too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

from otas_middleware._event.operation import json_rpc
from otas_middleware._event.operation.model import Operation

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange

_NAMESPACES = {"http://schemas.xmlsoap.org/soap/envelope/": "1.1", "http://www.w3.org/2003/05/soap-envelope": "1.2"}
_ACTION = re.compile(r";\s*action=\"?([^\";]*)", re.IGNORECASE)
_WITH_ATTACHMENTS = "multipart/related"
_MAX_CALLS = 1_000


class _Envelope(NamedTuple):
    """What an envelope says: its version, its body's first element, and of a fault its code and text."""

    version: str
    first: str
    code: str = ""
    message: str = ""


def read_soap(exchange: Exchange) -> Operation | None:
    """Recognise `SOAPAction`, `application/soap+xml`, or the envelope's namespace."""
    declared = "soapaction" in exchange.request_headers or exchange.request_media == "application/soap+xml"
    if not declared and not _may_be_xml(exchange):
        return None
    asked = _envelope(exchange.request_text)
    if asked is None and (not declared or (exchange.request.text and exchange.request_whole)):
        return None
    name = _last_part((exchange.header("soapaction") or _action_of(exchange)).strip('"'))
    operation = Operation("soap", name or (asked.first if asked else ""), type="call")
    operation.method = operation.name
    operation.version = asked.version if asked else ""
    answer = _envelope(exchange.response_text)
    if answer is not None and answer.code:
        operation.fail(answer.code, answer.message)
    elif answer is not None and (answer.first or exchange.response_whole):  # a body may hold nothing
        operation.outcome = "ok"
    elif exchange.status == 202:
        operation.outcome = "ok"  # a one-way message
    return operation


def _may_be_xml(exchange: Exchange) -> bool:
    if "xml" not in exchange.request_media and exchange.request_media != _WITH_ATTACHMENTS:
        return False
    return any(namespace in exchange.request_text[:4_096] for namespace in _NAMESPACES)


def _action_of(exchange: Exchange) -> str:
    match = _ACTION.search(exchange.request_type)
    return match[1] if match else ""


def _last_part(action: str) -> str:
    """Return the name at the end of an action, which is a URI as a rule."""
    return re.split(r"[/#:]", action.rstrip("/#:"))[-1]


def _envelope(text: str) -> _Envelope | None:
    """Return what an envelope says, also when it was cut; None when there is none."""
    root = root_of(text, "Envelope")
    if root is None:
        return None
    space = root.tag.removeprefix("{").rpartition("}")[0]
    if space not in _NAMESPACES:
        return None
    body = root.find(f"{{{space}}}Body")
    first = body[0] if body is not None and len(body) else None
    if first is None:
        return _Envelope(_NAMESPACES[space], "")
    if first.tag == f"{{{space}}}Fault":
        return _Envelope(_NAMESPACES[space], "Fault", *_fault(first))
    return _Envelope(_NAMESPACES[space], local_name(first))


def _fault(fault: ET.Element) -> tuple[str, str]:
    """Return a fault's code without its prefix, and its text; the names differ between the versions.

    Those of 1.1 are in no namespace, but in the envelope's where that is the document's default.
    """
    code = fault.findtext("{*}faultcode") or fault.findtext("{*}Code/{*}Value") or ""
    text = fault.findtext("{*}faultstring") or fault.findtext("{*}Reason/{*}Text") or ""
    return code.strip().rpartition(":")[2] or "Fault", text.strip()


def read_xml_rpc(exchange: Exchange) -> Operation | None:
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
        _note_fault(operation, fault)
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
            _note_fault(item, result)
        else:
            item.outcome = "ok"
    return json_rpc.batch(items)


def _note_fault(operation: Operation, fault: ET.Element) -> None:
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


def root_of(text: str, name: str) -> ET.Element | None:
    """Return the root of a document, with the tree below it as far as the text can be read.

    Args:
        text: The document, or one among others (a part of a multipart body); it may end anywhere.
        name: The root's name, without a prefix.

    Returns:
        None when there is none, or it has a document type: entities could be made to grow.
    """
    place = text.find(name)
    start = text.rfind("<", 0, place)
    if place < 0 or start < 0 or "<!DOCTYPE" in text:
        return None
    made: Any = ET.XMLPullParser
    parser = made(("start",))
    parser.feed(text[start:])
    try:
        root: ET.Element = next(parser.read_events())[1]
    except (ET.ParseError, StopIteration):
        return None
    return root if local_name(root) == name else None


def local_name(element: ET.Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def text_below(root: ET.Element, name: str) -> str:
    """Return the text of the first element with a name, or the empty string."""
    return (root.findtext(f".//{{*}}{name}") or "").strip()
