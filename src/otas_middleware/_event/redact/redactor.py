"""The redactor of one set of settings: what each kind of field is looked through for, and how."""

from __future__ import annotations

import json
import re
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from pydantic_core import to_json

from otas_middleware._event import storable
from otas_middleware._event.patterns import compile_pattern, compiled, probe, shared_probe
from otas_middleware._event.redact import encodings, json_text
from otas_middleware._event.redact.messages import MESSAGES, Messages
from otas_middleware._event.redact.name_rules import NameRules, literal
from otas_middleware._event.redact.shapes import OPTIONAL, SURE, Shape, mask_credentials
from otas_middleware._event.redact.spans import MASK, most

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event.redact.values import Walk

    Probe = Callable[[str], bool]

_QUOTING = Messages(*MESSAGES)
_MAX_DECODINGS = 6
_DEEPEST_FORM = 1
"""So many encodings may be around JSON that is to stay JSON."""
_MOST_IN_FORM = 512
"""So many suspicious strings, or lines, of it are looked through one by one."""
_IN_STRINGS = re.compile(r"\\(?:n|\\(?:x[2-7]|0?1[0-7]{2}))")
_STRING = compiled(r'"(?:[^"\\]|\\.)*+(?P<end>"?)')
_NO_BOUND = 1 << 62
_SHORTEST_SECRET = 8
_MOST_DECODED = 128


class Redactor:
    """Masks secrets by name and by shape.

    Args:
        settings: What is sensitive beside the defaults, and what is not.
    """

    def __init__(self, settings: OtasSettings) -> None:
        self.rules = NameRules((*settings.sensitive_headers, *settings.sensitive_fields), settings.redact_keep)
        self._kinds = (*SURE, *(shape for name, shape in OPTIONAL.items() if getattr(settings, name)))
        self._own = _own_secrets(settings)
        self._others = (
            *map(literal, self._own),
            _QUOTING.probe,
            encodings.BASE64_PROBE,
            encodings.WORDS_PROBE,
            *(shape.probe for shape in self._kinds),
        )
        make = probe if self._own else shared_probe
        self._names = names = self.rules.probes
        self._suspicious = make(names.mentioned, names.flagged, encodings.ESCAPES_PROBE, *self._others)
        self._patterns = tuple(map(compile_pattern, settings.redact_patterns))
        self._path_patterns = tuple(map(compile_pattern, settings.redact_path_patterns))

    # Most texts are not suspicious, so that what tells the kinds of suspicion apart is made when one is.

    @cached_property
    def _beyond_names(self) -> Probe:
        make = probe if self._own else shared_probe
        return make(self._names.labelled, encodings.ENCODED_PROBE, *self._others)

    @cached_property
    def _shapes(self) -> list[tuple[Probe, Shape]]:
        return [(shared_probe(shape.probe), shape) for shape in self._kinds]

    def text(self, text: str, depth: int = 0, *, cut: bool = False, hide: Callable[[str], str] | None = None) -> str:
        """Return a text of any format, whole, cut off or broken, with its secrets masked.

        A text in which there is nothing to mask is returned as it is; of any other, only the secrets change (and JSON
        that describes its members by labels, such as `{"name": "password", "value": …}`, is written anew).

        Args:
            text: The text. Characters that cannot be stored are replaced.
            depth: How many encodings have been undone around it.
            cut: Its end is missing.
            hide: Masks what is known to look suspicious; called only when the text does.
        """
        if not text.isascii() or "\x00" in text:
            text = storable(text)
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        if not self._is_suspicious(text):
            return text
        if depth > _MAX_DECODINGS:
            return MASK
        plain = encodings.plain_form(text if hide is None else hide(text))
        escape = None
        if "\\" in plain and "\\u" in plain and shared_probe(self._names.escaped)(plain):
            escape = encodings.foreign_escape(plain)
        if escape is not None:
            plain = encodings.unescape_letters(plain)
        for secret in self._own:
            plain = plain.replace(secret, MASK)
        masked = self._mask(plain, depth, cut=cut)
        if masked != plain and depth <= _DEEPEST_FORM and ("{" in plain or "[" in plain):
            masked = self._in_form(plain, masked, depth, cut=cut)
        if escape is not None:
            masked, plain = encodings.escape_letters(masked, escape), encodings.escape_letters(plain, escape)
        return text if masked == text or masked == plain == encodings.plain_form(text) else masked

    def _in_form(self, plain: str, masked: str, depth: int, *, cut: bool) -> str:
        """Return a masked text; JSON that lost its form by that is masked by its structure instead."""
        if json_text.masked_within_strings(plain, masked):
            return masked
        leaf = self._decoded(depth + 1, _MOST_IN_FORM)
        if plain.lstrip()[:1] in {"{", "["}:
            whole = json_text.is_json(masked) and json_text.is_json(plain)  # two lines may have become one
            if whole and json_text.documents_in(masked) >= json_text.documents_in(plain):
                return masked
            too_many = masked.endswith(MASK) and masked.count(MASK) >= most("")  # and the rest was masked as one
            formed = _closed(masked) if too_many else self._by_structure(plain, leaf, cut=False)
            if formed is not None:
                return formed
        documents = json_text.lines_of(plain)
        if len(json_text.lines_of(masked)) >= len(documents):
            return masked
        suspicious = [span for span in documents if self._is_suspicious(plain[slice(*span)])]
        if len(suspicious) > _MOST_IN_FORM:
            return masked
        pieces: list[str] = []
        done = 0
        for start, end in suspicious:
            pieces += self._between(plain[done:start], depth, cut=False), self._in_line(plain[start:end], leaf)
            done = end
        return "".join((*pieces, self._between(plain[done:], depth, cut=cut)))

    def _between(self, text: str, depth: int, *, cut: bool) -> str:
        return self._mask(text, depth, cut=cut) if not text.isspace() and self._is_suspicious(text) else text

    def _in_line(self, line: str, leaf: Callable[[str], str]) -> str:
        """Mask a line of NDJSON, or a `data:` line of an event stream, by its structure."""
        document = json_text.document_of(line)
        structured = self._by_structure(document, leaf, cut=False)
        return line if structured is None else line.removesuffix(document) + structured

    def _mask(self, text: str, depth: int, *, cut: bool) -> str:
        from otas_middleware._event.redact import markup, named, tables  # noqa: PLC0415  # for texts with something in them

        if "\\x22" in text:
            text = encodings.mask_hex_quoted(text, partial(self.text, depth=depth + 1))
        beyond_names = self._beyond_names(text)
        if beyond_names:
            text = self._mask_shapes(text, depth)
        if "<" in text:
            text = markup.mask_markup(text, self.rules)
        if "&lt;" in text:
            text = markup.mask_escaped_markup(text, self.rules)
        if tables.looks_like_table(text, self.rules):
            text = tables.mask_table(text, self.rules)
        elif tables.has_rule(text):
            text = tables.mask_drawn_tables(text, self.rules)
        if beyond_names and shared_probe(_QUOTING.probe)(text):
            text = _QUOTING.masked(text, self.rules)
        text = named.mask_named(
            text, self.rules.rule, self._has_name, shared_probe(self._names.valued), self.rules.harmless
        )
        if "\\" in text and _IN_STRINGS.search(text) is not None and json_text.quotes_like_json(text):
            text = _STRING.sub(lambda match: self._lines_of(match, depth), text)
        if beyond_names and shared_probe(self._names.labelled)(text):
            return self._mask_labelled(text, depth, cut=cut)
        return text

    def _lines_of(self, match: re.Match[str], depth: int) -> str:
        """Look at a JSON string of several lines, or of escapes of its own, as at the text that it is."""
        literal = match[0]
        if _IN_STRINGS.search(literal) is None:
            return literal
        try:
            plain: str = json.loads(literal if match["end"] else literal.rstrip("\\") + '"', strict=False)
        except ValueError:
            return literal
        masked = self.text(plain, depth + 1)
        if masked == plain:
            return literal
        return json.dumps(masked, ensure_ascii=literal.isascii())[: None if match["end"] else -1]

    def _is_suspicious(self, text: str) -> bool:
        """Tell whether there may be anything to mask: no sensitive word and no shape of a secret means no."""
        return self._finds(self._suspicious, text)

    def _has_name(self, text: str) -> bool:
        return self._finds(shared_probe(self._names.mentioned), text)

    def _finds(self, has: Callable[[str], bool], text: str) -> bool:
        if has(text) or self._has_foreign_name(text):
            return True
        return "%" in text and (plain := encodings.undo_percent(text)) != text and self._finds(has, plain)

    def _has_foreign_name(self, text: str) -> bool:
        if not text.isascii():
            if shared_probe(self._names.foreign)(text):
                return True
            plain = normalize("NFKC", encodings.without_invisible(text))  # fullwidth
            if plain != text and (
                shared_probe(self._names.mentioned)(plain) or shared_probe(self._names.foreign)(plain)
            ):
                return True
        return "\\" in text and "\\u" in text and shared_probe(self._names.escaped)(text)

    def _mask_shapes(self, text: str, depth: int) -> str:
        """Mask what is percent-encoded, and what is known by its shape."""
        redact = partial(self.text, depth=depth + 1)
        if "%" in text:
            text = encodings.mask_encoded(mask_credentials(text), self.rules.shown, self._decoded(depth + 1))
        for has_shape, shape in self._shapes:
            if has_shape(text):
                text = shape.mask(text)
        if "=?" in text:
            text = encodings.mask_encoded_words(text, redact)
        return encodings.mask_base64(text, redact) if shared_probe(encodings.BASE64_PROBE)(text) else text

    def _mask_labelled(self, text: str, depth: int, *, cut: bool) -> str:
        """Mask what other members call a secret: `{"name": "password", "value": …}`; whole, cut off, or in lines."""
        from otas_middleware._event.redact.labels import mask_labelled  # noqa: PLC0415  # as in `_mask`

        leaf = partial(self.text, depth=depth + 1)
        whole = self._by_structure(text, partial(leaf, cut=cut), cut=cut)
        if whole is not None:
            return whole
        lines = json_text.LINE.sub(
            lambda line: self._in_line(line[0], leaf) if shared_probe(self._names.labelled)(line[0]) else line[0],
            text,
        )
        return mask_labelled(lines, self.rules)

    def pairs(self, text: str) -> str:
        """Return a query string or urlencoded form with its secrets masked."""
        text = storable(text)
        if not self._patterns and not self._is_suspicious(text):
            return text
        if text.lstrip()[:1] in {"{", "[", "<"}:  # sent under the wrong content type
            return self.text(text)
        return encodings.mask_pairs(text, self.rules.shown, self._decoded(1))

    def _decoded(self, depth: int, limit: int = _MOST_DECODED) -> Callable[[str], str]:
        """Return what masks decoded values; after so many suspicious ones, whole ones, so that none can cost much."""
        left = limit >> 2 * (depth - 1)

        def redact(value: str) -> str:
            nonlocal left
            if not self._patterns and not self._is_suspicious(value):
                return value
            left -= 1
            return self.text(value, depth) if left >= 0 else MASK

        return redact

    def table(self, text: str) -> str:
        """Return comma- or tab-separated values with the columns masked whose heading is sensitive."""
        text = storable(text)
        if self._has_name(text):
            from otas_middleware._event.redact.tables import mask_table  # noqa: PLC0415  # as in `_mask`

            text = mask_table(text, self.rules)
        return self.text(text)

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
            value = headers[name]
            rule = None if value == MASK else self.rules.rule(name)
            if rule is None:
                continue
            values = [value] if isinstance(value, str) else value
            if not all(rule.shows(one) for one in values):
                shown[name] = rule.mask(", ".join(values))
        return shown

    def value(self, value: Any) -> Any:
        """Return the plain JSON form of any Python value, with its secrets masked."""
        return self.walk(self.text).value(value)

    def walk(self, leaf: Callable[[str], str], **bounds: int) -> Walk:
        """Return what masks values of any kind, by `leaf` the texts in them; `bounds` are those of `values.Walk`."""
        from otas_middleware._event.redact.values import Walk  # noqa: PLC0415  # as in `_mask`

        return Walk(self.rules, leaf, **bounds)

    def _by_structure(self, text: str, leaf: Callable[[str], str], *, cut: bool) -> str | None:
        """Mask JSON as the structure that it is; None when it is no JSON. Unchanged, it keeps its spelling.

        Args:
            text: The text.
            leaf: Masks a string in it.
            cut: Its end is missing.
        """
        if text.lstrip()[:1] not in {"{", "["}:
            return None
        try:
            parsed = json_text.parse(text, cut=cut)
        except ValueError:
            return None
        masked = self.walk(leaf, max_nodes=_NO_BOUND, max_characters=_NO_BOUND).value(parsed)
        return text if masked == parsed else to_json(masked).decode()


def _closed(masked: str) -> str:
    """Return JSON of which the rest was masked, with what is open in it closed."""
    try:
        return to_json(json_text.parse(masked, cut=True)).decode()
    except ValueError:
        return masked


def _own_secrets(settings: OtasSettings) -> tuple[str, ...]:
    """Return the keys that this process itself has, which it masks whatever they look like."""
    secrets = (settings.sdk_key, settings.agent_key, settings.session_secret, settings.spool_key)
    values = [secret.get_secret_value() for secret in secrets if secret is not None]
    return tuple(value for value in values if len(value) >= _SHORTEST_SECRET)


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
