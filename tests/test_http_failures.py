"""No failure of a call is told in the words of a library."""

from __future__ import annotations

import errno
import socket
import ssl
from threading import Thread
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from srmd.client import Client, Unreachable
from srmd.http_failures import in_words

INNER = "Can not write request body for http://127.0.0.1:1/control/v1/report"
KEY: Any = SimpleNamespace(host="127.0.0.1", port=1, ssl=True, is_ssl=False)
RESET = "connection reset by peer"
CLOSED = "the connection was closed before the answer"


def refused(number: int | None) -> OSError:
    return OSError(INNER) if number is None else OSError(number, INNER)


@pytest.mark.parametrize(
    "failed, said",
    [
        (aiohttp.ClientOSError(errno.ECONNRESET, INNER), RESET),
        (aiohttp.ClientOSError(None, INNER), CLOSED),
        (aiohttp.ClientConnectionResetError(INNER), CLOSED),
        (ConnectionResetError(INNER), CLOSED),
        (aiohttp.ClientConnectionError(INNER), CLOSED),
        (aiohttp.ServerDisconnectedError(INNER), CLOSED),
        (
            aiohttp.ClientPayloadError(INNER),
            "the connection was closed in the middle of the answer",
        ),
        (
            aiohttp.ClientConnectorError(KEY, refused(errno.ECONNREFUSED)),
            "connection refused",
        ),
        (
            aiohttp.ClientConnectorError(KEY, refused(None)),
            "no connection at any of its addresses",
        ),
        (
            aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "Name or service not known")),
            "name or service not known",
        ),
        (aiohttp.ServerTimeoutError(INNER), "no answer in time"),
        (TimeoutError(INNER), "no answer in time"),
        (aiohttp.InvalidURL("http://x", INNER), "its address is no name that can be looked up"),
        (ssl.SSLError(1, INNER), "the TLS connection failed"),
        (aiohttp.ClientError(INNER), "the call failed (ClientError)"),
        (ValueError(INNER), "the call failed (ValueError)"),
    ],
)
def test_a_failed_call_is_told_in_our_words(failed: Exception, said: str) -> None:
    """An operator read "can not write request body for http://..."."""
    assert in_words(failed) == said


def test_a_certificate_is_told_with_what_is_wrong_with_it() -> None:
    verdict = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] (_ssl.c:1006)")
    verdict.verify_message = "certificate has expired"
    failed = aiohttp.ClientConnectorCertificateError(KEY, verdict)
    assert in_words(failed) == "its certificate is not believed: certificate has expired"


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
def test_a_connection_that_is_closed_is_told_so_to_the_command_line(begun: bytes) -> None:
    """It was "it does not speak HTTP as srmd does (RemoteDisconnected)"."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def close_early() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(begun)

        serving = Thread(target=close_early)
        serving.start()
        host, port = listening.getsockname()
        with pytest.raises(Unreachable, match="closed before the end of the answer"):
            Client(f"http://{host}:{port}").status()
        serving.join(30)
