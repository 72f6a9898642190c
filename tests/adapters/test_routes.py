"""Route templates of all frameworks come out in one form."""

from __future__ import annotations

import pytest

from otas_middleware._event.routes import normalise, template


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
        ("", "/"),
        ("/grüße/{name}", "/grüße/{name}"),
    ],
)
def test_every_framework_spells_its_templates_and_we_spell_them_alike(spelled: str, expected: str) -> None:
    assert normalise(spelled) == expected


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
        # The framework names an endpoint only.
        ("/orders/7/items/tea", "", {"order_id": 7, "item": "tea"}, "/orders/{order_id}/items/{item}"),
        ("/orders", "", {}, "/orders"),
        ("/", "", None, "/"),
        # Nothing matched.
        ("/orders/7", None, {"order_id": 7}, None),
        # The template fits no path, as one of an unnamed group does not.
        ("/archive/2026/", "^archive/([0-9]{4})/$", {}, "/archive/([0-9]{4})/"),
    ],
)
def test_the_template_of_the_whole_path_is_found(
    path: str, route: str | None, params: dict[str, object] | None, expected: str | None
) -> None:
    assert template(path, route, params) == expected
