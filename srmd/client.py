"""Talks to the HTTP side of a running node: for the command line and the lab.

Standard library only, and imported late by the command line, because a command has to feel instant.
One connection a call.  Redirects and proxies of the environment are not followed: the token goes to
the address that was named and nowhere else.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

from srmd.secret import Secret

CALL_TIMEOUT_S = 10.0
"""How long one call waits for the network each time it has to wait; ours."""
LONG_CALL_TIMEOUT_S = 60.0
"""The same for calls that are answered only when the work is done: changing many users; ours."""
SERVICE_TIMEOUT_S = 180.0
"""The same for services, which may be slow to stop and to start; ours."""
OUT_OF_TIME = (9, 10)
"""OpenSSL's verdicts on a certificate that does not hold yet, or no more."""
ANSWER_BYTES_MAX = 16_000_000
"""A page of users is far below; more is not from srmd."""
PAGE_USERS = 1000
"""Users asked for at a time; the API's upper limit."""

Json = dict[str, Any]
CLOSED = "the connection was closed before the end of the answer"


class ClientError(Exception):
    """The node did not do what it was asked."""


class BadAddress(ClientError):
    """The address is no `http://host:port`."""


class Unreachable(ClientError):
    """Nothing that speaks like srmd answers at the address."""

    def __init__(self, url: str, why: str) -> None:
        self.url = url
        self.why = why
        super().__init__(f"{url} does not answer as a node of srmd: {why}")


class NotBelieved(Unreachable):
    """The certificate of what answers is not believed; asking again does not change that."""


class WrongNode(Unreachable):
    """Another node answers at the address than the one that is meant."""

    def __init__(self, url: str, meant: str, detail: str) -> None:
        self.meant = meant
        super().__init__(url, detail)
        self.args = (f"{url}: {detail}",)


class NoAnswer(Unreachable):
    """The node has not answered in time; what it was asked may still be done."""


class Rejected(ClientError):
    """The node answered, and the answer is no."""

    def __init__(self, status: int, detail: str, needed: str, problems: tuple[Json, ...]) -> None:
        self.status = status
        self.detail = detail
        self.needed = needed
        """The state that would be needed, in words; may be empty."""
        self.problems = problems
        super().__init__(detail)


class Unauthorized(Rejected):
    """The token is missing or not the right one."""


class Client:
    """One node's API.  Every method raises Unreachable, Rejected or Unauthorized."""

    # No dataclass: they load half of `inspect`, which a short command would wait for.
    __slots__ = ("ca", "node", "timeout_s", "token", "token_source", "url")

    def __init__(
        self,
        url: str,
        token: Secret | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        ca: str | None = None,
        *,
        node: str | None = None,
        token_source: str = "",
    ) -> None:
        """`ca`: the PEM file that an https node is judged by; None: the CAs of this machine.

        `node`: the one that is meant, as `GROUP/NODE`; another one at the address does nothing.
        `token_source`: where the token comes from, for messages.

        Raises BadAddress.
        """
        _parts(url)
        self.url = url
        self.ca = ca
        self.node = node
        self.token = token
        self.token_source = token_source
        self.timeout_s = timeout_s

    def status(self) -> Json:
        return self.call("GET", "/api/v1/status")

    def health(self) -> Json:
        return self.call("GET", "/api/v1/health")

    def act(self, action: str, node: str | None = None) -> Json:
        """failover, fallback or recover."""
        body = {} if node is None else {"node": node}
        return self.call("POST", f"/api/v1/actions/{action}", body)

    def set_ha(self, enabled: bool) -> Json:
        return self.call("POST", "/api/v1/ha", {"enabled": enabled})

    def services(self) -> list[Json]:
        return cast("list[Json]", self.call("GET", "/api/v1/services")["services"])

    def service(self, name: str, action: str, timeout_s: float = SERVICE_TIMEOUT_S) -> Json:
        """Answered when it is done."""
        path = f"/api/v1/services/{quote(name, safe='')}/{action}"
        return self.call("POST", path, {}, timeout_s)

    def srm(self, action: str) -> Json:
        return self.call("POST", f"/api/v1/srm/{action}", {}, LONG_CALL_TIMEOUT_S)

    def power(self, action: str) -> Json:
        return self.call("POST", f"/api/v1/node/{action}", {})

    def reload(self) -> Json:
        """Have the node read its configuration again."""
        return self.call("POST", "/api/v1/config/reload", {}, LONG_CALL_TIMEOUT_S)

    def set_fault(self, fault: str, active: bool) -> Json:
        path = f"/api/v1/faults/{fault}"
        return self.call("PUT", path, {}) if active else self.call("DELETE", path)

    def users_page(
        self,
        after: str = "",
        limit: int = PAGE_USERS,
        home: str | None = None,
        serving: str | None = None,
    ) -> Json:
        """{"users": [...], "next": user_id or null}, in the order of their ids.

        An empty `home` means the users that have none.
        """
        given = {"after": after or None, "limit": limit, "home": home, "serving": serving}
        query = urlencode({key: value for key, value in given.items() if value is not None})
        return self.call("GET", f"/api/v1/users?{query}", None, LONG_CALL_TIMEOUT_S)

    def users(
        self,
        after: str = "",
        limit: int | None = None,
        home: str | None = None,
        serving: str | None = None,
    ) -> Iterator[Json]:
        """The users one by one, asked for page by page; at most `limit` of them."""
        left = limit
        while left is None or left > 0:
            wanted = PAGE_USERS if left is None else min(left, PAGE_USERS)
            page = self.users_page(after, wanted, home, serving)
            yield from page["users"]
            if page["next"] is None or page["next"] == after:
                return
            after = page["next"]
            left = None if left is None else left - len(page["users"])

    def import_users(self, csv: bytes) -> Json:
        return self._change_users("import", csv)

    def generate_users(self, count: int, mode: str, prefix: str) -> Json:
        body = {"count": count, "mode": mode, "prefix": prefix}
        return self._change_users("generate", body)

    def assign_mode(self, mode: str) -> Json:
        """All users at once: balanced, active-standby or none."""
        return self._change_users("assign", {"mode": mode})

    def assign_user(self, user: str, home: str) -> Json:
        return self._change_users("assign", {"user": user, "home": home})

    def unassign(self, user: str | None) -> Json:
        """One user; all of them when None."""
        body = {"all": True} if user is None else {"user": user}
        return self._change_users("unassign", body)

    def delete_users(self, user: str | None) -> Json:
        """One user; all of them when None."""
        body = {"all": True} if user is None else {"user": user}
        return self._change_users("delete", body)

    def export_users(self) -> bytes:
        """All users as a CSV file."""
        path = "/api/v1/users/export"
        status, raw = self._exchange("GET", path, None, LONG_CALL_TIMEOUT_S)
        if status >= 300:
            self._judge(status, raw)
        return raw

    def _change_users(self, how: str, body: Json | bytes) -> Json:
        return self.call("POST", f"/api/v1/users/{how}", body, LONG_CALL_TIMEOUT_S)

    def topology(self) -> Json:
        return self.call("GET", "/api/v1/users/topology")

    def call(
        self,
        method: str,
        path: str,
        body: Json | bytes | None = None,
        timeout_s: float | None = None,
    ) -> Json:
        """One request, its answer as JSON.  Bytes are sent as CSV, everything else as JSON."""
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        return self._judge(*self._exchange(method, path, body, limit_s))

    def _judge(self, status: int, raw: bytes) -> Json:
        """The answer as JSON, if it is a good one."""
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unreachable(self.url, f"HTTP {status} without JSON; another program's port?")
        if status < 300:
            return cast("Json", answer)
        if status == 421 and self.node is not None:
            raise WrongNode(self.url, self.node, str(answer.get("error") or "another node"))
        kind = Unauthorized if status in (401, 403) else Rejected
        problems = answer.get("problems") or ()
        raise kind(
            status,
            str(answer.get("error") or f"HTTP {status}"),
            str(answer.get("needed") or ""),
            tuple(problem for problem in problems if isinstance(problem, dict)),
        )

    def _exchange(
        self, method: str, path: str, body: Json | bytes | None, timeout_s: float
    ) -> tuple[int, bytes]:
        connection = self._connection(timeout_s)
        sent = json.dumps(body).encode() if isinstance(body, Mapping) else body
        try:
            connection.request(method, path, body=sent, headers=self._headers(body))
            response = connection.getresponse()
            raw = response.read(ANSWER_BYTES_MAX + 1)
        except TimeoutError as failed:
            raise NoAnswer(self.url, f"no answer within {timeout_s:g} s") from failed
        except (http.client.RemoteDisconnected, http.client.IncompleteRead) as failed:
            raise Unreachable(self.url, CLOSED) from failed
        except http.client.HTTPException as failed:
            why = f"it does not speak HTTP as srmd does ({type(failed).__name__})"
            raise Unreachable(self.url, why) from failed
        except OSError as failed:
            kind = NotBelieved if hasattr(failed, "verify_message") else Unreachable
            raise kind(self.url, _why(failed)) from failed
        finally:
            connection.close()
        if len(raw) > ANSWER_BYTES_MAX:
            raise Unreachable(self.url, f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        if response.length:  # what the answer announced and did not bring
            raise Unreachable(self.url, CLOSED)
        return response.status, raw

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        scheme, host, port = _parts(self.url)
        if scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        import ssl  # a plain node does not wait for it

        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as failed:
            raise BadAddress(f"--ca {self.ca}: {_why(failed)}; a PEM file with a CA") from failed
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)

    def _headers(self, body: Json | bytes | None) -> dict[str, str]:
        headers = {"Accept": "application/json", "Connection": "close"}
        if body is not None:
            csv = isinstance(body, bytes)
            headers["Content-Type"] = "text/csv; charset=utf-8" if csv else "application/json"
        if self.node is not None:
            headers["X-SRMD-Node"] = self.node
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.text()}"
        return headers


def _parts(url: str) -> tuple[str, str, int]:
    right = "an address is http://host:port, such as http://127.0.0.1:20075"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as failed:
        raise BadAddress(f"{url}: {failed}; {right}") from failed
    bad_name = parts.username or parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or bad_name:
        raise BadAddress(f"{url}: {right}")
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _why(failed: OSError) -> str:
    # A certificate that is not believed has its reason here; ssl is not imported to ask its type.
    if verdict := getattr(failed, "verify_message", None):
        if getattr(failed, "verify_code", None) in OUT_OF_TIME:
            return (
                f"its {verdict}; put a new one in its place, and send srmd run a SIGHUP on its "
                "machine (systemctl reload srmd.service): that needs no certificate"
            )
        return f"its certificate is not believed ({verdict}); name its CA by --ca"
    if getattr(failed, "library", None) == "SSL":
        return "what answers there does not speak TLS; a node without [tls] is http://"
    return (getattr(failed, "reason", None) or failed.strerror or str(failed)).lower()
