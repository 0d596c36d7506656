"""A client for any server of Toxiproxy's API: the real one, or `srmd.lab.faultproxy`.

What is done is read back: a change returns what the server says it has now, and healing is believed
only after a look.  Every request has a limit.

    async with Toxiproxy("http://127.0.0.1:8474") as toxiproxy:
        async with toxiproxy.healing():            # whatever happens within, all is well after
            await toxiproxy.create("a_to_b", upstream="127.0.0.1:7001", protocol="udp")
            async with toxiproxy.toxic("a_to_b", "packet_loss", loss_rate=0.3):
                ...
            async with toxiproxy.down("a_to_b"):
                ...
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from srmd.http_failures import in_words
from srmd.secret import Secret

REQUEST_LIMIT_S = 5.0
HEAL_ATTEMPTS = 3
"""How often healing is tried when the server does not answer."""
ANSWER_BYTES_MAX = 16 * 2**20
SHOWN_CHARS_MAX = 300


class ToxiproxyError(Exception):
    """Something did not work; the subclasses tell what can be done about it."""


class Unreachable(ToxiproxyError):
    """No answer within the limit: nobody knows whether the request was carried out."""


class NotTheApi(ToxiproxyError):
    """An answer that no server of this API gives."""


class Refused(ToxiproxyError):
    """The server said no, and why."""

    def __init__(self, status: int, message: str, request: str) -> None:
        self.status = status
        self.message = message
        super().__init__(f"{request}: {message} ({status})")


class Invalid(Refused):
    """The request makes no sense to the server (400)."""


class Unauthorized(Refused):
    """The token is missing or wrong (401)."""


class NotFound(Refused):
    """No proxy or toxic has this name (404)."""


class Exists(Refused):
    """A proxy or toxic has this name already (409)."""


class Failed(Refused):
    """The server could not do it, such as bind a port (5xx)."""


class NotHealed(ToxiproxyError):
    """After healing, something is still broken; the message lists it."""


@dataclass(frozen=True, slots=True)
class Toxic:
    """A toxic, as the server shows it."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: Mapping[str, float] = field(default_factory=dict)
    effective: bool = True
    """False: a lenient fault proxy accepted it, though it means nothing there."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, as the server shows it."""

    name: str
    listen: str
    """`host:port`, bound, when it is enabled."""
    upstream: str
    enabled: bool
    toxics: tuple[Toxic, ...]
    protocol: str = "tcp"

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class Toxiproxy:
    """The client of one server.  To be used as an asynchronous context manager."""

    def __init__(
        self, url: str, *, token: Secret | None = None, limit_s: float = REQUEST_LIMIT_S
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._limit_s = limit_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._limit_s),
            headers={"Authorization": f"Bearer {self._token.text()}"} if self._token else None,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session
        await self._session.close()

    async def version(self) -> str:
        found = await self._ask("GET", "/version")
        return _text(found, "version", "GET /version")

    async def proxies(self) -> dict[str, Proxy]:
        found = _object(await self._ask("GET", "/proxies"), "GET /proxies")
        return {name: _proxy(value, "GET /proxies") for name, value in found.items()}

    async def proxy(self, name: str) -> Proxy:
        return _proxy(await self._ask("GET", _path(name)), name)

    async def create(
        self,
        name: str,
        *,
        upstream: str,
        listen: str = "127.0.0.1:0",
        enabled: bool = True,
        **more: str | int,
    ) -> Proxy:
        """A new proxy.  `more` holds what only our server knows, such as `protocol="udp"`."""
        wanted = {"name": name, "listen": listen, "upstream": upstream, "enabled": enabled, **more}
        made = _proxy(await self._ask("POST", "/proxies", wanted), name)
        if made.protocol != more.get("protocol", made.protocol):
            await self.delete(name)
            message = f"{self.url} has no {more['protocol']} proxies; use srmd faultproxy there"
            raise NotTheApi(message)
        return made

    async def update(
        self,
        name: str,
        *,
        listen: str | None = None,
        upstream: str | None = None,
        enabled: bool | None = None,
    ) -> Proxy:
        """Changes what is given.  A proxy that is moved loses its connections."""
        given = {"listen": listen, "upstream": upstream, "enabled": enabled}
        change = {key: value for key, value in given.items() if value is not None}
        return _proxy(await self._ask("POST", _path(name), change), name)

    async def delete(self, name: str) -> None:
        await self._ask("DELETE", _path(name))

    async def populate(self, wanted: Iterable[Mapping[str, object]]) -> list[Proxy]:
        """Creates what is missing, replaces what differs, keeps what is the same."""
        place = "POST /populate"
        found = _object(await self._ask("POST", "/populate", list(wanted)), place)
        return [_proxy(value, place) for value in _array(found.get("proxies") or [], place)]

    async def toxics(self, proxy: str) -> list[Toxic]:
        found = await self._ask("GET", f"{_path(proxy)}/toxics")
        return [_toxic(value, proxy) for value in _array(found, proxy)]

    async def add_toxic(
        self,
        proxy: str,
        type: str,  # noqa: A002 -- the word of the API
        *,
        stream: str = "downstream",
        name: str | None = None,
        toxicity: float = 1.0,
        attributes: Mapping[str, float] | None = None,
    ) -> Toxic:
        wanted = {
            "type": type,
            "stream": stream,
            "name": name or f"{type}_{stream}",
            "toxicity": toxicity,
            "attributes": dict(attributes or {}),
        }
        return _toxic(await self._ask("POST", f"{_path(proxy)}/toxics", wanted), proxy)

    async def update_toxic(
        self,
        proxy: str,
        name: str,
        *,
        toxicity: float | None = None,
        attributes: Mapping[str, float] | None = None,
    ) -> Toxic:
        """Changes the toxicity or some attributes; the rest stays."""
        change: dict[str, object] = {"attributes": dict(attributes or {})}
        if toxicity is not None:
            change["toxicity"] = toxicity
        return _toxic(await self._ask("POST", _path(proxy, name), change), name)

    async def remove_toxic(self, proxy: str, name: str) -> None:
        await self._ask("DELETE", _path(proxy, name))

    async def stats(self, proxy: str) -> dict[str, Any]:
        """The evidence that our server keeps; NotFound at a real Toxiproxy."""
        path = f"/srm/v1/proxies/{quote(proxy, safe='')}/stats"
        return _object(await self._ask("GET", path), path)

    async def heal(self) -> None:
        """Enables every proxy and removes all toxics, and looks whether it is so.

        Where the server's reset fails half way, each proxy is healed on its own.
        Raises NotHealed with what is still broken, or Unreachable.
        """
        for attempt in range(1, HEAL_ATTEMPTS + 1):
            try:
                return await self._heal_once()
            except Unreachable:
                if attempt == HEAL_ATTEMPTS:
                    raise
        return None

    @asynccontextmanager
    async def healing(self) -> AsyncIterator[None]:
        """At the end of the block all is healed, however it ends.  Raises as `heal` does."""
        try:
            yield
        finally:
            await _to_the_end(self.heal())

    @asynccontextmanager
    async def toxic(
        self,
        proxy: str,
        type: str,  # noqa: A002 -- the word of the API
        *,
        stream: str = "downstream",
        name: str | None = None,
        toxicity: float = 1.0,
        **attributes: float,
    ) -> AsyncIterator[Toxic]:
        """A toxic for as long as the block lasts; afterwards it is gone, or NotHealed is raised."""
        added = await self.add_toxic(
            proxy, type, stream=stream, name=name, toxicity=toxicity, attributes=attributes
        )
        try:
            yield added
        finally:
            await _to_the_end(self._without_toxic(proxy, added.name))

    @asynccontextmanager
    async def down(self, proxy: str) -> AsyncIterator[None]:
        """The proxy refuses for as long as the block lasts; afterwards it is enabled again."""
        if (await self.update(proxy, enabled=False)).enabled:
            raise NotTheApi(f"{self.url}: {proxy} is enabled after it was disabled")
        try:
            yield
        finally:
            await _to_the_end(self._enabled_again(proxy))

    async def _heal_once(self) -> None:
        try:
            await self._ask("POST", "/reset")
        except Failed:
            for proxy in (await self.proxies()).values():
                await self._heal_alone(proxy)
        broken = [line for proxy in (await self.proxies()).values() for line in _broken(proxy)]
        if broken:
            raise NotHealed(f"{self.url}: {'; '.join(broken)}")

    async def _heal_alone(self, proxy: Proxy) -> None:
        for toxic in proxy.toxics:
            await self._unless_refused(self.remove_toxic(proxy.name, toxic.name))
        await self._unless_refused(self.update(proxy.name, enabled=True))

    async def _unless_refused(self, work: Coroutine[Any, Any, object]) -> None:
        """One proxy that cannot be healed leaves the others alone; the look afterwards tells."""
        try:
            await work
        except Refused:
            pass

    async def _without_toxic(self, proxy: str, name: str) -> None:
        try:
            await self.remove_toxic(proxy, name)
        except NotFound:
            return  # somebody healed before us
        if any(toxic.name == name for toxic in await self.toxics(proxy)):
            raise NotHealed(f"{self.url}: {proxy} still has the toxic {name}")

    async def _enabled_again(self, proxy: str) -> None:
        await self.update(proxy, enabled=True)
        if not (await self.proxy(proxy)).enabled:
            raise NotHealed(f"{self.url}: {proxy} is still disabled")

    async def _ask(self, method: str, path: str, body: object = None) -> object:
        """The JSON of the answer, None for an empty one.  Raises a ToxiproxyError."""
        assert self._session, "use `async with`"
        request = f"{method} {self.url}{path}"
        content = None if body is None else json.dumps(body).encode()
        try:
            async with self._session.request(
                method, self.url + path, data=content, allow_redirects=False
            ) as answer:
                status = answer.status
                raw = bytearray()
                async for part in answer.content.iter_any():
                    raw += part
                    if len(raw) > ANSWER_BYTES_MAX:
                        raise NotTheApi(f"{request}: longer than {ANSWER_BYTES_MAX} bytes")
        except TimeoutError as failed:
            raise Unreachable(f"{request}: no answer within {self._limit_s:g} s") from failed
        except aiohttp.ClientError as failed:
            text = f"{request}: {in_words(failed).en}; is a server running there?"
            raise Unreachable(text) from failed
        if status >= 400:
            raise _refusal(status, bytes(raw), request)
        if status >= 300:
            raise NotTheApi(f"{request}: redirected ({status}); give the address itself")
        return _json(bytes(raw), request) if raw else None


def _refusal(status: int, raw: bytes, request: str) -> Refused:
    try:
        message = str(_object(_json(raw, request), request)["error"])
    except (NotTheApi, KeyError):
        message = raw.decode("utf-8", "replace").strip()[:SHOWN_CHARS_MAX] or "no reason given"
    kinds = {400: Invalid, 401: Unauthorized, 404: NotFound, 409: Exists}
    return kinds.get(status, Failed if status >= 500 else Refused)(status, message, request)


def _broken(proxy: Proxy) -> list[str]:
    lines = [] if proxy.enabled else [f"{proxy.name} is disabled"]
    return lines + [f"{proxy.name} has the toxic {toxic.name}" for toxic in proxy.toxics]


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Cancelling the caller does not break healing off; the cancellation is obeyed afterwards.

    It ends because every request within `work` has a limit.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as asked:
            cancelled = asked
    task.result()
    if cancelled:
        raise cancelled


def _path(proxy: str, toxic: str | None = None) -> str:
    path = f"/proxies/{quote(proxy, safe='')}"
    return path if toxic is None else f"{path}/toxics/{quote(toxic, safe='')}"


# What a server says is not believed before it is looked at.


def _json(raw: bytes, request: str) -> object:
    try:
        value: object = json.loads(raw)
    except (ValueError, RecursionError) as bad:
        shown = raw[:SHOWN_CHARS_MAX].decode("utf-8", "replace")
        raise NotTheApi(f"{request}: the answer is no JSON: {shown!r}") from bad
    return value


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotTheApi(f"{place}: {str(value)[:SHOWN_CHARS_MAX]!r} is not an object")
    return value


def _array(value: object, place: str) -> list[object]:
    if not isinstance(value, list):
        raise NotTheApi(f"{place}: {str(value)[:SHOWN_CHARS_MAX]!r} is not an array")
    return value


def _text(value: object, key: str, place: str) -> str:
    found = _object(value, place).get(key)
    if not isinstance(found, str):
        raise NotTheApi(f"{place}: {key} is {str(found)[:SHOWN_CHARS_MAX]!r}, not a text")
    return found


def _proxy(value: object, place: str) -> Proxy:
    fields = _object(value, place)
    return Proxy(
        name=_text(fields, "name", place),
        listen=_text(fields, "listen", place),
        upstream=_text(fields, "upstream", place),
        enabled=fields.get("enabled") is True,
        toxics=tuple(_toxic(each, place) for each in _array(fields.get("toxics"), place)),
        protocol=str(fields.get("protocol", "tcp")),
    )


def _toxic(value: object, place: str) -> Toxic:
    fields = _object(value, place)
    toxicity = fields.get("toxicity")
    if not isinstance(toxicity, int | float):
        raise NotTheApi(f"{place}: toxicity is {toxicity!r}, not a number")
    return Toxic(
        name=_text(fields, "name", place),
        type=_text(fields, "type", place),
        stream=_text(fields, "stream", place),
        toxicity=toxicity,
        attributes=_object(fields.get("attributes"), place),
        effective=fields.get("effective", True) is True,
    )
