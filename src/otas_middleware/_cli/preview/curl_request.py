"""The request that curl's options add up to."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus, urlsplit

from otas_middleware._cli.preview.exchange import Exchange, UnreadableError, target_of
from otas_middleware._cli.preview.raw import Part, encode

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
        if text.startswith("@"):
            self.data.append(re.sub(rb"[\r\n\0]", b"", _file(text[1:])))
        else:
            self.add_raw(text)

    def add_binary(self, text: str) -> None:
        self.data.append(_file(text[1:]) if text.startswith("@") else text.encode())

    def add_raw(self, text: str) -> None:
        self.data.append(text.encode())

    def add_json(self, text: str) -> None:
        joined = (self.data.pop() if self.data and "Accept" in self.defaults else b"") + (
            _file(text[1:]) if text.startswith("@") else text.encode()
        )
        self.data.append(joined)
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

    def add_text_part(self, text: str) -> None:
        name, _, value = text.partition("=")
        self.parts.append(Part(name, value.encode()))

    def add_cookie(self, text: str) -> None:
        if "=" not in text:
            raise UnreadableError(f"-b {text!r} names a file of cookies; write the cookies themselves, as name=value")
        known = self.defaults.get("Cookie")
        self.defaults["Cookie"] = f"{known};{text}" if known else text

    def set_user(self, text: str) -> None:
        self.defaults["Authorization"] = "Basic " + base64.b64encode(text.encode()).decode()

    def set_bearer(self, text: str) -> None:
        self.defaults["Authorization"] = f"Bearer {text}"

    def set_method(self, text: str) -> None:
        self.method = text

    def set_agent(self, text: str) -> None:
        self.defaults["User-Agent"] = text

    def set_referer(self, text: str) -> None:
        self.defaults["Referer"] = text

    def set_range(self, text: str) -> None:
        self.defaults["Range"] = f"bytes={text}"

    def set_upload(self, text: str) -> None:
        self.upload = _file(text)

    def add_url(self, text: str) -> None:
        self.urls.append(text)

    def set_get(self) -> None:
        self.as_query = True

    def set_head(self) -> None:
        self.head = True

    def set_compressed(self) -> None:
        self.defaults["Accept-Encoding"] = "deflate, gzip"


def _file(path: str) -> bytes:
    if path == "-":
        raise UnreadableError("the curl command reads its data from standard input (@-); put it into a file")
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise UnreadableError(f"the file {path} of the curl command cannot be read: {error.strerror}") from None
