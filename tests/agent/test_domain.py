"""Which URLs are inside a domain: decided on what is connected to, and never by resemblance."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otas_middleware import ConfigurationError, OtasSettings
from otas_middleware._config.origins import Domain, locate
from otas_middleware._runtime import BoundedDict


def covers(pattern: str, url: str) -> bool:
    """Whether a pattern covers a URL as httpx would connect to it."""
    parsed = httpx2.URL(url)
    return Domain([pattern]).covers(parsed.scheme, parsed.raw_host, parsed.port, parsed.raw_path)


INSIDE = [
    ("https://api.example.com", "https://api.example.com"),
    ("https://api.example.com", "https://api.example.com/any/path?and=query#fragment"),
    ("https://api.example.com", "https://API.Example.COM/"),
    ("https://API.example.com/", "https://api.example.com/"),
    ("https://api.example.com", "https://api.example.com:443/"),
    ("https://api.example.com:443", "https://api.example.com/"),
    ("http://api.example.com:80", "http://api.example.com/"),
    ("https://api.example.com", "https://api.example.com./"),
    ("https://api.example.com.", "https://api.example.com/"),
    ("https://api.example.com", "https://user:password@api.example.com/"),
    ("https://api.example.com", "wss://api.example.com/socket"),
    ("http://localhost:8000", "http://localhost:8000/x"),
    ("https://bücher.example", "https://xn--bcher-kva.example/"),
    ("https://xn--bcher-kva.example", "https://BÜCHER.example/"),
    ("http://[::1]:8000", "http://[0:0:0:0:0:0:0:1]:8000/"),
    ("http://[2001:DB8::1]", "http://[2001:db8:0::1]/"),
    ("https://*.example.com", "https://api.example.com/"),
    ("https://*.example.com", "https://a.b.example.com/"),
    ("https://*.localhost", "https://api.localhost/"),
    ("https://example.com/api/*", "https://example.com/api/orders"),
    ("https://example.com/api/*", "https://example.com/api"),
    ("https://example.com/api/*", "https://example.com/api?x=1"),
    ("https://example.com/*", "https://example.com/"),
    ("https://example.com/api/*", "https://example.com/api/50%25"),
    ("https://example.com/api/*", "https://example.com/api/a.b/..c/caf%C3%A9"),
    ("https://fa\u00df.example", "https://fa\u00df.example/"),
]

OUTSIDE = [
    ("https://api.example.com", "http://api.example.com/"),
    ("https://api.example.com", "https://api.example.com:8443/"),
    ("https://api.example.com", "https://example.com/"),
    ("https://api.example.com", "https://www.api.example.com/"),
    ("https://api.example.com", "https://api.example.com.evil.com/"),
    ("https://api.example.com", "https://evil.com/api.example.com"),
    ("https://api.example.com", "https://evil.com/?https://api.example.com"),
    ("https://api.example.com", "https://evil.com#api.example.com"),
    ("https://api.example.com", "https://api.example.com@evil.com/"),
    ("https://api.example.com", "https://api.example.com:443@evil.com/"),
    ("https://api.example.com", "https://api.example.com\\@evil.com/"),
    ("https://api.example.com", "https://api.example.com%2eevil.com/"),
    ("https://api.example.com", "https://api.example.com%00.evil.com/"),
    ("https://api.example.com", "https://xapi.example.com/"),
    ("https://api.example.com", "https://apiXexample.com/"),
    ("https://api.example.com", "https://api.example.com../"),
    ("https://a.example", "https://\u0430.example/"),  # a Cyrillic letter
    ("http://127.0.0.1", "http://127.1/"),
    ("http://127.0.0.1", "http://localhost/"),
    ("http://127.0.0.1", "http://[::ffff:127.0.0.1]/"),
    ("http://[::1]", "http://[::2]/"),
    ("https://*.example.com", "https://example.com/"),
    ("https://*.example.com", "https://evilexample.com/"),
    ("https://*.example.com", "https://evil.com\\.api.example.com/"),
    ("https://*.example.com", "https://a.example.com.evil.com/"),
    ("https://*.example.com", "https://.example.com/"),
    ("https://example.com/api/*", "https://example.com/apis"),
    ("https://example.com/api/*", "https://example.com/"),
    ("https://example.com/api/*", "https://example.com/api/../admin"),
    ("https://example.com/api/*", "https://example.com/api/%2e%2e/admin"),
    ("https://example.com/api/*", "https://example.com/api/..%2fadmin"),
    ("https://example.com/api/*", "https://example.com/api/x%5c..%5cadmin"),
    ("https://example.com/api/*", "https://example.com/api//admin"),
    ("https://example.com/api/*", "https://example.com/x?/api/"),
    ("https://example.com/api/*", "https://example.com/api/..;/admin"),
    ("https://example.com/api/*", "https://example.com/api/..%3B/admin"),
    ("https://example.com/api/*", "https://example.com/api/%252e%252e/admin"),
    ("https://example.com/api/*", "https://example.com/api/%25252E%25252E/admin"),
    ("https://example.com/api/*", "https://example.com/api/%c0%ae%c0%ae/admin"),
    ("https://example.com/api/*", "https://example.com/api/.%00./admin"),
    ("https://example.com/api/*", "https://example.com/API/orders"),
    ("https://api.example.com", "https://api.example.com:0/"),
    ("https://fass.example", "https://fa\u00df.example/"),
    ("https://fa\u00df.example", "https://fass.example/"),
]


@pytest.mark.parametrize(("pattern", "url"), INSIDE)
def test_it_covers(pattern: str, url: str) -> None:
    assert covers(pattern, url)


@pytest.mark.parametrize(("pattern", "url"), OUTSIDE)
def test_it_does_not_cover(pattern: str, url: str) -> None:
    assert not covers(pattern, url)


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("api.example.com", "https://api.example.com"),
        ("ftp://example.com", "write scheme, host"),
        ("https://", "write scheme, host"),
        ("https://exa mple.com", "write scheme, host"),
        ("https://example.com:port", "write scheme, host"),
        ("https://*", "write scheme, host"),
        ("https://*.com", "covers too much"),
        ("https://*.0.0.1", "covers too much"),
        ("https://a.*.com", "write scheme, host"),
        ("https://example.com:0", "port 0"),
        ("https://user:hunter2@example.com", "user name"),
        ("https://example.com?a=1", "query"),
        ("https://example.com/v2", "/v2/*"),
        ("https://example.com/*/v2/*", "not a pattern"),
        ("https://example.com/a/../b/*", "not a pattern"),
    ],
)
def test_what_is_no_pattern_is_refused_with_its_fix(pattern: str, advice: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        OtasSettings(project_domain=(pattern,))
    assert advice in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_several_patterns_can_stand_in_one_variable() -> None:
    settings = OtasSettings(project_domain="https://a.example, https://*.b.example")  # as text
    domain = Domain(settings.project_domain)
    assert domain.covers("https", b"a.example", None, b"/")
    assert domain.covers("https", b"x.b.example", None, b"/")
    assert not domain.covers("https", b"b.example", None, b"/")
    assert not Domain(())


@pytest.mark.parametrize(
    "url",
    [
        "nowhere",
        "/relative",
        "https://",
        "https://api.example.com\\@evil.com/",
        "https://api.example.com\t.evil.com/",
        "https://api.example.com /",
        "https://api.example.com\n/",
        "https://api.example.com:99999/",
        "https://[::1/",
        "https://user@evil.com@api.example.com/",
        "https://fa\u00df.example/",  # fass.example, or xn--fa-hia.example
        "https://a\u200db.example/",
        "https://bu\u0308cher.example/",  # not in its composed form
    ],
)
def test_a_url_that_parsers_may_differ_about_is_nowhere(url: str) -> None:
    assert locate(url) is None


@pytest.mark.parametrize("url", ["https://b\u00fccher.example/", "https://B\u00dcCHER.example./"])
def test_an_international_name_that_all_parsers_read_alike_is_a_place(url: str) -> None:
    location = locate(url)
    assert location is not None
    assert location.host == b"xn--bcher-kva.example"


hosts = st.binary(max_size=40) | st.sampled_from([b"API.example.com", b"api.example.com.", b"api.example.com.."])


@given(host=hosts, port=st.none() | st.integers(1, 65535) | st.just(443), path=st.binary(max_size=20))
def test_only_the_very_host_is_inside_whatever_is_asked(host: bytes, port: int | None, path: bytes) -> None:
    inside = Domain(["https://api.example.com"]).covers("https", host, port, path)
    assert inside == (host.lower().removesuffix(b".") == b"api.example.com" and port in {None, 443})


def test_what_it_remembers_is_bounded() -> None:
    domain = Domain(["https://api.example.com"])
    for number in range(5000):
        domain.covers("https", f"h{number}.example".encode(), None, b"/")
    assert len(domain._prefixes) <= 1024


class Emptied(BoundedDict[Any, Any]):
    """As if another thread emptied it each time something was put in."""

    def __setitem__(self, key: object, value: object) -> None: ...


def test_what_another_thread_makes_a_domain_forget_is_found_again() -> None:
    domain = Domain(["https://*.example.com"])
    domain._prefixes = Emptied(1)
    assert domain.covers("https", b"api.example.com", None, b"/")
