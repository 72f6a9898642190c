"""The redactor of one set of settings: what each kind of field is looked through for, and how."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from otas_middleware._event.redact.escapes import ENCODED_PROBE, ESCAPES_PROBE, undo_percent, unescape_ascii
from otas_middleware._event.redact.markup import mask_markup
from otas_middleware._event.redact.mask import MASK
from otas_middleware._event.redact.named import mask_named
from otas_middleware._event.redact.names import NameRules
from otas_middleware._event.redact.pairs import mask_encoded, mask_pairs
from otas_middleware._event.redact.probe import probe
from otas_middleware._event.redact.shapes import OPTIONAL, SURE
from otas_middleware._event.redact.table import mask_table
from otas_middleware._event.redact.values import AnyValue, Walk
from otas_middleware._event.storable import storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._config.settings import OtasSettings

_MAX_DECODINGS = 6
_NO_BOUND = 1 << 62


class Redactor:
    """Masks secrets by name and by shape.

    Args:
        settings: What is sensitive beside the defaults, and what is not.
    """

    def __init__(self, settings: OtasSettings) -> None:
        self.rules = NameRules((*settings.sensitive_headers, *settings.sensitive_fields), settings.redact_keep)
        shapes = (*SURE, *(shape for name, shape in OPTIONAL.items() if getattr(settings, name)))
        self._shapes = [(probe(shape.probe), shape) for shape in shapes]
        self._has_name = probe(self.rules.probes.mentioned)
        self._has_label = probe(self.rules.probes.labelled)
        self._beyond_names = probe(self.rules.probes.labelled, ENCODED_PROBE, *(shape.probe for shape in shapes))
        self._suspicious = probe(self.rules.probes.mentioned, ESCAPES_PROBE, *(shape.probe for shape in shapes))
        self._patterns = tuple(re.compile(pattern) for pattern in settings.redact_patterns)
        self._path_patterns = tuple(re.compile(pattern) for pattern in settings.redact_path_patterns)

    def text(self, text: str, depth: int = 0) -> str:
        """Return a text of any format, whole, cut off or broken, with its secrets masked.

        A text in which there is nothing to mask is returned as it is; of any other, only the secrets change (and JSON
        that describes its members by labels, such as `{"name": "password", "value": …}`, is written anew).

        Args:
            text: The text. Characters that cannot be stored are replaced.
            depth: How many encodings have been undone around it.
        """
        text = storable(text)
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        if not self._is_suspicious(text):
            return text
        if depth > _MAX_DECODINGS:
            return MASK
        plain = unescape_ascii(text)
        masked = self._mask(plain, depth)
        return text if masked == plain else masked

    def _mask(self, text: str, depth: int) -> str:
        beyond_names = self._beyond_names(text)
        if beyond_names:
            text = self._mask_shapes(text, depth)
        if "<" in text:
            text = mask_markup(text, self.rules)
        text = mask_named(text, self.rules, self._has_name)
        return self._mask_labelled(text, depth) if beyond_names and self._has_label(text) else text

    def _is_suspicious(self, text: str) -> bool:
        """Tell whether there may be anything to mask: no sensitive word and no shape of a secret means no."""
        return self._suspicious(text) or ("%" in text and self._suspicious(undo_percent(text)))

    def _mask_shapes(self, text: str, depth: int) -> str:
        """Mask what is percent-encoded, and what is known by its shape."""
        if "%" in text:
            text = mask_encoded(text, self.rules, lambda value: self.text(value, depth + 1))
        for has_shape, shape in self._shapes:
            if has_shape(text):
                text = shape.pattern.sub(shape.replace, text)
        return text

    def _mask_labelled(self, text: str, depth: int) -> str:
        """Mask what other members call a secret: `{"name": "password", "value": …}`; whole, cut off, or in lines."""
        whole = self._by_structure(text, depth)
        if whole is not None:
            return whole
        return "\n".join([self._by_line(line, depth) for line in text.split("\n")])

    def pairs(self, text: str) -> str:
        """Return a query string or urlencoded form with its secrets masked."""
        text = storable(text)
        if not self._patterns and not self._is_suspicious(text):
            return text
        if text.lstrip()[:1] in {"{", "[", "<"}:  # sent under the wrong content type
            return self.text(text)
        return mask_pairs(text, self.rules, lambda value: self.text(value, 1))

    def table(self, text: str) -> str:
        """Return comma- or tab-separated values with the columns masked whose heading is sensitive."""
        text = storable(text)
        return self.text(mask_table(text, self.rules) if self._has_name(text) else text)

    def path(self, text: str) -> str:
        """Return a path with its secrets masked, among them what the settings' path patterns find."""
        for pattern in self._path_patterns:
            text = pattern.sub(_mask_groups, text)
        return self.text(text)

    def finds_nothing(self, text: str) -> bool:
        """Tell quickly that a text holds no secret and nothing that cannot be stored; False says nothing."""
        if self._patterns or self._path_patterns:
            return False
        return text.isascii() and "\x00" not in text and not self._is_suspicious(text)

    def by_name(self, headers: Mapping[str, str | list[str]]) -> dict[str, str | list[str]]:
        """Return headers with the values of the sensitive ones masked; the other values are not looked at."""
        shown = dict(headers)
        for name in headers.keys() - self.rules.harmless:
            if self.rules.sensitive(name):
                shown[name] = MASK
        return shown

    def value(self, value: Any) -> Any:
        """Return the plain JSON form of any Python value, with its secrets masked."""
        return Walk(self.rules, self.text).value(value)

    def _by_line(self, line: str, depth: int) -> str:
        """Mask a line of NDJSON, or a `data:` line of an event stream; what cannot be read loses all its values."""
        if not self._has_label(line):
            return line
        start = len(line) - len(line.removeprefix("data:").lstrip())
        structured = self._by_structure(line[start:], depth)
        return mask_named(line, AnyValue(), _always) if structured is None else line[:start] + structured

    def _by_structure(self, text: str, depth: int) -> str | None:
        """Mask JSON as the structure that it is; None when it is no JSON. Unchanged, it keeps its spelling."""
        if text.lstrip()[:1] not in {"{", "["}:
            return None
        try:
            parsed = _parse(text)
        except ValueError:
            return None
        walk = Walk(self.rules, lambda leaf: self.text(leaf, depth + 1), max_nodes=_NO_BOUND, max_characters=_NO_BOUND)
        masked = walk.value(parsed)
        return text if masked == parsed else to_json(masked).decode()


def _always(_: str) -> bool:
    return True


def _parse(text: str) -> Any:
    """Return what JSON says, also when it was cut off.

    Raises:
        ValueError: It is no JSON, or something follows it.
    """
    try:
        return from_json(text)
    except ValueError as error:
        if "EOF" not in str(error):
            raise
    return from_json(text, allow_partial="trailing-strings")


def _mask_groups(match: re.Match[str]) -> str:
    if not match.re.groups:
        return MASK
    text, base = match[0], match.start()
    for group in range(match.re.groups, 0, -1):
        start, end = match.span(group)
        if start >= 0:
            text = text[: start - base] + MASK + text[end - base :]
    return text


@lru_cache(maxsize=32)
def redactor_for(settings: OtasSettings) -> Redactor:
    """Return the redactor of these settings, made at the first call."""
    return Redactor(settings)
