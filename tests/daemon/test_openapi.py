"""The published document: valid, true to the server, and every status of it reached."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from srmd.daemon.facade import Refused
from srmd.daemon.http import make_app
from srmd.daemon.openapi import NODE_HEADER, Access, Route
from srmd.daemon.routes import DOCUMENT, ROUTES
from srmd.daemon.strict_json import Schema, check
from tests.daemon.api import Api, Got, example_path, running, with_json_body
from tests.daemon.fake_facade import FakeFacade

KINDS = {409: "conflict", 404: "not_found", 422: "invalid", 503: "unavailable"}

PUBLISHED = [
    pytest.param(route, status, id=f"{route.name}-{status}")
    for route in ROUTES
    for status in DOCUMENT["paths"][route.path][route.method.lower()]["responses"]
]
HEADS = [
    pytest.param(route, status, id=f"{route.name}-{status}")
    for route in ROUTES
    if route.head
    for status in DOCUMENT["paths"][route.path]["head"]["responses"]
]


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_the_document_and_the_server_have_the_same_routes() -> None:
    app = make_app(FakeFacade(), on_error=lambda *_: None)
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }
    published = {
        (method, path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert served == published
    assert len(served) == sum(len(route.methods) for route in ROUTES)


def test_operations_have_names_of_their_own() -> None:
    assert len({route.name for route in ROUTES}) == len(ROUTES)


def test_whatever_changes_something_or_is_long_needs_the_token_or_is_for_the_peer() -> None:
    for route in ROUTES:
        if route.path.startswith("/control/"):
            assert route.access is Access.PEER
        else:
            needs_token = route.method != "GET" or route.name == "exportUsers"
            assert route.needs_token == needs_token, route.name


def test_every_published_example_fits_its_own_schema() -> None:
    for route in with_json_body():
        assert route.body is not None
        Draft202012Validator(route.body.schema).validate(route.body.example)


@pytest.mark.parametrize("route, status", PUBLISHED)
async def test_every_published_status_is_reached(route: Route, status: str) -> None:
    facade = FakeFacade(token=None if status == "403" else "a-token-for-tests-only")
    limits = {"connections_max": 0} if status == "503" and not route.asks_node else {}
    async with running(facade, body_s=0.05, **limits) as api:
        got = await provoke(api, route, status)
    if status == "default":
        assert got.status == 409, "what the fake node chose"
    else:
        assert got.status == int(status)
    assert bool(api.mistakes) == (status == "500")


@pytest.mark.parametrize("route, status", HEADS)
async def test_head_has_the_status_of_get_and_no_body(route: Route, status: str) -> None:
    """Balancers and probes ask so; it was answered with 405."""
    facade = FakeFacade(token=None if status == "403" else "a-token-for-tests-only")
    full = status == "503" and 503 not in route.answers  # told before a request is read
    async with running(facade, **({"connections_max": 0} if full else {})) as api:
        if status == "200":
            api.facade.served_here = 1
        if status == "500":
            api.facade.crash = KeyError("a bug")
        meant = (f"{NODE_HEADER}: another/node",) if status == "421" else ()
        host = "evil.example" if status == "403" else "localhost"
        found, body = await api.head_only(route, host, *meant)
    assert found == int(status)
    assert full or body == b""


async def provoke(api: Api, route: Route, status: str) -> Got:
    """Make a route answer with a status that it publishes."""
    is_peer = route.access is Access.PEER
    match status:
        case "200" | "202" | "default":
            api.facade.served_here = 1
            return await api.good(route)
        case "400":
            is_json = route.body is not None and route.body.media_type == "application/json"
            return await api.good(route, body=b"{" if is_json and not is_peer else b"")
        case "401":
            return await api.good(route, headers={"Authorization": ""})
        case "403":
            headers = {"Origin": "http://evil.example"} if is_peer else {"Host": "evil.example"}
            return await api.good(route, headers=headers)
        case "404" if route.path_fields:
            values = dict.fromkeys(route.path_fields, "nonsense")
            return await api.good(route, path=route.path.format(**values))
        case "408":
            return await api.head(route, "Content-Length: 10")
        case "411":
            return await api.head(route, "Transfer-Encoding: chunked")
        case "413":
            assert route.body is not None
            return await api.head(route, f"Content-Length: {route.body.max_bytes + 1}")
        case "415" if is_peer:
            return await api.good(route, headers={"Content-Encoding": "gzip"})
        case "415":
            return await api.good(route, body=b"x", media_type="text/plain")
        case "421":
            return await api.good(route, headers={NODE_HEADER: "another/node"})
        case "500":
            api.facade.crash = KeyError("a bug")
            return await api.good(route)
        case _:
            api.facade.outcome = Refused("not now", kind=KINDS[int(status)])
            return await api.good(route)


def _names(schema: Schema) -> list[str]:
    return [name for part in schema.get("oneOf", [schema]) for name in part["properties"]]


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 80_000),
    st.integers(),
    st.floats(allow_nan=False),
    st.integers(-2, 80_000).map(float),
    st.sampled_from(["", "a", "balanced", "active-standby", "none", "x" * 100, "x" * 128]),
    st.text(max_size=140),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[Schema, Any]:
    """The schema of a request, and something like what it wants."""
    route = draw(st.sampled_from(with_json_body()))
    assert route.body is not None
    names = st.sampled_from([*_names(route.body.schema), "colour"])
    values = st.dictionaries(names, _VALUES, max_size=3) if draw(st.booleans()) else _VALUES
    return route.body.schema, draw(values)


@given(requests())
def test_our_check_and_jsonschema_accept_the_same_requests(request: tuple[Schema, Any]) -> None:
    schema, value = request
    assert (check(schema, value, where="body") == ()) == Draft202012Validator(schema).is_valid(
        value
    )


def test_a_path_example_is_filled() -> None:
    service = next(route for route in ROUTES if route.name == "actOnService")
    assert example_path(service) == "/api/v1/services/Cisco%20Presence%20Engine/start"
