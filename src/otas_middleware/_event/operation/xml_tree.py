"""XML as far as it was recorded, for the protocols that are written in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def found(root: ET.Element, name: str) -> Iterator[ET.Element]:
    """Yield the elements below a root that have a name, whatever their namespace."""
    return (element for element in root.iter() if local_name(element) == name)


def text_below(root: ET.Element, name: str) -> str:
    """Return the text of the first element with a name, or the empty string."""
    element = next(found(root, name), None)
    return "" if element is None else (element.text or "").strip()


def child_text(element: ET.Element, name: str) -> str:
    """Return the text of the first child with a name, or the empty string."""
    child = next((child for child in element if local_name(child) == name), None)
    return "" if child is None else (child.text or "").strip()
