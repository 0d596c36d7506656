"""Toxiproxy's HTTP API: routes, statuses, content types and bodies, as its clients know them.

Source: Toxiproxy 2.12.0, `api.go`, probed; the bearer token as in 2.13.0.  Ours are the routes
under `/srm/v1`, and nothing else.  Routing is by hand, because aiohttp's answers to an unknown path
or method are not Toxiproxy's.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import posixpath
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from srmd.lab.faultproxy.body import BadBody, decode, encode
from srmd.lab.faultproxy.proxies import Proxies, Proxy, Refused
from srmd.lab.faultproxy.toxic import BadAttribute
from srmd.lab.faultproxy.words import VERSION
from srmd.secret import Secret

BODY_BYTES_MAX = 2**20
"""Bound of a request body; ours."""
HANDLER_LIMIT_S = 25.0
"""After this a request is answered by 503.  Source: Toxiproxy, timeoutMiddleware."""

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class About:
    """What the server says of itself at `/srm/v1/server`."""

    seed: int
    strict: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before it is HTTP."""

    status: int
    content_type: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request on a known route."""

    parts: tuple[str, ...]
    """The names in its path: of the proxy, then of the toxic."""
    body: bytes


Handler = Callable[[Asked], Awaitable[Answer]]


def shown(value: object, status: int = 200) -> Answer:
    return Answer(status, _JSON, encode(value))


def error(status: int, message: str, **headers: str) -> Answer:
    """An error as Go's helper writes it: JSON that is called plain text."""
    body = encode({"error": message, "status": status}) + b"\n"
    return Answer(status, _TEXT, body, {"X-Content-Type-Options": "nosniff", **headers})


NOTHING = Answer(204)
NO_SUCH_PAGE = Answer(404, _TEXT, b"404 page not found\n", {"X-Content-Type-Options": "nosniff"})
WRONG_METHOD = Answer(405)
BROWSER = Answer(403, _TEXT, b"User agent not allowed\n", {"X-Content-Type-Options": "nosniff"})


class Api:
    """The API in front of the proxies."""

    def __init__(self, proxies: Proxies, about: About, token: Secret | None) -> None:
        self._proxies = proxies
        self._about = about
        self._token = token
        self._running: set[asyncio.Task[Answer]] = set()
        # A star is the name of a proxy or toxic: any text without a slash.
        self._routes: Mapping[tuple[str, ...], Mapping[str, Handler]] = {
            ("version",): {"GET": self._version},
            ("reset",): {"POST": self._reset},
            ("populate",): {"POST": self._populate},
            ("proxies",): {"GET": self._list, "POST": self._create},
            ("proxies", "*"): {
                "GET": self._show,
                "POST": self._update,
                "PATCH": self._update,
                "DELETE": self._delete,
            },
            ("proxies", "*", "toxics"): {"GET": self._list_toxics, "POST": self._add_toxic},
            ("proxies", "*", "toxics", "*"): {
                "GET": self._show_toxic,
                "POST": self._update_toxic,
                "PATCH": self._update_toxic,
                "DELETE": self._remove_toxic,
            },
            ("srm", "v1", "server"): {"GET": self._server},
            ("srm", "v1", "proxies", "*", "stats"): {"GET": self._stats},
        }

    def application(self) -> web.Application:
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        application.router.add_route("*", "/{path:.*}", self._handle)
        application.on_cleanup.append(self._cleanup)
        return application

    async def _cleanup(self, _: web.Application) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.Response:
        answer = await self._answer(request)
        headers = dict(answer.headers)
        if answer.content_type:
            headers["Content-Type"] = answer.content_type
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _answer(self, request: web.Request) -> Answer:
        path = request.rel_url.path
        clean = _clean(path)
        if clean != path:
            return Answer(301, headers={"Location": clean})
        found = self._route(path)
        if found is None:
            return NO_SUCH_PAGE
        methods, parts = found
        handler = methods.get(request.method)
        if handler is None:
            return WRONG_METHOD
        answer = await self._matched(request, handler, parts)
        headers = {"X-Toxiproxy-Request-Id": _request_id(), **answer.headers}
        return Answer(answer.status, answer.content_type, answer.body, headers)

    def _route(self, path: str) -> tuple[Mapping[str, Handler], tuple[str, ...]] | None:
        """The methods of a path and the names in it."""
        given = tuple(path.split("/")[1:])
        for pattern, methods in self._routes.items():
            pairs = list(zip(pattern, given, strict=False))
            if len(given) == len(pattern) and all(
                part == wanted or (wanted == "*" and part) for wanted, part in pairs
            ):
                return methods, tuple(part for wanted, part in pairs if wanted == "*")
        return None

    async def _matched(
        self, request: web.Request, handler: Handler, parts: tuple[str, ...]
    ) -> Answer:
        if request.headers.get("User-Agent", "").startswith("Mozilla/"):
            return BROWSER
        if self._token and not _allowed(request.headers.get("Authorization", ""), self._token):
            headers = {"WWW-Authenticate": "Bearer"}
            return error(401, "missing or invalid auth token", **headers)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return error(413, f"bad request body: longer than {BODY_BYTES_MAX} bytes")
        return await self._within_limit(self._carried_out(handler, Asked(parts, body)))

    async def _within_limit(self, work: Awaitable[Answer]) -> Answer:
        """The answer, or 503; the work itself is not broken off half way."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({task}, timeout=HANDLER_LIMIT_S)
        return task.result() if done else Answer(503)

    async def _carried_out(self, handler: Handler, asked: Asked) -> Answer:
        try:
            return await handler(asked)
        except Refused as refused:
            return error(refused.status, str(refused))
        except (BadBody, BadAttribute) as bad:
            return error(400, f"bad request body: {bad}")
        except Exception:  # noqa: BLE001 -- one bad request must not take the fault proxy down
            _log.exception("a request failed that should not have")
            return error(500, "internal error of the fault proxy; its log has the details")

    # One method for each operation.  A missing proxy is told before a bad body.

    async def _version(self, _: Asked) -> Answer:
        body = f'{{"version": "{VERSION}"}}\n'.encode()
        return Answer(200, "application/json;charset=utf-8", body)

    async def _reset(self, _: Asked) -> Answer:
        await self._proxies.reset()
        return NOTHING

    async def _list(self, _: Asked) -> Answer:
        return shown({proxy.name: proxy.shown() for proxy in self._proxies.all()})

    async def _create(self, asked: Asked) -> Answer:
        return shown((await self._proxies.create(decode(asked.body))).shown(), 201)

    async def _populate(self, asked: Asked) -> Answer:
        done: list[Proxy] = []
        head: dict[str, object] = {}
        status = 201
        try:
            await self._proxies.populate(decode(asked.body), done)
        except (Refused, BadBody) as failed:
            status = failed.status if isinstance(failed, Refused) else 400
            prefix = "" if isinstance(failed, Refused) else "bad request body: "
            head = {"error": f"{prefix}{failed}", "status": status}
        return shown({**head, "proxies": [proxy.shown() for proxy in done] or None}, status)

    async def _show(self, asked: Asked) -> Answer:
        return shown(self._proxies.get(asked.parts[0]).shown())

    async def _update(self, asked: Asked) -> Answer:
        self._proxies.get(asked.parts[0])
        return shown((await self._proxies.update(asked.parts[0], decode(asked.body))).shown())

    async def _delete(self, asked: Asked) -> Answer:
        await self._proxies.delete(asked.parts[0])
        return NOTHING

    async def _list_toxics(self, asked: Asked) -> Answer:
        proxy = self._proxies.get(asked.parts[0])
        return shown([placement.shown() for placement in proxy.ordered()])

    async def _add_toxic(self, asked: Asked) -> Answer:
        self._proxies.get(asked.parts[0])
        return shown(self._proxies.add_toxic(asked.parts[0], decode(asked.body)).shown())

    async def _show_toxic(self, asked: Asked) -> Answer:
        name, toxic = asked.parts
        return shown(self._proxies.get(name).toxic(toxic).shown())

    async def _update_toxic(self, asked: Asked) -> Answer:
        name, toxic = asked.parts
        self._proxies.get(name).toxic(toxic)
        return shown(self._proxies.update_toxic(name, toxic, decode(asked.body)).shown())

    async def _remove_toxic(self, asked: Asked) -> Answer:
        self._proxies.remove_toxic(*asked.parts)
        return NOTHING

    async def _server(self, _: Asked) -> Answer:
        about = {"product": "srmd faultproxy", "seed": self._about.seed}
        return shown({**about, "strict": self._about.strict, "api": VERSION})

    async def _stats(self, asked: Asked) -> Answer:
        return shown(self._proxies.get(asked.parts[0]).wire.stats())


def _allowed(header: str, token: Secret) -> bool:
    scheme, _, given = header.partition(" ")
    return scheme == "Bearer" and Secret(given.encode("utf-8", "surrogateescape")) == token


def _clean(path: str) -> str:
    """The path without empty and dot segments, as Go cleans it; a slash at the end stays."""
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return clean + "/" if path.endswith("/") and clean != "/" else clean


def _request_id() -> str:
    """20 characters, as an xid has."""
    return base64.b32hexencode(os.urandom(12)).decode().rstrip("=").lower()
