"""The HTTP side of a node: for administrators, for programs, and for the peer.

What is answered where stands in `routes`; here is how a request gets there, and the rules that hold
for all of them:

- Every error is JSON in one shape, whoever found it: a handler, aiohttp or the parser.
- Nothing is unbounded: not headers or bodies, not the time that a body takes to arrive or an
  answer to be read, not idle or open connections, not the requests that begin in one pass of the
  loop, not closing.
- A page in a browser can point its own name at our address, and would read our answers as its own.
  So the Host is an IP address, localhost, or a name that the configuration or the certificate has.
- Where a token is configured, whatever changes something needs it.  Without one (config.py allows
  that on loopback only) any program of this machine may command, but no web page in its browser:
  an address in the Host must be local too, and an Origin must be our own.
- With TLS the routes of the peer want the certificate of the peer; all others only speak TLS.
- Bodies have the content type of their route, which a form of a foreign page cannot send, and a
  declared length: of a body in chunks a few bytes each would cost as much as a whole one.
- Nothing is heard behind a request for another protocol, which is answered as if it had not asked,
  nor behind what is not HTTP.
"""

from __future__ import annotations

import asyncio
import codecs
import ipaddress
import re
import socket
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.web_protocol import _ErrInfo

from srmd.config import Address, ControlConfig
from srmd.config.reading import is_name
from srmd.daemon.door import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_SOURCE_MAX,
    HANDSHAKE_S,
    STALLED_S,
    Context,
    Door,
    OnRefused,
    Visit,
)
from srmd.daemon.facade import Facade
from srmd.daemon.listening import bound, cannot_listen
from srmd.daemon.openapi import NODE_HEADER, Access, Answer, Body, Call, Route
from srmd.daemon.routes import ROUTES, error
from srmd.daemon.strict_json import Schema, check, right, shown, with_defaults
from srmd.descriptors import is_exhausted
from srmd.node.calling import SPEAKS_TLS
from srmd.secret import Secret
from srmd.tls import certificate_of, node_uri
from srmd.wire.codec import MalformedMessage, dump_json, parse_json

IDLE_S = 15.0
"""How long a connection may be without a complete request, the first one included."""
BODY_S = 10.0
"""How long a body may take to arrive."""
ANSWER_S = 10.0
"""Time that the other side has to read an answer; a long one waits longer."""
ANSWER_BYTES_PER_S = 100_000
"""A page of users is read in a second of it, an export of 75,000 users in a quarter of a minute."""
BEGUN_AT_ONCE = 8
"""Requests without a token that begin in one pass of the loop, so that a flood of them delays no
heartbeat.  Administrators do not wait behind it."""
CLOSE_S = 2.0
"""How long requests under way may take when the server closes; cancelled ones as long again."""
LINGER_S = 1.0
"""How long what is left of a refused body is read, so that its sender sees the refusal."""
READ_BYTES = 1024
"""So much of a body is kept unread, and a sixteenth as many chunks; each chunk costs its time."""
RECEIVED_BYTES = 16 * 1024
"""So much is read at once.  Of asyncio's 256 KiB each connection could keep several copies: rests
that are not parsed, and the texts of errors about them."""
BACKLOG_MIN, BACKLOG_MAX = 16, 100
"""Connections that wait to be accepted."""
LINE_BYTES_MAX = 8190
HEADERS_MAX = 64
INTEGER_DIGITS_MAX = 9
READING = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""

OnError = Callable[[str, str], None]
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Unacceptable(Exception):
    """A request that ends here, with this answer."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        problems: tuple[Mapping[str, Any], ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.answer = Answer(status, error(text, problems=problems), headers or {})


class Listener:
    """A server that listens; made by `serve`."""

    def __init__(self, runner: web.AppRunner, listening: asyncio.Server, door: Door) -> None:
        self._runner = runner
        self._door = door
        self._listening = listening
        self.port: int = listening.sockets[0].getsockname()[1]
        """The real one, if port 0 was asked for."""

    async def close(self) -> None:
        """Listen no more and end all connections, within 2 * CLOSE_S.  Safe to say twice."""
        self._listening.close()
        self._door.close()
        await self._runner.cleanup()
        self._door.empty()


def make_app(facade: Facade, *, on_error: OnError, body_s: float = BODY_S) -> web.Application:
    """The application of a node.

    `on_error(request, traceback)` hears of every mistake in our own code; the client sees a 500.
    """

    beginning = asyncio.Semaphore(BEGUN_AT_ONCE)

    @web.middleware
    async def take_turns(request: web.Request, handler: Next) -> web.StreamResponse:
        connection = _connection(request)
        connection.visit.asks()
        is_last = any(name in request.headers for name in ("Transfer-Encoding", "Upgrade"))
        if is_last or request.method == "CONNECT":
            connection.hear_no_more()
        if not _shows_token(request, facade.config.control):
            async with beginning:
                await asyncio.sleep(0)  # the others of the loop have their turn
            if request.transport is None:
                return _respond(_LOST)
        response = await handler(request)
        if is_last:
            response.force_close()
        return response

    @web.middleware
    async def answer_errors(request: web.Request, handler: Next) -> web.StreamResponse:
        try:
            return await handler(request)
        except Unacceptable as refused:
            return _respond(refused.answer)
        except web.HTTPException as refused:
            return _respond(_in_our_shape(request, refused))
        except Exception as mistake:  # noqa: BLE001 - the last place where one can be told
            on_error(
                f"{request.method} {request.path}",
                "".join(traceback.format_exception(mistake)),
            )
            if isinstance(mistake, MemoryError):
                return _respond(_NO_MEMORY)
            what = f"a mistake in srmd ({type(mistake).__name__}); the log of the node has it"
            return _respond(Answer(500, error(what)))

    @web.middleware
    async def judge_head(request: web.Request, handler: Next) -> web.StreamResponse:
        if "Transfer-Encoding" in request.headers:
            raise Unacceptable(
                411,
                "send the body with its Content-Length, and not in chunks",
                headers={"Connection": "close"},
            )
        if not request.path.startswith("/control/"):
            _refuse_foreign_pages(request, facade)
            _need_node(request, facade)
        return await handler(request)

    app = web.Application(middlewares=[answer_errors, take_turns, judge_head])
    for route in ROUTES:
        for method in route.methods:
            app.router.add_route(method, route.path, _serving(route, facade, body_s))
    return app


async def serve(
    app: web.Application,
    host: str,
    port: int,
    *,
    context: Context = lambda: None,
    on_refused: OnRefused = lambda _source, _why: None,
    connections_max: int = CONNECTIONS_MAX,
    per_source_max: int = CONNECTIONS_PER_SOURCE_MAX,
    stalled_s: float = STALLED_S,
    handshake_s: float = HANDSHAKE_S,
    idle_s: float = IDLE_S,
    linger_s: float = LINGER_S,
    answer_s: float = ANSWER_S,
) -> Listener:
    """Listen.  Raises CannotListen; OSError when no descriptor is free.

    `context()` is that of TLS for the next connection, or None; `on_refused(source, why)` hears of
    handshakes that failed.
    """
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(app, shutdown_timeout=CLOSE_S)
    await runner.setup()
    server = runner.server
    assert server is not None, "set up just now"
    received = memoryview(bytearray(RECEIVED_BYTES))  # by one connection at a time, and copied

    def connection(visit: Visit) -> asyncio.Protocol:
        return _Connection(
            visit,
            received,
            answer_s,
            server,
            loop=loop,
            keepalive_timeout=idle_s,
            lingering_time=linger_s,
            read_bufsize=READ_BYTES,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,  # a small body must not become a huge one
            access_log=None,  # how aiohttp is told: none
        )

    door = Door(
        connection,
        _alone("503 Service Unavailable", TOO_MANY),
        _alone("400 Bad Request", USE_HTTPS, f"{SPEAKS_TLS}: 1\r\n"),
        connections_max=connections_max,
        per_source_max=per_source_max,
        stalled_s=stalled_s,
        handshake_s=handshake_s,
        context=context,
        on_refused=on_refused,
    )
    listen = Address(host, port)
    try:
        # So many are accepted at once, each with a descriptor, before the door sees the first.
        backlog = max(BACKLOG_MIN, min(BACKLOG_MAX, connections_max))
        with ExitStack() as ours:  # until the server has taken the socket over
            own = ours.enter_context(bound(listen, socket.SOCK_STREAM))
            listening = await loop.create_server(door, sock=own, backlog=backlog)
            ours.pop_all()
    except OSError as failed:
        await runner.cleanup()
        if is_exhausted(failed):  # the address is well
            raise
        raise cannot_listen("control.listen", listen, socket.SOCK_STREAM, failed) from failed
    except BaseException:
        await runner.cleanup()
        raise
    return Listener(runner, listening, door)


class _Connection(web.RequestHandler, asyncio.BufferedProtocol):
    """aiohttp's connection, with a bound on how long an answer may wait to be read, and on how much
    is read at once.

    What is not HTTP it answers in our shape and without a traceback.
    """

    __slots__ = ("_answer_s", "_giving_up", "_is_deaf", "_received", "visit")

    def __init__(
        self, visit: Visit, received: memoryview, answer_s: float, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.visit = visit
        self._received = received
        self._answer_s = answer_s
        self._giving_up: asyncio.TimerHandle | None = None
        self._is_deaf = False

    def hear_no_more(self) -> None:
        """Further bytes are neither parsed nor kept; the request under way is the last."""
        self._is_deaf = True
        self._lingering_time = 0.0
        self.close()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the signature is asyncio's
        return self._received

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._received[:nbytes]))

    def data_received(self, data: bytes) -> None:
        if not self._is_deaf:
            super().data_received(data)
            last = self._messages[-1][0] if self._messages else None
            if isinstance(last, _ErrInfo):
                # Its frames hold the connection and what it said, until the collector comes.
                last.exc.__traceback__ = None
            self._is_deaf = self._upgraded or isinstance(last, _ErrInfo)
        if self._is_deaf:
            # aiohttp keeps what follows an upgrade, and parses it once that is declined.
            self._message_tail = b""
            if self.transport is not None:
                self.transport.pause_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        # Writing pauses as soon as the kernel does not take all, not only when much is left: else
        # the rest of an answer could wait for its reader without end.  (0 would stop Python's TLS.)
        transport.set_write_buffer_limits(high=1, low=0)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        super().pause_writing()
        assert self.transport is not None, "it writes"
        limit_s = self._answer_s + self.transport.get_write_buffer_size() / ANSWER_BYTES_PER_S
        self._giving_up = self._loop.call_later(limit_s, self.visit.transport.abort)

    def resume_writing(self) -> None:
        self._cancel_giving_up()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._cancel_giving_up()
        self.visit.left()
        super().connection_lost(exc)

    def _cancel_giving_up(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - the signature is aiohttp's
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - as above
        message: str | None = None,
    ) -> web.StreamResponse:
        what = (message or HTTPStatus(status).phrase).partition("\n")[0].rstrip(":")
        response = _respond(Answer(status, error(f"not a good HTTP request: {what}")))
        response.force_close()
        return response


TOO_MANY = "too many connections are open; close some, or try again later"
USE_HTTPS = "this port speaks TLS, and was asked in plain HTTP: use https://"


def _alone(status: str, why: str, headers: str = "") -> bytes:
    """The answer to a connection that does not come in."""
    body = dump_json(error(why))
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _connection(request: web.Request) -> _Connection:
    connection = request.protocol
    assert isinstance(connection, _Connection), "made by serve"
    return connection


_LOST = Answer(503, error("the connection is lost"))
"""The answer to a request whose sender did not wait for it; it is not sent."""


_NO_MEMORY = Answer(
    503,
    error(
        "the node has too little memory for this request; send less at a time, or raise the limit "
        "of its memory (MemoryMax=, ulimit -v)"
    ),
)


def _serving(route: Route, facade: Facade, body_s: float) -> Next:
    # Of the requests that strangers may send and that use the database one is under way at a time:
    # they do not queue up there before the moves of a failover.
    alone = asyncio.Lock()

    async def serve_request(request: web.Request) -> web.StreamResponse:
        if route.access is Access.PEER and "Origin" in request.headers:
            raise Unacceptable(403, f"{route.path} is for the peer node, not for a web page")
        if route.access is Access.PEER:
            _need_peer(request, facade)
        if route.needs_token:
            _need_token(request, facade.config.control)
        path = _path_fields(route, request)
        query = _query(route, request)
        body, fields = b"", {}
        if route.body is not None:
            body = await _read(request, route, route.body, body_s)
            if route.access is not Access.PEER and route.body.media_type == "application/json":
                fields = _json_fields(route.body.schema, body)
        call = Call(
            facade=facade,
            target=request.raw_path,
            headers=request.headers,
            path=path,
            query=query,
            fields=fields,
            body=body,
        )
        if route.access is Access.OPEN:
            async with alone:
                if request.transport is None:
                    return _respond(_LOST)
                return _respond(await route.handler(call))
        with _connection(request).visit.kept():
            return _respond(await route.handler(call))

    return serve_request


# Who may ask.


def _refuse_foreign_pages(request: web.Request, facade: Facade) -> None:
    control = facade.config.control
    given = request.headers.get("Host")
    host = given or ""
    name = _host_name(host)
    is_ours = name in facade.host_names or Address(name, control.listen.port).is_loopback
    if control.token is not None:
        # No browser leaves the Host out; health checks of HTTP/1.0 do.
        if not (is_ours or given is None or _is_address(name)):
            raise Unacceptable(
                403,
                f"Host: {shown(host)} is not a name of this node; say its IP address, or put the "
                "name into control.allowed_hosts of its configuration",
            )
        return
    if not is_ours:
        raise Unacceptable(
            403,
            f"Host: {shown(host)} is not a name of this machine; say 127.0.0.1 or localhost, "
            "or configure control.token, and for a name control.allowed_hosts",
        )
    origin = request.headers.get("Origin")
    if origin is not None and request.method not in READING and not _is_of(origin, host):
        raise Unacceptable(
            403,
            f"Origin: {shown(origin)} is another site; its pages may not command this node "
            "unless control.token is configured",
        )


def _need_node(request: web.Request, facade: Facade) -> None:
    """Another node may hold the port of the one that is meant: then nothing is done."""
    meant = request.headers.get(NODE_HEADER)
    if meant is None:
        return
    config = facade.config
    if meant != f"{config.group.name}/{config.node.id}":
        group, _, node = meant.partition("/")
        named = (
            f"node {node} of group {group}" if is_name(group) and is_name(node) else shown(meant)
        )
        raise Unacceptable(
            421,
            f"node {config.node.id} of group {config.group.name} answers here, and {named} was "
            "meant; nothing has changed",
        )


_HOST: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)(?P<zone>%[A-Za-z0-9._~-]+)?\]|(?P<name>[^\[\]:]+))(?::[0-9]{1,5})?"
)
"""A name, an IPv4 address, or an IPv6 address in brackets; then a port or nothing."""


def _host_name(host: str) -> str:
    """The name or the address without its zone; empty for what is neither."""
    found = _HOST.fullmatch(host)
    if found is None:
        return ""
    if found["name"] is not None:
        return found["name"].lower().removesuffix(".")
    try:
        address = ipaddress.IPv6Address(found["v6"])
    except ValueError:
        return ""
    if found["zone"] is not None and not address.is_link_local:
        return ""
    return str(address)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_of(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _need_peer(request: web.Request, facade: Facade) -> None:
    """With TLS the peer shows the certificate of its node; its signature is asked for besides."""
    config = facade.config
    if config.tls.files is None:
        return
    transport = request.transport
    shown_there = transport.get_extra_info("peercert") if transport is not None else None
    names = certificate_of(shown_there or {}).names
    needed = node_uri(config.group.name, config.peer.id)
    if needed not in names:
        given = f"a certificate of {shown(', '.join(names))}" if shown_there else "no certificate"
        facade.refuse_certificate(f"{given} was shown, and that of {needed} is needed")
        raise Unacceptable(403, f"{request.path} is for the peer, by its certificate: {needed}")


def _need_token(request: web.Request, control: ControlConfig) -> None:
    token = control.token
    if token is None:
        return
    if _shows_token(request, control):
        return
    what = "the token is wrong" if "Authorization" in request.headers else "a token is needed"
    raise Unacceptable(
        401,
        f"{what}: send `Authorization: Bearer TOKEN` with control.token of this node's "
        "configuration (the srmd commands take it from SRMD_TOKEN)",
        headers={"WWW-Authenticate": 'Bearer realm="srmd"'},
    )


def _shows_token(request: web.Request, control: ControlConfig) -> bool:
    scheme, _, shown_token = request.headers.get("Authorization", "").partition(" ")
    # Headers may hold bytes that are no text; Secret compares in constant time.
    given = Secret(shown_token.strip().encode(errors="surrogateescape"))
    return scheme.lower() == "bearer" and given in (control.token, control.old_token)


# What they ask.


def _path_fields(route: Route, request: web.Request) -> Mapping[str, str]:
    for name, schema in route.path_fields.items():
        given = request.match_info[name]
        if given not in schema.get("enum", (given,)):
            raise Unacceptable(404, f"{name}: {shown(given)} is not {right(schema)}")
    return request.match_info


def _query(route: Route, request: web.Request) -> dict[str, Any]:
    if not route.query:
        return {}
    values: dict[str, Any] = {}
    for name, text in request.query.items():
        if name in values:
            raise _wrong({"field": shown(name), "value": shown(text), "reason": "is given twice"})
        is_number = route.query.get(name, {}).get("type") == "integer"
        values[name] = _integer(text) if is_number else text
    return _checked(route.query_schema, values, where="query")


def _integer(text: str) -> int | str:
    good = text.isascii() and text.isdigit() and len(text) <= INTEGER_DIGITS_MAX
    return int(text) if good else text


async def _read(request: web.Request, route: Route, body: Body, body_s: float) -> bytes:
    """The body of a request.  Raises Unacceptable for one that is not as its route wants it."""
    if request.body_exists:
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise Unacceptable(
                415, f"Content-Encoding: {shown(encoding)} is not read here; send the body plain"
            )
        # The peer's bodies are signed, whatever they are called.
        if route.access is not Access.PEER and request.content_type != body.media_type:
            given = request.headers.get("Content-Type", "")
            raise Unacceptable(415, f"Content-Type: {shown(given)} is not {body.media_type}")
    too_long = f"the body is longer than {body.max_bytes} bytes; send less at a time"
    if (request.content_length or 0) > body.max_bytes:
        raise Unacceptable(413, too_long)
    found = bytearray()
    try:
        async with asyncio.timeout(body_s):
            async for chunk in request.content.iter_any():
                found += chunk
                if len(found) > body.max_bytes:
                    raise Unacceptable(413, too_long)
    except TimeoutError:
        raise Unacceptable(
            408, f"the body did not arrive within {body_s:g} s", headers={"Connection": "close"}
        ) from None
    except (web.RequestPayloadError, ConnectionError) as failed:
        raise Unacceptable(400, f"the body ends too early or is malformed: {failed}") from failed
    if body.required and not found:
        raise Unacceptable(400, f"a body is needed ({body.media_type}), such as {body.example!r}")
    return bytes(found)


def _json_fields(schema: Schema, body: bytes) -> dict[str, Any]:
    try:
        value = parse_json(body.removeprefix(codecs.BOM_UTF8) or b"{}")
        dump_json(value)
    except MalformedMessage as failed:
        raise Unacceptable(400, f"body: {failed.problem}") from None
    except ValueError:
        raise Unacceptable(400, "body: a text holds half of a surrogate pair") from None
    return _checked(schema, value, where="body")


def _checked(schema: Schema, value: Any, *, where: str) -> dict[str, Any]:
    problems = check(schema, value, where=where)
    if problems:
        raise _wrong(*(asdict(problem) for problem in problems))
    return with_defaults(schema, value)


def _wrong(*problems: dict[str, str]) -> Unacceptable:
    text = "; ".join("{field}: {value} {reason}".format(**problem) for problem in problems)
    return Unacceptable(422, text, problems=problems)


# What they get.


def _in_our_shape(request: web.Request, refused: web.HTTPException) -> Answer:
    what = f"{request.method} {shown(request.path)}"
    match refused.status:
        case 404:
            text = f"{what}: no such path; GET /api/v1/openapi.json tells them all"
        case 405:
            text = f"{what}: not this method; the path knows {refused.headers.get('Allow', '')}"
        case _:
            text = f"{what}: {refused.reason}"
    kept = {
        name: refused.headers[name] for name in ("Allow", "Location") if name in refused.headers
    }
    return Answer(refused.status, error(text), kept)


def _respond(answer: Answer) -> web.Response:
    body = answer.body if isinstance(answer.body, bytes) else dump_json(answer.body)
    common = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Server": "srmd",
    }
    response = web.Response(status=answer.status, body=body, headers={**common, **answer.headers})
    if answer.headers.get("Connection") == "close":
        response.force_close()
    return response
