"""SOAP 1.1 and 1.2: the action, or the first child of the body; a `Fault` is a failure, with 200 too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._event.operation.model import Operation
from otas_middleware._event.operation.xml_tree import local_name, root_of

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from otas_middleware._event.operation.exchange import Exchange

_NAMESPACES = {"http://schemas.xmlsoap.org/soap/envelope/": "1.1", "http://www.w3.org/2003/05/soap-envelope": "1.2"}
_ACTION = re.compile(r";\s*action=\"?([^\";]*)", re.IGNORECASE)
_WITH_ATTACHMENTS = "multipart/related"


class _Envelope(NamedTuple):
    """What an envelope says: its version, its body's first element, and of a fault its code and text."""

    version: str
    first: str
    code: str = ""
    message: str = ""


def read(exchange: Exchange) -> Operation | None:
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
        return _Envelope(_NAMESPACES[space], "Fault", *_fault(first, space))
    return _Envelope(_NAMESPACES[space], local_name(first))


def _fault(fault: ET.Element, space: str) -> tuple[str, str]:
    """Return a fault's code without its prefix, and its text; the names differ between the versions.

    Those of 1.1 are in no namespace, but in the envelope's where that is the document's default.
    """
    ours = f"{{{space}}}"
    code, text = (
        next(filter(None, map(fault.findtext, paths)), "")
        for paths in (
            ("faultcode", f"{ours}faultcode", f"{ours}Code/{ours}Value"),
            ("faultstring", f"{ours}faultstring", f"{ours}Reason/{ours}Text"),
        )
    )
    return code.strip().rpartition(":")[2] or "Fault", text.strip()
