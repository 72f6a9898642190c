"""Reading a curl command: the request that curl would send.

Understood are the options that shape a request (`SHAPING`, `FLAGS`) and those that leave it as it is (`IGNORED`); any
other is an error, since the event shown would not be the one that is sent.
"""

from __future__ import annotations

import base64
import getopt
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlsplit

from otas_middleware._cli.preview import Exchange, UnreadableError, target_of
from otas_middleware._cli.preview.recorded import Part, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FORM = "application/x-www-form-urlencoded"

# What curl knows of the types of files.
_TYPES = {
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".htm": "text/html",
    ".html": "text/html",
    ".pdf": "application/pdf",
    ".xml": "application/xml",
}


@dataclass
class Draft:
    """What the options have said so far."""

    urls: list[str] = field(default_factory=list[str])
    method: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    removed: set[str] = field(default_factory=set[str])
    defaults: dict[str, str] = field(default_factory=dict[str, str])
    data: list[bytes] = field(default_factory=list[bytes])
    parts: list[Part] = field(default_factory=list[Part])
    as_query: bool = False
    head: bool = False
    upload: bytes | None = None

    def exchange(self) -> Exchange:
        if len(self.urls) != 1:
            raise UnreadableError(f"the curl command names {len(self.urls)} URLs; preview takes one")
        target = target_of(self.urls[0])
        body, sends = b"&".join(self.data), bool(self.data)
        if self.as_query:
            target += ("&" if "?" in target else "?") * bool(body) + body.decode("utf-8", "replace")
            body, sends = b"", False
        elif self.parts:
            content_type, body = encode(self.parts)
            self.defaults["Content-Type"] = content_type
        elif self.upload is not None:
            body = self.upload
        elif sends:
            self.defaults.setdefault("Content-Type", _FORM)
        method = self.method or (
            "HEAD" if self.head else "PUT" if self.upload is not None else "POST" if sends or self.parts else "GET"
        )
        if sends or self.parts or self.upload is not None:
            self.defaults["Content-Length"] = str(len(body))
        return Exchange(method, target, tuple(self._headers()), body)

    def _headers(self) -> list[tuple[str, str]]:
        url = self.urls[0]
        parts = urlsplit(url if "://" in url else f"http://{url}")
        automatic = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "curl", "Accept": "*/*", **self.defaults}
        given = {name.lower() for name, _ in self.headers} | self.removed
        return [(name, value) for name, value in automatic.items() if name.lower() not in given] + self.headers

    def add_header(self, text: str) -> None:
        if text.startswith("@"):
            for line in _file(text[1:]).decode("latin-1").splitlines():
                if line.strip():
                    self.add_header(line)
            return
        name, colon, value = text.partition(":")
        if not colon and text.endswith(";"):
            self.headers.append((text[:-1], ""))
        elif not colon:
            raise UnreadableError(f"-H {text!r} is not a header; write it as 'Name: value'")
        elif value.strip():
            self.headers.append((name.strip(), value.strip()))
        else:
            self.removed.add(name.strip().lower())  # `-H 'Accept:'` takes curl's own header out

    def add_data(self, text: str) -> None:
        content = _content(text)
        self.data.append(re.sub(rb"[\r\n\0]", b"", content) if text.startswith("@") else content)

    def add_json(self, text: str) -> None:
        before = self.data.pop() if self.data and "Accept" in self.defaults else b""
        self.data.append(before + _content(text))
        self.defaults |= {"Content-Type": "application/json", "Accept": "application/json"}

    def add_encoded(self, text: str) -> None:
        """`--data-urlencode`: `content`, `=content`, `name=content`, `@file` or `name@file`."""
        at, equals = text.find("@"), text.find("=")
        if equals >= 0 and (at < 0 or equals < at):
            name, content = text[:equals], text[equals + 1 :].encode()
        elif at >= 0:
            name, content = text[:at], _file(text[at + 1 :])
        else:
            name, content = "", text.encode()
        encoded = quote_plus(content)
        self.data.append(f"{name}={encoded}".encode() if name else encoded.encode())

    def add_part(self, text: str) -> None:
        name, equals, value = text.partition("=")
        if not equals:
            raise UnreadableError(f"-F {text!r} is not a form field; write it as name=value or name=@file")
        value, *attributes = value.split(";") if value[:1] in "@<" else [value]
        given = {each.strip().partition("=")[0]: each.partition("=")[2] for each in attributes}
        if value.startswith("@"):
            path = value[1:].strip('"')
            content_type = given.get("type") or _TYPES.get(Path(path).suffix.lower(), "application/octet-stream")
            self.parts.append(Part(name, _file(path), given.get("filename", Path(path).name), content_type))
        elif value.startswith("<"):
            self.parts.append(Part(name, _file(value[1:])))
        else:
            self.parts.append(Part(name, value.encode()))

    def add_cookie(self, text: str) -> None:
        if "=" not in text:
            raise UnreadableError(f"-b {text!r} names a file of cookies; write the cookies themselves, as name=value")
        known = self.defaults.get("Cookie")
        self.defaults["Cookie"] = f"{known};{text}" if known else text


def _file(path: str) -> bytes:
    if path == "-":
        raise UnreadableError("the curl command reads its data from standard input (@-); put it into a file")
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise UnreadableError(f"the file {path} of the curl command cannot be read: {error.strerror}") from None


def _content(text: str) -> bytes:
    """Return what an option gives: itself, or behind an `@` what a file holds."""
    return _file(text[1:]) if text.startswith("@") else text.encode()


def _default(name: str, form: str = "{}", convert: Callable[[str], str] = str) -> Callable[[Draft, str], None]:
    """Return what notes an option's value as a header, which a header of the user's own replaces."""

    def note(draft: Draft, text: str) -> None:
        draft.defaults[name] = form.format(convert(text))

    return note


def _set(name: str, value: Callable[[str], object]) -> Callable[[Draft, str], None]:
    """Return what sets an attribute of a draft to what an option's value means."""
    return lambda draft, text: setattr(draft, name, value(text))


def _add(name: str, value: Callable[[str], object]) -> Callable[[Draft, str], None]:
    """Return what adds to a list of a draft what an option's value means."""
    return lambda draft, text: getattr(draft, name).append(value(text))


def _text_part(text: str) -> Part:
    name, _, value = text.partition("=")
    return Part(name, value.encode())


SHAPING: dict[str, Callable[[Draft, str], None]] = {
    "--request": _set("method", str),
    "--header": Draft.add_header,
    "--data": Draft.add_data,
    "--data-ascii": Draft.add_data,
    "--data-raw": _add("data", str.encode),
    "--data-binary": _add("data", _content),
    "--data-urlencode": Draft.add_encoded,
    "--json": Draft.add_json,
    "--form": Draft.add_part,
    "--form-string": _add("parts", _text_part),
    "--user": _default("Authorization", "Basic {}", lambda text: base64.b64encode(text.encode()).decode()),
    "--oauth2-bearer": _default("Authorization", "Bearer {}"),
    "--user-agent": _default("User-Agent"),
    "--referer": _default("Referer"),
    "--cookie": Draft.add_cookie,
    "--range": _default("Range", "bytes={}"),
    "--upload-file": _set("upload", _file),
    "--url": _add("urls", str),
}
"""Options with a value that say something about the request."""

FLAGS: dict[str, Callable[[Draft, str], None]] = {
    "--get": _set("as_query", bool),
    "--head": _set("head", bool),
    "--compressed": _default("Accept-Encoding", "deflate, gzip"),
}

IGNORED = frozenset(
    (
        "--silent", "--show-error", "--verbose", "--insecure", "--location", "--location-trusted", "--include",
        "--fail", "--fail-with-body", "--globoff", "--no-buffer", "--no-progress-meter", "--progress-bar",
        "--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge", "--http3", "--ipv4", "--ipv6",
        "--tlsv1.2", "--tlsv1.3", "--remote-name", "--remote-header-name", "--no-keepalive", "--path-as-is",
        "--basic", "--anyauth",
    )
)  # fmt: skip
"""Options without a value that leave the request as it is."""

_IGNORED_WITH_VALUE = frozenset(
    (
        "--output", "--write-out", "--max-time", "--connect-timeout", "--retry", "--retry-delay",
        "--max-redirs", "--cacert", "--cert", "--key", "--proxy", "--resolve", "--interface", "--dump-header",
        "--cookie-jar", "--limit-rate", "--connect-to", "--unix-socket", "--stderr", "--trace",
    )
)  # fmt: skip

_SHORT = {
    "X": "--request", "H": "--header", "d": "--data", "F": "--form", "u": "--user", "A": "--user-agent",
    "e": "--referer", "b": "--cookie", "r": "--range", "T": "--upload-file", "G": "--get", "I": "--head",
    "s": "--silent", "S": "--show-error", "v": "--verbose", "k": "--insecure", "L": "--location", "i": "--include",
    "f": "--fail", "g": "--globoff", "N": "--no-buffer", "#": "--progress-bar", "0": "--http1.0", "4": "--ipv4",
    "6": "--ipv6", "O": "--remote-name", "J": "--remote-header-name", "o": "--output", "w": "--write-out",
    "m": "--max-time", "E": "--cert", "x": "--proxy", "D": "--dump-header", "c": "--cookie-jar",
}  # fmt: skip


_WITH_VALUE = {*SHAPING, *_IGNORED_WITH_VALUE}
_LETTERS = "".join(f"{letter}:" if name in _WITH_VALUE else letter for letter, name in _SHORT.items())
_NAMES = [f"{name[2:]}=" if name in _WITH_VALUE else name[2:] for name in (*_WITH_VALUE, *FLAGS, *IGNORED)]


def read(words: Sequence[str]) -> Exchange:
    """Return the request that curl sends for these words, the first of which is `curl`.

    Raises:
        UnreadableError: An option is not understood, a file cannot be read, or there is not exactly one URL.
    """
    draft = Draft()
    try:
        options, urls = getopt.gnu_getopt(list(words[1:]), _LETTERS, _NAMES)
    except getopt.GetoptError as error:
        raise _unreadable(error) from None
    draft.urls += urls
    for option, value in options:
        name = _SHORT.get(option[1:], option)
        if name in SHAPING:
            SHAPING[name](draft, value)
        elif name in FLAGS:
            FLAGS[name](draft, name)
    return draft.exchange()


def _unreadable(error: getopt.GetoptError) -> UnreadableError:
    option = f"-{error.opt}" if len(error.opt) == 1 else f"--{error.opt}"
    name = _SHORT.get(error.opt, option)
    if name in _WITH_VALUE:
        return UnreadableError(f"curl's option {name} lacks its value at the end of the command")
    known = ", ".join(sorted([*SHAPING, *FLAGS]))
    return UnreadableError(
        f"curl's option {option} is not understood; leave it out if it does not change the request. "
        f"Understood are {known}, and the usual ones that have no part in it, such as --silent"
    )


_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|\$'(?P<ansi>(?:[^'\\]|\\.)*)'|(?P<fold>\\\r?\n)", re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "E": "\x1b"}


def split(text: str) -> list[str]:
    """Split a command as a shell does: quotes, `$'…'`, and lines that end in a backslash.

    Raises:
        UnreadableError: A quote is not closed, or the command goes on after a `|`, `;`, `&` or `>`.
    """
    if '^"' in text or "^\n" in text:
        raise UnreadableError("the curl command is quoted for Windows' cmd; copy it again as cURL for bash")
    text = _QUOTED.sub(_plain, text.strip())
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|;<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        raise UnreadableError("the curl command cannot be read: a quote is not closed") from None
    for position, word in enumerate(words):
        if word and set(word) <= set("|;<>"):
            raise UnreadableError(
                f"the curl command goes on with {word!r} after {position} words; leave that out, or quote it"
            )
    return words


def _plain(match: re.Match[str]) -> str:
    """Turn what shlex does not know into what it does: `$'…'` into plain quotes, a folded line into a blank."""
    if match["fold"] is not None:
        return " "
    if match["ansi"] is not None:
        return shlex.quote(_ESCAPE.sub(_unescape, match["ansi"]))
    return match[0]


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] in "01234567":
        return chr(int(code, 8))
    return _ESCAPED.get(code, code)
