"""The same requests to our server and to the real Toxiproxy: status, content type and body agree.

Where they may differ is written here, and nowhere else.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.lab.faultproxy.contract import STORIES, Request
from tests.lab.faultproxy.programs import Answer, Server, free_port, ours, theirs

OURS = ',"protocol":"tcp"'
"""What our objects of TCP proxies have beyond Toxiproxy's."""


@pytest.fixture(scope="module")
def our_server() -> Iterator[Server]:
    with ours("--lenient") as server:
        yield server


@pytest.fixture(scope="module")
def their_server() -> Iterator[Server]:
    with theirs() as server:
        yield server


@pytest.mark.parametrize("story", STORIES)
def test_our_server_answers_like_toxiproxy(
    story: str, our_server: Server, their_server: Server
) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        busy_port = busy.getsockname()[1]
        told = [tell(server, STORIES[story], busy_port) for server in (our_server, their_server)]
    assert told[0] == told[1]


def test_the_version_is_a_number_that_clients_can_compare(our_server: Server) -> None:
    answer = our_server.ask("GET", "/version")
    assert answer == Answer(200, "application/json;charset=utf-8", None, '{"version": "2.13.0"}\n')


def test_every_matched_answer_has_a_request_id(our_server: Server, their_server: Server) -> None:
    for server in (our_server, their_server):
        ids = [server.ask("GET", "/proxies").request_id for _ in range(2)]
        assert ids[0] != ids[1]
        assert all(re.fullmatch(r"[0-9a-v]{20}", each or "") for each in ids)
        assert server.ask("GET", "/nothing").request_id is None


def tell(server: Server, story: tuple[Request, ...], busy: int) -> list[str]:
    """The story as this server answers it, in words that do not hold what may differ."""
    for name in json.loads(server.ask("GET", "/proxies").body):
        server.ask("DELETE", f"/proxies/{name.replace('<&>', '%3C%26%3E')}")
    ports = {"p": free_port(), "q": free_port(), "busy": busy}
    lines = []
    for request in story:
        body = request.body
        for name, port in ports.items():
            body = body and body.replace(f"{{{name}}}", str(port))
        answer = server.ask(request.method, request.path, body, **request.headers)
        lines.append(f"{request} -> {alike(answer, ports)}")
    return lines


def alike(answer: Answer, ports: dict[str, int]) -> str:
    """An answer without what may differ: ports, our extra key, the decoder's own words."""
    body = answer.body.replace(OURS, "")
    for name, port in ports.items():
        body = body.replace(f":{port}", f":<{name}>")
    body = re.sub(r'("listen":"[^"]*:)\d{4,5}"', r'\1<any>"', body)
    # Go's JSON decoder speaks of Go's types, and otherwise in each version.
    body = re.sub(r'(bad request body: )(?!EOF|unexpected EOF).*?(","status)', r"\1...\2", body)
    return f"{answer.status} {answer.content_type} {answer.location} {body!r}"
