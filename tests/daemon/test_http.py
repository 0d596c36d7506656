"""The HTTP side: what each request asks of the node, who may ask, and what is refused and how.

Every answer is held against the published document by `tests.daemon.api`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from srmd import __version__
from srmd.daemon import http
from srmd.daemon.facade import (
    Action,
    Fault,
    PowerAction,
    Refused,
    ServiceAction,
    SrmAction,
)
from srmd.daemon.http import make_app, serve
from srmd.daemon.listening import CannotListen, PortBusy
from srmd.daemon.routes import IMPORT_BYTES_MAX
from tests.daemon.api import WITHIN_S, of, running
from tests.daemon.fake_facade import STATUS, TOKEN, FakeFacade

GOOD_HEAD = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n"

# ---------------------------------------------------------------- what is asked of the node


@pytest.mark.parametrize(
    "method, path, body, asked",
    [
        ("POST", "actions/failover", {"node": "a"}, ("act", Action.FAILOVER, "a")),
        ("POST", "actions/fallback", {"node": "b"}, ("act", Action.FALLBACK, "b")),
        ("POST", "actions/recover", {"node": "b"}, ("act", Action.RECOVER, "b")),
        ("POST", "actions/recover", {}, ("act", Action.RECOVER, "a")),
        ("POST", "actions/recover", None, ("act", Action.RECOVER, "a")),
        ("POST", "ha", {"enabled": False}, ("set_ha", False)),
        (
            "POST",
            "services/Cisco%20Presence%20Engine/kill",
            {},
            ("service", "Cisco Presence Engine", ServiceAction.KILL),
        ),
        ("POST", "services/A%20Cisco%20DB/unblock", None, None),
        ("POST", "srm/restart", None, ("order_srm", SrmAction.RESTART)),
        ("POST", "node/reboot", {}, ("power", PowerAction.REBOOT)),
        ("PUT", "faults/database", None, ("fault", Fault.DATABASE, True)),
        ("DELETE", "faults/moves", None, ("fault", Fault.MOVES, False)),
    ],
)
async def test_an_order_is_passed_on_and_taken_up(
    method: str, path: str, body: Any, asked: tuple[Any, ...] | None
) -> None:
    asked = asked or ("service", "A Cisco DB", ServiceAction.UNBLOCK)
    async with running() as api:
        got = await api.ask(method, f"/api/v1/{path}", body=body)
    assert got.status == 202
    assert got.json == {"op": 8, "detail": f"{asked[0]} is taken up"}
    assert api.facade.asked == [asked]


@pytest.mark.parametrize(
    "method, path, body, asked",
    [
        ("GET", "users", None, ("users", "", 100, None, None)),
        (
            "GET",
            "users?after=bob&limit=1000&home=&serving=b",
            None,
            ("users", "bob", 1000, "", "b"),
        ),
        ("GET", "users/topology", None, ("topology",)),
        ("POST", "config/reload", None, ("reload", "srmd config reload")),
        ("POST", "users/generate", {"count": 9}, ("generate_users", 9, "balanced", "user")),
        (
            "POST",
            "users/generate",
            {"count": 75_000, "mode": "none", "prefix": "u"},
            ("generate_users", 75_000, "none", "u"),
        ),
        ("POST", "users/assign", {"mode": "balanced"}, ("assign_users", "balanced", None, None)),
        (
            "POST",
            "users/assign",
            {"user": "alice", "home": "b"},
            ("assign_users", None, "alice", "b"),
        ),
        ("POST", "users/unassign", {"user": "alice"}, ("unassign_users", "alice")),
        ("POST", "users/unassign", {"all": True}, ("unassign_users", None)),
        ("POST", "users/delete", {"user": "alice"}, ("delete_users", "alice")),
        ("POST", "users/delete", {"all": True}, ("delete_users", None)),
        ("GET", "users/export", None, ("export_users",)),
    ],
)
async def test_a_question_about_users_is_answered_at_once(
    method: str, path: str, body: Any, asked: tuple[Any, ...]
) -> None:
    async with running() as api:
        got = await api.ask(method, f"/api/v1/{path}", body=body)
    assert got.status == 200
    assert api.facade.asked == [asked]


async def test_an_export_is_a_file_and_needs_the_token() -> None:
    async with running() as api:
        got = await api.ask("GET", "/api/v1/users/export")
        assert (got.status, got.json) == (200, "user_id,home_node\nalice,a\n")
        assert got.headers["Content-Type"] == "text/csv; charset=utf-8"
        refused = await api.ask("GET", "/api/v1/users/export", headers={"Authorization": ""})
    assert refused.status == 401


async def test_a_balancer_learns_whether_the_node_serves() -> None:
    async with running() as api:
        idle = await api.ask("GET", "/api/v1/serving")
        api.facade.served_here = 250
        serving = await api.ask("GET", "/api/v1/serving", headers={"Authorization": ""})
    assert idle.status == 503
    assert idle.json == {
        "error": "node a serves no users: it is in Idle",
        "serving": False,
        "served": 0,
        "state": "Idle",
    }
    assert (serving.status, serving.json) == (
        200,
        {"serving": True, "served": 250, "state": "Idle"},
    )


async def test_an_import_hands_the_bytes_on_as_they_are() -> None:
    csv = b"user_id,home_node\r\n\xff\x00,a\n"
    async with running() as api:
        got = await api.ask("POST", "/api/v1/users/import", body=csv, media_type="text/csv")
    assert got.json["added"] == 2
    assert api.facade.asked == [("import_users", csv)]


async def test_the_status_is_the_nodes_own_words() -> None:
    async with running() as api:
        status = await api.ask("GET", "/api/v1/status")
        health = await api.ask("GET", "/api/v1/health")
    assert status.json == STATUS
    assert health.json == {"state": "Idle", "version": __version__}


async def test_a_control_message_passes_raw_both_ways() -> None:
    async with running() as api:
        path = "/control/v1/report?x=%20"
        got = await api.ask("POST", path, body=b"{not json", headers={"X-SRM-Digest": "d0"})
    ((name, target, headers, body),) = api.facade.asked
    assert (name, target, body) == ("control", path, b"{not json")
    assert headers["X-SRM-Digest"] == "d0"
    assert got.status == 409
    assert got.json == {"type": "refused"}
    assert got.headers["X-SRM-Digest"] == "d1"


# ---------------------------------------------------------------- what the node refuses


async def test_a_refusal_names_the_state_that_is_needed() -> None:
    facade = FakeFacade()
    facade.outcome = Refused("a is Idle; wait or fall back first", needed="both nodes Normal")
    async with running(facade) as api:
        got = await api.ask("POST", "/api/v1/actions/failover", body={"node": "a"})
    assert got.status == 409
    assert got.json == {
        "error": "a is Idle; wait or fall back first",
        "needed": "both nodes Normal",
    }


async def test_an_import_with_bad_lines_tells_each() -> None:
    problems = ({"line": 2, "value": "x", "reason": "has 1 fields, not 2"},)
    facade = FakeFacade()
    facade.outcome = Refused("1 bad line", kind="invalid", problems=problems)
    async with running(facade) as api:
        got = await api.good(of("importUsers"))
    assert got.status == 422
    assert got.json == {"error": "1 bad line", "problems": list(problems)}


# ---------------------------------------------------------------- what is wrong with a request


@pytest.mark.parametrize(
    "path, body, text",
    [
        ("ha", {}, "enabled: (missing) must be given: true or false"),
        ("ha", {"enabled": 1}, "enabled: 1 is not true or false"),
        ("ha", [True], "body: a list of 1 is not an object {enabled}"),
        ("ha", {"enabled": True, "x": 1}, "x: 1 is not known here; the fields are: enabled"),
        ("srm/stop", {"force": True}, "force: true is not known here; the fields are: none"),
        ("users/generate", {"count": 0}, "count: 0 is not a whole number (1-75000)"),
        ("users/generate", {"count": True}, "count: true is not a whole number (1-75000)"),
        (
            "users/generate",
            {"count": 1, "mode": "even", "prefix": ""},
            "mode: 'even' is not one of balanced, active-standby, none; "
            "prefix: '' is not a text of 1-100 characters",
        ),
        ("users/assign", {"user": "x"}, "body: {'user'} is not either {mode} or {user, home}"),
        (
            "users/assign",
            {"mode": "none", "user": "x", "home": "a"},
            "body: {'mode', 'user', 'home'} is not either {mode} or {user, home}",
        ),
        ("users/assign", {"mode": None}, "mode: null is not one of balanced, active-standby, none"),
        ("users/unassign", {"all": False}, "all: false is not one of true"),
    ],
)
async def test_a_wrong_field_is_named_with_its_value_and_what_is_right(
    path: str, body: Any, text: str
) -> None:
    async with running() as api:
        got = await api.ask("POST", f"/api/v1/{path}", body=body)
    assert got.status == 422
    assert got.error == text
    assert api.facade.asked == []


async def test_a_whole_number_may_be_written_with_a_point() -> None:
    """schemathesis: the document says integer, which 500.0 is, and it was refused."""
    async with running() as api:
        got = await api.ask("POST", "/api/v1/users/generate", body={"count": 500.0})
    assert got.status == 200
    assert api.facade.asked == [("generate_users", 500, "balanced", "user")]


async def test_wrong_fields_are_told_apart_for_programs() -> None:
    async with running() as api:
        got = await api.ask("POST", "/api/v1/ha", body={"enabled": "yes", "Enabled": True})
    assert got.json["problems"] == [
        {"field": "enabled", "value": "'yes'", "reason": "is not true or false"},
        {
            "field": "Enabled",
            "value": "true",
            "reason": "is not known here; the fields are: enabled",
        },
    ]


@pytest.mark.parametrize(
    "query, text",
    [
        ("limit=0", "limit: 0 is not a whole number (1-1000)"),
        ("limit=1001", "limit: 1001 is not a whole number (1-1000)"),
        ("limit=-1", "limit: '-1' is not a whole number (1-1000)"),
        ("limit=9999999999", "limit: '9999999999' is not a whole number (1-1000)"),
        ("page=2", "page: '2' is not known here; the fields are: after, limit, home, serving"),
        ("home=a&home=b", "'home': 'b' is given twice"),
    ],
)
async def test_a_wrong_query_is_named(query: str, text: str) -> None:
    async with running() as api:
        got = await api.ask("GET", f"/api/v1/users?{query}")
    assert (got.status, got.error) == (422, text)


async def test_a_body_may_begin_with_a_byte_order_mark() -> None:
    async with running() as api:
        got = await api.ask(
            "POST",
            "/api/v1/ha",
            body=b'\xef\xbb\xbf{"enabled": true}',
        )
    assert got.status == 202


@pytest.mark.parametrize(
    "body, text",
    [
        (b"", "a body is needed (application/json), such as {'enabled': True}"),
        (b"{", "body: not JSON in UTF-8: Expecting property name enclosed in double quotes"),
        (b"\xff", "body: not JSON in UTF-8"),
        (b'{"enabled": NaN}', "body: NaN is not a JSON number"),
        (b'{"enabled": true, "enabled": false}', "body: the key 'enabled' is there twice"),
        (b'{"enabled": 1e400}', "body: 1e400 is too large a number"),
        (b'{"enabled": "\\ud800"}', "body: a text holds half of a surrogate pair"),
        (b"[" * 16_000, "body: nested too deeply"),
        (b"9" * 5000, "body: not JSON in UTF-8: Exceeds the limit"),
    ],
)
async def test_a_body_that_is_no_json_is_refused(body: bytes, text: str) -> None:
    async with running() as api:
        got = await api.ask("POST", "/api/v1/ha", body=body)
    assert got.status == 400
    assert got.error.startswith(text)


async def test_a_long_wrong_value_is_shortened() -> None:
    async with running() as api:
        got = await api.ask("POST", "/api/v1/ha", body={"enabled": "x" * 10_000})
    assert got.error == f"enabled: '{'x' * 80}'... is not true or false"


async def test_what_a_path_does_not_know_is_named_with_what_it_knows() -> None:
    async with running() as api:
        got = await api.ask("POST", "/api/v1/node/explode", body={})
        unknown = await api.ask("GET", "/api/v2/status")
        method = await api.ask("PUT", "/api/v1/ha", body={})
    assert (got.status, got.error) == (404, "action: 'explode' is not one of shutdown, reboot")
    assert unknown.status == 404
    assert "no such path; GET /api/v1/openapi.json tells them all" in unknown.error
    assert method.status == 405
    assert method.headers["Allow"] == "POST"
    assert method.error.endswith("the path knows POST")


async def test_a_body_without_a_declared_length_is_refused() -> None:
    async with running() as api:
        head = (
            "POST /api/v1/users/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
            f"Authorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        got = await api.raw(
            head.encode(),
            b"1\r\nx\r\n0\r\n\r\n",
            method="POST",
            path="/api/v1/users/import",
        )
    assert (got.status, got.headers["Connection"]) == (411, "close")
    assert got.error == "send the body with its Content-Length, and not in chunks"
    assert api.facade.asked == []


async def test_a_body_in_very_small_chunks_is_not_read() -> None:
    async with running() as api, asyncio.timeout(WITHIN_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
        writer.write(GOOD_HEAD + b"transfer-encoding: chunked\r\n\r\n")
        writer.write(b"1\r\nx\r\n" * 500_000)
        assert await reader.readline() == b"HTTP/1.1 411 Length Required\r\n"
        writer.close()


async def test_a_request_for_another_protocol_is_answered_and_is_the_last() -> None:
    async with running() as api, asyncio.timeout(WITHIN_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
        writer.write(GOOD_HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + GOOD_HEAD)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.count(b"HTTP/1.1") == 1
        writer.close()


async def test_an_import_of_just_the_limit_is_taken() -> None:
    async with running() as api:
        csv = b"x" * IMPORT_BYTES_MAX
        got = await api.ask("POST", "/api/v1/users/import", body=csv, media_type="text/csv")
    assert got.status == 200


async def test_a_compressed_body_is_refused_before_it_is_unpacked() -> None:
    async with running() as api:
        got = await api.good(of("importUsers"), headers={"Content-Encoding": "gzip"})
    assert got.status == 415
    assert api.facade.asked == []


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GOOD_HEAD + b"X: " + b"x" * 9000 + b"\r\n\r\n",
        GOOD_HEAD + b"X: y\r\n" * 100 + b"\r\n",
        GOOD_HEAD + b"Content-Length: x\r\n\r\n",
    ],
    ids=["tls", "version", "long line", "long header", "many headers", "length"],
)
async def test_what_is_no_http_is_answered_in_the_same_shape(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as api:
        got = await api.raw(sent)
    assert got.status == 400
    assert got.error.startswith("not a good HTTP request: ")
    assert caplog.records == [], "somebody else's garbage is no error of ours"


@pytest.mark.parametrize(
    "sent",
    [
        b"\0" * 60_000,
        GOOD_HEAD + b"\r\n" + b"\0" * 60_000,
        GOOD_HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + b"\0" * 60_000,
        b"POST /api/v1/ha HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
        + TOKEN.encode()
        + b"\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
    ],
    ids=["no HTTP", "no HTTP behind a request", "behind an upgrade", "a body too long"],
)
async def test_a_lost_connection_does_not_wait_for_the_collector(sent: bytes) -> None:
    """Errors held the frames of their connections, and these what had been sent on them."""
    gc.collect()
    gc.disable()
    try:
        async with running() as api, asyncio.timeout(WITHIN_S):
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
                writer.write(sent)
                with suppress(ConnectionError):
                    await writer.drain()
                    await reader.read()
                writer.close()
            # What is freed sets no event.
            while any(isinstance(left, web.RequestHandler) for left in gc.get_objects()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_a_mistake_in_our_code_is_told_to_the_log_and_not_to_the_client() -> None:
    facade = FakeFacade()
    facade.crash = KeyError("secret detail")
    async with running(facade) as api:
        got = await api.ask("GET", "/api/v1/status")
    assert got.status == 500
    assert got.error == "a mistake in srmd (KeyError); the log of the node has it"
    ((request, trace),) = api.mistakes
    assert request == "GET /api/v1/status"
    assert "KeyError: 'secret detail'" in trace


async def test_a_request_that_needs_more_memory_than_there_is_can_be_sent_again() -> None:
    facade = FakeFacade()
    facade.crash = MemoryError()
    async with running(facade) as api:
        got = await api.ask("GET", "/api/v1/status")
    assert got.status == 503
    assert got.error.startswith("the node has too little memory for this request; send less")
    assert len(api.mistakes) == 1


async def test_a_client_that_leaves_within_its_body_is_no_mistake() -> None:
    async with running() as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
        writer.write(
            b"POST /control/v1/report HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{"
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await api.ask("GET", "/api/v1/health")).status == 200
    assert api.mistakes == []
    assert api.facade.asked == []


# ---------------------------------------------------------------- who may ask


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        TOKEN,
        "Basic " + TOKEN,
        "Bearer",
        "Bearer wrong",
        "Bearer " + TOKEN[:-1],
        "Bearer \udcff",
    ],
)
async def test_a_change_needs_the_token(authorization: str) -> None:
    async with running() as api:
        got = await api.raw(
            b"POST /api/v1/ha HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
            + authorization.encode(errors="surrogateescape")
            + b"\r\n\r\n",
            method="POST",
            path="/api/v1/ha",
        )
    assert got.status == 401
    assert got.headers["WWW-Authenticate"] == 'Bearer realm="srmd"'
    assert "send `Authorization: Bearer TOKEN`" in got.error
    assert TOKEN not in got.error
    assert api.facade.asked == []


async def test_the_token_is_needed_before_a_body_is_read() -> None:
    async with running() as api:
        got = await api.raw(
            b"POST /api/v1/users/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n",
            method="POST",
            path="/api/v1/users/import",
        )
    assert got.status == 401


async def test_looking_needs_no_token() -> None:
    async with running() as api:
        got = await api.ask("GET", "/api/v1/status", headers={"Authorization": ""})
    assert got.status == 200


async def test_without_a_configured_token_a_local_program_may_command() -> None:
    async with running(FakeFacade(token=None)) as api:
        got = await api.ask(
            "POST", "/api/v1/ha", body={"enabled": True}, headers={"Authorization": ""}
        )
    assert got.status == 202


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "LOCALHOST:20075", "[::1]:20075"])
async def test_without_a_token_local_names_are_answered(host: str) -> None:
    async with running(FakeFacade(token=None)) as api:
        got = await api.ask("GET", "/api/v1/status", headers={"Host": host})
    assert got.status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:20075", "", "192.0.2.1", "[2001:db8::1]:1"]
)
async def test_without_a_token_a_rebound_name_reads_nothing(host: str) -> None:
    async with running(FakeFacade(token=None)) as api:
        got = await api.ask("GET", "/api/v1/status", headers={"Host": host})
    assert got.status == 403


NO_HOSTS = [
    *("[::1].evil.com", "[::1]evil", "[::1", "::1", "[localhost]", "[127.0.0.1]", "[]"),
    *("127.0.0.1:evil", "127.0.0.1:", "127.0.0.1:1:2", "127.0.0.1:1@evil.com", ":20075"),
    *("127.0.0.1%00evil.com", "localhost%00evil.com", "[::1%25lo]", "[::1%00evil.com]:1"),
    "",
]


@pytest.mark.parametrize("token", [None, "a token of sixteen"])
@pytest.mark.parametrize("host", NO_HOSTS)
async def test_what_only_begins_as_an_address_is_no_host(host: str, token: str | None) -> None:
    async with running(FakeFacade(token=token)) as api:
        got = await api.ask("GET", "/api/v1/status", headers={"Host": host})
    assert got.status == 403
    assert got.error is not None
    assert got.error.startswith(f"Host: '{host}' is not a name of this ")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://["]
)
async def test_without_a_token_a_foreign_page_commands_nothing(origin: str) -> None:
    async with running(FakeFacade(token=None)) as api:
        got = await api.ask("POST", "/api/v1/node/shutdown", headers={"Origin": origin})
    assert got.status == 403
    assert api.facade.asked == []


async def test_without_a_token_our_own_page_may_command() -> None:
    async with running(FakeFacade(token=None)) as api:
        origin = f"http://127.0.0.1:{api.listener.port}"
        got = await api.ask("POST", "/api/v1/srm/stop", body={}, headers={"Origin": origin})
    assert got.status == 202


@pytest.mark.parametrize(
    "host",
    [
        *("192.0.2.1", "192.0.2.1:20075", "[2001:db8::1]:1", "[fe80::1%25eth0]", "localhost."),
        *("srmd.example", "SRMD.example.:20075"),
    ],
)
async def test_with_a_token_addresses_and_own_names_are_answered(host: str) -> None:
    async with running() as api:
        headers = {"Host": host, "Origin": "http://admin.example"}
        got = await api.ask("POST", "/api/v1/srm/stop", body={}, headers=headers)
    assert got.status == 202


@pytest.mark.parametrize(
    "host", ["evil.example", "srmd.example.evil.example", "192.0.2.1.evil.example:80", "1.2.3"]
)
async def test_with_a_token_a_rebound_name_reads_nothing(host: str) -> None:
    """A page of evil.example points that name at a node, and reads states and users without a
    token, through the browser of an administrator."""
    async with running() as api:
        got = await api.ask("GET", "/api/v1/users", headers={"Host": host, "Authorization": ""})
    assert got.status == 403
    assert got.error == (
        f"Host: '{host}' is not a name of this node; say its IP address, or put the name into "
        "control.allowed_hosts of its configuration"
    )
    assert api.facade.asked == []


async def test_without_a_token_a_name_of_the_configuration_is_answered() -> None:
    async with running(FakeFacade(token=None)) as api:
        got = await api.ask("GET", "/api/v1/status", headers={"Host": "srmd.example"})
    assert got.status == 200


async def test_a_health_check_without_a_host_is_answered() -> None:
    async with running() as api:
        got = await api.raw(
            b"GET /api/v1/health HTTP/1.0\r\n\r\n", method="GET", path="/api/v1/health"
        )
    assert got.status == 200


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_what_a_form_can_send_is_no_command(media_type: str) -> None:
    async with running() as api:
        got = await api.ask("POST", "/api/v1/ha", body={"enabled": True}, media_type=media_type)
    assert got.status == 415
    assert got.error == f"Content-Type: '{media_type}' is not application/json"


async def test_the_peer_is_answered_under_any_name_without_a_token() -> None:
    async with running(FakeFacade(token=None)) as api:
        got = await api.ask(
            "POST",
            "/control/v1/command",
            body={},
            headers={"Host": "node-a.example", "Authorization": ""},
        )
    assert got.status == 409, "which is what the fake node says to it"


async def test_answers_are_not_kept_by_caches_nor_guessed_at() -> None:
    async with running() as api:
        got = await api.ask("GET", "/api/v1/status")
    assert got.headers["Cache-Control"] == "no-store"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Server"] == "srmd"


# ---------------------------------------------------------------- connections


async def test_a_connection_too_many_is_told_so() -> None:
    async with running(connections_max=1, stalled_s=60.0) as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
        got = await api.raw(GOOD_HEAD + b"\r\n")
        writer.close()
        await writer.wait_closed()
        assert got.status == 503
        assert got.error.startswith("too many connections are open")
        async with asyncio.timeout(WITHIN_S):
            while got.status == 503:
                got = await api.raw(GOOD_HEAD + b"\r\n", method="GET", path="/api/v1/health")
        assert got.status == 200


@pytest.mark.parametrize("sent", [b"", b"GET /api/v1/status HTTP/1.1\r\nHost: "])
async def test_a_connection_without_a_complete_request_is_closed(sent: bytes) -> None:
    async with running(idle_s=0.05) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
        writer.write(sent)
        async with asyncio.timeout(WITHIN_S):
            assert await reader.read() == b""
        writer.close()


async def test_closing_ends_a_request_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CLOSE_S", 0.05)
    facade = FakeFacade()
    facade.hold = asyncio.Event()
    async with running(facade) as api, asyncio.timeout(WITHIN_S):
        request = asyncio.create_task(api.ask("POST", "/api/v1/ha", body={"enabled": True}))
        await facade.holding.wait()
        await api.listener.close()
        with pytest.raises(aiohttp.ClientError):
            await request
        await api.listener.close()


async def test_closing_lets_a_request_under_way_finish() -> None:
    facade = FakeFacade()
    facade.hold = asyncio.Event()
    async with running(facade) as api, asyncio.timeout(WITHIN_S):
        request = asyncio.create_task(api.ask("POST", "/api/v1/ha", body={"enabled": True}))
        await facade.holding.wait()
        closing = asyncio.create_task(api.listener.close())
        facade.hold.set()
        assert (await request).status == 202
        await closing


async def test_a_request_for_another_node_is_refused_and_does_nothing() -> None:
    """Another node may hold the port of the one that is meant, and know the same token."""
    async with running() as api:
        for meant in ("lab/b", "other/a", "", "lab"):
            got = await api.ask(
                "POST", "/api/v1/ha", body={"enabled": True}, headers={"X-SRMD-Node": meant}
            )
            assert got.status == 421
            assert "node a of group lab answers here" in got.error
            assert "X-SRMD" not in got.error
            if meant == "other/a":
                assert "node a of group other was meant" in got.error
            assert api.facade.asked == []
        got = await api.ask("GET", "/api/v1/status", headers={"X-SRMD-Node": "lab/a"})
        assert got.status == 200


async def test_a_question_whose_connection_is_lost_is_not_asked() -> None:
    """Strangers asked for pages of users and left: their questions queued up without bound."""
    facade = FakeFacade()
    facade.hold = asyncio.Event()
    async with running(facade) as api, asyncio.timeout(WITHIN_S):
        first = asyncio.create_task(api.ask("GET", "/api/v1/users?after=first"))
        await facade.holding.wait()
        _, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
        writer.write(b"GET /api/v1/users?after=second HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(3):  # the one before is read by then
            await api.raw(GOOD_HEAD + b"\r\n", method="GET", path="/api/v1/health")
        writer.transport.abort()
        for _ in range(3):
            await api.raw(GOOD_HEAD + b"\r\n", method="GET", path="/api/v1/health")
        facade.hold.set()
        await first
        await api.ask("GET", "/api/v1/users?after=third")
    assert [asked[1] for asked in facade.asked] == ["first", "third"]


async def test_a_port_in_use_is_a_clear_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        app = make_app(FakeFacade(), on_error=lambda *_: None)
        with pytest.raises(PortBusy) as raised:
            await serve(app, "127.0.0.1", port)
    assert str(raised.value).startswith(
        f"control.listen: 127.0.0.1:{port} is in use by process {os.getpid()} ("
    )
    assert str(raised.value).endswith(
        "); stop what uses the port, or choose another one (and tell the peer's configuration)"
    )


async def test_a_port_that_an_outgoing_connection_holds_is_told_with_its_process() -> None:
    """Ports for outgoing connections may be those of a configuration: 20075 on some machines."""
    with socket.create_server(("127.0.0.1", 0)) as far, socket.socket() as near:
        near.bind(("127.0.0.1", 0))  # so that no other connection of this machine has the port too
        near.connect(far.getsockname())
        port, far_port = near.getsockname()[1], far.getsockname()[1]
        app = make_app(FakeFacade(), on_error=lambda *_: None)
        with pytest.raises(PortBusy) as raised:
            await serve(app, "::", port)
    assert str(raised.value).startswith(
        f"control.listen: [::]:{port} is in use by a connection of process {os.getpid()} ("
    )
    assert f") to 127.0.0.1:{far_port}; end that connection" in str(raised.value)
    assert f"`sysctl net.ipv4.ip_local_reserved_ports={port}`" in str(raised.value)


@pytest.mark.parametrize(
    "host,callers",
    [("::", ("127.0.0.1", "::1")), ("::1", ("::1",)), ("localhost", ("127.0.0.1",))],
)
async def test_all_addresses_of_ipv6_answer_ipv4_too(host: str, callers: tuple[str, ...]) -> None:
    app = make_app(FakeFacade(), on_error=lambda *_: None)
    server = await serve(app, host, 0)
    try:
        for caller in callers:
            _, writer = await asyncio.open_connection(caller, server.port)
            writer.close()
        if "127.0.0.1" not in callers:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)
    finally:
        await server.close()


async def test_an_address_of_another_machine_is_a_clear_error() -> None:
    app = make_app(FakeFacade(), on_error=lambda *_: None)
    with pytest.raises(CannotListen, match=r"control\.listen: 192\.0\.2\.1:20075 cannot be"):
        await serve(app, "192.0.2.1", 20075)
