"""Failures of aiohttp's client in words for an operator.

No text of a library is repeated: aiohttp's speak of TLS where there is none (`Cannot connect to
host 127.0.0.1:20076 ssl:default [Connect call failed ...]`), of its own insides (`Can not write
request body for http://...`), and of error numbers.
"""

from __future__ import annotations

import os
import socket
import ssl

import aiohttp

CLOSED = "the connection was closed before the answer"


def in_words(failed: Exception) -> str:
    """The reason for which a call had no answer, without its address."""
    match failed:
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not believed{_verdict(failed.certificate_error)}"
        case aiohttp.ClientConnectorSSLError():
            return "what answers there does not speak TLS as this node does"
        case aiohttp.ClientConnectorError():
            return _of_system(failed.os_error, "no connection at any of its addresses")
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientPayloadError():
            return "the connection was closed in the middle of the answer"
        case aiohttp.ClientResponseError():
            return "what answers there does not speak HTTP as srmd does"
        case aiohttp.InvalidURL() | UnicodeError():
            return "its address is no name that can be looked up"
        case ssl.SSLError():
            return "the TLS connection failed"
        case OSError():
            return _of_system(failed, CLOSED)
        case aiohttp.ClientConnectionError():
            return CLOSED
        case _:
            return f"the call failed ({type(failed).__name__})"


def _of_system(failed: OSError, otherwise: str) -> str:
    """The system's words for the error; `otherwise`: there is no number to ask it about.

    asyncio and aiohttp put addresses and words of their own into strerror.
    """
    if isinstance(failed, socket.gaierror):
        return (failed.strerror or "its name cannot be looked up").lower()
    if failed.errno is not None and failed.errno > 0:
        return os.strerror(failed.errno).lower()
    return otherwise


def _verdict(failed: Exception) -> str:
    """Of a certificate, in the words of OpenSSL's list of reasons, such as a date or a name."""
    message = getattr(failed, "verify_message", "")
    return f": {message}" if message else ""
