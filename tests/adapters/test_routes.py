"""Route templates of all frameworks come out in one form."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otas_middleware._event.routes import normalise, template

USER = UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("/orders/{order_id}", "/orders/{order_id}"),
        ("/orders/{order_id:int}", "/orders/{order_id}"),  # Starlette, Litestar
        ("/files/{path:path}", "/files/{path}"),
        ("/orders/<int:order_id>/items/<item>", "/orders/{order_id}/items/{item}"),  # Flask
        ("/<regex('[a-z]{2}'):lang>/", "/{lang}/"),
        ("orders/<int:order_id>", "/orders/{order_id}"),  # Django
        (r"^archive/(?P<year>[0-9]{4})/$", "/archive/{year}/"),
        (r"^archive/(?P<year>(19|20)[0-9]{2})/(?P<slug>[\w-]+)/\Z", "/archive/{year}/{slug}/"),
        (r"api/^orders/(?P<pk>\d+)$", "/api/orders/{pk}"),
        (r"^orgs/(?P<slug>[^\/]+)/ev/(?P<trace_id>(?:(?:[a-f0-9]{4})|(?:\d+)))/$", "/orgs/{slug}/ev/{trace_id}/"),
        (r"^files/(?P<name>[\w.-]+)\.(?P<ext>json|xml)$", "/files/{name}.{ext}"),
        (r"drf/^users\.(?P<format>[a-z0-9]+)/?$", "/drf/users.{format}"),  # REST framework's format suffixes
        (r"drf/^users/(?P<pk>[^/.]+)/notes/(?P<note>[0-9]{1,3})/$", "/drf/users/{pk}/notes/{note}/"),
        (r"drf/^$", "/drf/"),
        (r"drf/^\.(?P<format>[a-z0-9]+)/?$", "/drf/.{format}"),
        (r"^odd/(?P<a>[)(\]]+)/(?P<b>\(\d+\))/$", "/odd/{a}/{b}/"),
        (r"^(?i)tea/(?=g)(?P<kind>green|black)(?#colour)\b/\Z", "/tea/{kind}/"),
        (r"^page-\d+/[a-z]{2}/x[.]y/.*$", "/page-{*}/{*}/x.y/{*}"),
        (r"^robots.txt$", "/robots.txt"),
        (r"^twice/(?P<a>\w)/(?P=a)/$", "/twice/{a}/{a}/"),
        (r"^by/(\d+)/(\d+)/$", "/by/{arg1}/{arg2}/"),
        (r"^tea/(json|xml)/(?P<pk>\d+)/$", "/tea/{json|xml}/{pk}/"),
        (r"^api/<int:version>/^x/(?P<y>\d{1,3}?)/$", "/api/{version}/x/{y}/"),
        (r"^(broken", "/{arg1}"),
        ("nested/<slug:a>/^b/(?P<b>[^/]+)/$", "/nested/{a}/b/{b}/"),
        (r"orders/(?P<pk>\d+)", "/orders/{pk}"),
        (r"about/$", "/about/"),
        ("/users/$count", "/users/$count"),  # none of Django's
        ("/a.b(c)/{d}", "/a.b(c)/{d}"),
        ("", "/"),
        ("/grüße/{name}", "/grüße/{name}"),
    ],
)
def test_every_framework_spells_its_templates_and_we_spell_them_alike(spelled: str, expected: str) -> None:
    assert normalise(spelled) == expected


class Order:
    """What an application's own converter gives."""

    def __str__(self) -> str:
        raise RuntimeError("the database is asked")


@pytest.mark.parametrize(
    ("path", "route", "params", "expected"),
    [
        ("/orders/7", "/orders/{order_id}", {"order_id": 7}, "/orders/{order_id}"),
        ("/orders/007", "/orders/{order_id:int}", {"order_id": 7}, "/orders/{order_id}"),
        # A mount or an included router: the template is the innermost router's, what is before it stands in the path.
        ("/v1/orders/7", "/orders/{order_id}", {"order_id": 7}, "/v1/orders/{order_id}"),
        (
            "/shops/tea/orders/7",
            "/orders/{order_id}",
            {"shop": "tea", "order_id": 7},
            "/shops/{shop}/orders/{order_id}",
        ),
        ("/a/1/b/1", "/b/{y}", {"x": 1, "y": 1}, "/a/{x}/b/{y}"),
        ("/m/a/b/c", "/{rest:path}", {"rest": "a/b/c"}, "/m/{rest}"),
        ("/files/a/b", "/files/{rest:path}", {}, "/files/{rest}"),
        ("/shops/007/x/1", "/x/{y}", {"shop": 7, "y": 1}, "/shops/{shop}/x/{y}"),
        (
            "/u/6F9619FF-8B86-D011-B42D-00C04FC964FF/x",
            "/x",
            {"uid": UUID(int=0x6F9619FF8B86D011B42D00C04FC964FF)},
            "/u/{uid}/x",
        ),
        ("/at/1.50/x", "/x", {"price": 1.5}, "/at/{price}/x"),
        ("/p/a/b/end/x", "/x", {"p": "a/b"}, "/p/{p}/end/x"),
        ("/7/7/x", "/x", {"a": 7, "b": 7}, "/{a}/{b}/x"),
        # Which one it was cannot be told.
        ("/shops/shops/x", "/x", {"shop": "shops"}, None),
        ("/a/7/b/07/x", "/x", {"shop": 7}, None),
        ("/shops/tea/x", "/x", {"shop": "coffee"}, None),
        ("/x/y/z/042", "/{a:path}/{n:int}", {"a": "x/y/z", "n": 42}, "/{a}/{n}"),
        ("/v1/x//z/042", "/{a:path}/{n:int}", {"a": "x//z", "n": 42}, "/v1/{a}/{n}"),
        ("/v1/files/", "/files/{rest:path}", {"rest": ""}, "/v1/files/{rest}"),
        ("/v1/orders/7", "/orders/{order}", {"order": Order()}, "/v1/orders/{order}"),
        ("/shops/7/orders", "/orders", {"shop": Order()}, None),
        ("/v1/orders/7", "/orders/{order}", {"order": 10**5000}, "/v1/orders/{order}"),
        # The framework names an endpoint only.
        ("/orders/7/items/tea", "", {"order_id": 7, "item": "tea"}, "/orders/{order_id}/items/{item}"),
        ("/orders", "", {}, "/orders"),
        ("/", "", None, "/"),
        # Nothing matched.
        ("/orders/7", None, {"order_id": 7}, None),
        # Regular expressions of Django. What is optional is named if the request had it.
        ("/archive/2026/", "^archive/([0-9]{4})/$", {}, "/archive/{arg1}/"),
        ("/shop/archive/2026/", "^archive/([0-9]{4})/$", {}, "/shop/archive/{arg1}/"),
        ("/opt/2020/07", r"^opt/(?P<y>\d+)(?:/(?P<m>\d+))?/?$", {"y": "2020", "m": "07"}, "/opt/{y}/{m}"),
        ("/opt/2020", r"^opt/(?P<y>\d+)(?:/(?P<m>\d+))?/?$", {"y": "2020"}, "/opt/{y}"),
        ("/en/tea", r"^(?:en|de)/tea$", {}, "/{en|de}/tea"),
        ("/v1/en/tea", r"^(?:en|de)/tea$", {}, "/v1/{en|de}/tea"),
        ("/by/7", r"^by/(?:(?P<pk>\d+)|(?P<slug>\w+))$", {"pk": "7"}, "/by/{pk}"),
        ("/by/tea", r"^by/(?:(?P<pk>\d+)|(?P<slug>\w+))$", {"slug": "tea"}, "/by/{slug}"),
    ],
)
def test_the_template_of_the_whole_path_is_found(
    path: str, route: str | None, params: dict[str, object] | None, expected: str | None
) -> None:
    assert template(path, route, params) == expected


def test_a_framework_that_names_the_whole_template_may_have_parameters_that_stand_nowhere() -> None:
    """As Flask's `defaults` and Django's extra options."""
    assert template("/prefix/tea", "/<kind>", {"kind": "tea", "page": 1}, mounts=False) == "/prefix/{kind}"


@given(st.text(alphabet=r"ab/(){}[]<>?P:!=|\\^$.*+d7,#", max_size=40), st.lists(st.sampled_from(["a", "b", "d7"])))
@example("^(?P<a", [])
@example("^[", [])
@example("^a\\", [])
@example("^" + "(" * 60, [])
def test_whatever_a_pattern_holds_it_becomes_some_text(pattern: str, names: list[str]) -> None:
    assert normalise("^" + pattern, tuple(names)).startswith("/")
    assert (template("/a/b", "^" + pattern, dict.fromkeys(names, "a"), mounts=False) or "").startswith("/")
