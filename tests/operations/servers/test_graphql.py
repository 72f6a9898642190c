"""GraphQL as its servers speak it: strawberry, ariadne, graphene-django."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

import support.django_project  # noqa: F401  # Django's settings
from otas_middleware.asgi import OtasMiddleware

if TYPE_CHECKING:
    from otas_middleware.testing import RecordedEvents

pytest.importorskip("strawberry", reason="the group `operations` is not installed")
pytest.importorskip("ariadne", reason="the group `operations` is not installed")
pytest.importorskip("graphene", reason="the group `operations` is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ORDERS = {"query": "query Orders { orders }"}
REFUND = {"query": "mutation Refund($id: Int!) { refund(id: $id) }", "variables": {"id": 7}}
BROKEN = {"query": "query Broken { orders broken }"}
UNKNOWN = {"query": "query Unknown { nothing }"}


def strawberry_app() -> Any:
    import strawberry
    from strawberry.asgi import GraphQL

    @strawberry.type
    class Query:
        @strawberry.field
        def orders(self) -> list[int]:
            return [1]

        @strawberry.field
        def broken(self) -> int | None:
            raise ValueError("no such order 9")

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        def refund(self, id: int) -> bool:  # noqa: A002  # the field's name
            return True

    return GraphQL(strawberry.Schema(Query, Mutation))


def ariadne_app() -> Any:
    from ariadne import MutationType, QueryType, make_executable_schema
    from ariadne.asgi import GraphQL

    query, mutation = QueryType(), MutationType()
    query.set_field("orders", lambda *_: [1])

    def broken(*_: object) -> int:
        raise ValueError("no such order 9")

    query.set_field("broken", broken)
    mutation.set_field("refund", lambda *_, id: True)  # noqa: A006  # the field's name
    types = "type Query { orders: [Int!]! broken: Int } type Mutation { refund(id: Int!): Boolean! }"
    return GraphQL(make_executable_schema(types, query, mutation))


def check(client: Any, events: RecordedEvents, path: str) -> None:
    for body in (ORDERS, REFUND, BROKEN, UNKNOWN):
        client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    rows = [(event.metadata["operation"]["name"], event.metadata["operation"]["outcome"]) for event in events]
    assert rows == [
        ("query Orders", "ok"),
        ("mutation Refund", "ok"),
        ("query Broken", "partial"),
        ("query Unknown", "error"),
    ]
    assert [event.error.partition(":")[0] for event in events] == ["", "", "graphql", "graphql"]
    assert events.one(operation="query Broken").error == "graphql: no such order 9"


def test_operations_of_strawberry_are_named(otas_events: RecordedEvents) -> None:
    check(TestClient(OtasMiddleware(strawberry_app()), headers=otas_events.headers), otas_events, "/graphql")


def test_operations_of_ariadne_are_named(otas_events: RecordedEvents) -> None:
    check(TestClient(OtasMiddleware(ariadne_app()), headers=otas_events.headers), otas_events, "/graphql")


def test_operations_of_graphene_django_are_named(otas_events: RecordedEvents) -> None:
    import graphene
    from django.core.wsgi import get_wsgi_application
    from django.test import override_settings
    from django.urls import path
    from graphene_django.views import GraphQLView

    from otas_middleware.wsgi import OtasMiddleware as WsgiMiddleware

    class Query(graphene.ObjectType):
        orders = graphene.List(graphene.Int)
        broken = graphene.Int()

        def resolve_orders(self, info: object) -> list[int]:
            return [1]

        def resolve_broken(self, info: object) -> int:
            raise ValueError("no such order 9")

    class Refund(graphene.Mutation):
        class Arguments:
            id = graphene.Int(required=True)

        Output = graphene.Boolean

        def mutate(self, info: object, id: int) -> bool:  # noqa: A002  # the argument's name
            return True

    class Mutation(graphene.ObjectType):
        refund = Refund.Field()

    import sys
    import types

    import httpx

    urls: Any = types.ModuleType("graphene_urls")
    view = GraphQLView.as_view(schema=graphene.Schema(query=Query, mutation=Mutation))
    urls.urlpatterns = [path("graphql", view)]
    sys.modules["graphene_urls"] = urls
    with override_settings(ROOT_URLCONF="graphene_urls", MIDDLEWARE=[], ALLOWED_HOSTS=["*"]):
        app = WsgiMiddleware(get_wsgi_application())
        transport = httpx.WSGITransport(app=app)
        with httpx.Client(transport=transport, base_url="http://shop", headers=otas_events.headers) as client:
            check(client, otas_events, "/graphql")
