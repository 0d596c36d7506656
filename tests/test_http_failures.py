"""No failure of a call is told in the words of a library."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from threading import Thread
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from srmd.client import Client, Unreachable
from srmd.http_failures import in_words, is_of_certificates

LATIN = re.compile("(?!HTTP|TLS|srmd)[A-Za-z]{3,}")
"""English in a Japanese text; names of protocols are none."""
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
    assert in_words(failed).en == said
    assert not LATIN.search(in_words(failed).ja.replace(type(failed).__name__, ""))


def test_a_certificate_is_told_with_what_is_wrong_with_it() -> None:
    verdict = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] (_ssl.c:1006)")
    verdict.verify_message = "certificate has expired"
    failed = aiohttp.ClientConnectorCertificateError(KEY, verdict)
    assert in_words(failed).en == "its certificate is not believed: certificate has expired"
    assert in_words(failed).ja == "証明書が信頼できません: 証明書の期限が切れています"
    assert is_of_certificates(failed)


@pytest.mark.parametrize(
    "reason, said",
    [
        ("WRONG_VERSION_NUMBER", "it speaks plain HTTP on its control port, and [tls] is on here"),
        (
            "TLSV1_ALERT_UNKNOWN_CA",
            "it does not believe the certificate of this node (unknown ca)",
        ),
    ],
)
def test_what_the_other_side_does_not_speak_or_believe_is_told(reason: str, said: str) -> None:
    """It was "wrong version number (_ssl.c:1006)", and "operation not permitted"."""
    inner = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:1006)")
    inner.reason = reason
    assert in_words(aiohttp.ClientConnectorSSLError(KEY, inner)).en == said
    outer = aiohttp.ClientOSError(1, INNER)
    outer.__cause__ = inner
    assert in_words(outer).en == said
    assert is_of_certificates(outer) == ("CA" in reason)


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
