"""A client that holds every response against the published document."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from jsonschema import Draft202012Validator

from srmd.daemon.http import Listener, make_app, serve
from srmd.daemon.openapi import Access, Route
from srmd.daemon.routes import DOCUMENT, ROUTES
from tests.daemon.fake_facade import TOKEN, FakeFacade

WITHIN_S = 30.0
"""How long any single answer may take in these tests."""

COMPONENTS = {"components": DOCUMENT["components"]}
ERROR = {"$ref": "#/components/schemas/Error"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def error(self) -> str:
        return str(self.json["error"])


class Api:
    def __init__(
        self, facade: FakeFacade, listener: Listener, session: aiohttp.ClientSession
    ) -> None:
        self.facade = facade
        self.listener = listener
        self.mistakes: list[tuple[str, str]] = []
        """What `on_error` was told."""
        self._session = session

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/json",
    ) -> Got:
        """One request with the token; a body that is not bytes is sent as JSON."""
        given = {**BEARER, **(headers or {})}
        if body is not None:
            given.setdefault("Content-Type", media_type)
            body = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        url = f"http://127.0.0.1:{self.listener.port}{path}"
        async with self._session.request(method, url, data=body, headers=given) as response:
            content = await response.read()
            is_json = response.content_type == "application/json"
            read = json.loads(content) if is_json else content.decode()
            got = Got(response.status, response.headers, read)
        check(method, path, got)
        return got

    async def good(self, route: Route, **changes: Any) -> Got:
        """The example of a route, as the document publishes it."""
        path = changes.pop("path", example_path(route))
        if route.body is not None and "body" not in changes:
            example = route.body.example
            changes["body"] = example.encode() if isinstance(example, str) else example
        if route.body is not None:
            changes.setdefault("media_type", route.body.media_type)
        return await self.ask(route.method, path, **changes)

    async def raw(self, *sent: bytes, method: str = "", path: str = "") -> Got:
        """The answer to bytes on a new connection, which stays open until the answer is here."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            writer.writelines(sent)
            async with asyncio.timeout(WITHIN_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = head.split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines[1:] if line)
                body = await reader.readexactly(int(headers["Content-Length"]))
        finally:
            writer.close()
        got = Got(int(lines[0].split()[1]), headers, json.loads(body))
        check(method, path, got)
        return got

    async def head_only(self, route: Route, host: str, *lines: str) -> tuple[int, bytes]:
        """Status and body of a HEAD, as they come over the connection until its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            asked = f"HEAD {example_path(route)} HTTP/1.1"
            head = "\r\n".join([asked, f"Host: {host}", "Connection: close", *lines, "", ""])
            writer.write(head.encode())
            async with asyncio.timeout(WITHIN_S):
                got, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        return int(got.split()[1]), body

    async def head(self, route: Route, *lines: str) -> Got:
        """The answer to a good request that never sends its body."""
        path = example_path(route)
        media_type = route.body.media_type if route.body else "text/plain"
        start = [f"{route.method} {path} HTTP/1.1", "Host: localhost"]
        rest = [f"Authorization: Bearer {TOKEN}", f"Content-Type: {media_type}", *lines, "", ""]
        return await self.raw("\r\n".join(start + rest).encode(), method=route.method, path=path)


@asynccontextmanager
async def running(facade: FakeFacade | None = None, **limits: Any) -> AsyncIterator[Api]:
    """A node's HTTP side on a free port."""
    facade = facade or FakeFacade()
    heard: list[tuple[str, str]] = []
    app_limits = {name: limits.pop(name) for name in ("body_s",) if name in limits}
    app = make_app(facade, on_error=lambda *told: heard.append(told), **app_limits)
    listener = await serve(app, "127.0.0.1", 0, **{"linger_s": 0.05, **limits})
    try:
        timeout = aiohttp.ClientTimeout(total=WITHIN_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            api = Api(facade, listener, session)
            api.mistakes = heard
            yield api
    finally:
        await listener.close()


def check(method: str, path: str, got: Got) -> None:
    """Every response is published: its status for this operation, and the shape of its body."""
    route = route_of(method, path)
    if route is None:
        schema: Any = ERROR
        media_type = "application/json"
        assert got.status >= 400
    else:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        published = operation["responses"]
        if str(got.status) not in published:
            assert route.any_answer, f"{route.name} does not publish {got.status}: {got.json}"
        response = published.get(str(got.status), published.get("default"))
        ((media_type, content),) = response["content"].items()
        schema = content["schema"]
    Draft202012Validator({**schema, **COMPONENTS}).validate(got.json)
    assert got.headers["Content-Type"].startswith(media_type)


def route_of(method: str, path: str) -> Route | None:
    """The route of a request; a path without fields is nearer than one with."""
    found = [route for route in ROUTES if route.method == method and _matches(route, path)]
    return min(found, key=lambda route: len(route.path_fields), default=None)


def _matches(route: Route, path: str) -> bool:
    pattern = re.sub(r"\{\w+\}", "[^/]+", route.path)
    return re.fullmatch(pattern, path.partition("?")[0]) is not None


def example_path(route: Route) -> str:
    values = {
        name: quote(str((schema.get("enum") or schema["examples"])[0]))
        for name, schema in route.path_fields.items()
    }
    return route.path.format(**values)


def of(name: str) -> Route:
    return next(route for route in ROUTES if route.name == name)


def with_json_body() -> list[Route]:
    return [
        route
        for route in ROUTES
        if route.body is not None
        and route.body.media_type == "application/json"
        and route.access is not Access.PEER
    ]
