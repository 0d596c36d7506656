"""Failures of aiohttp's client in words for an operator.

aiohttp's own text speaks of TLS where there is none (`Cannot connect to host 127.0.0.1:20076
ssl:default [Connect call failed ...]`), and of error numbers.
"""

from __future__ import annotations

import os

import aiohttp


def in_words(failed: Exception) -> str:
    """Why a call had no answer, without its address."""
    match failed:
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not believed: {failed.certificate_error}"
        case aiohttp.ClientConnectorSSLError():
            return "what answers there does not speak TLS as this node does"
        case aiohttp.ClientConnectorError():
            return _of_system(failed.os_error)
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed before the answer"
        case aiohttp.ClientResponseError():
            return "what answers there does not speak HTTP as srmd does"
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return _of_system(failed)
        case _:
            return str(failed) or type(failed).__name__


def _of_system(failed: OSError) -> str:
    # asyncio puts the address into strerror, in the form of Python.
    if failed.errno is not None and failed.errno > 0:
        return os.strerror(failed.errno).lower()
    return (failed.strerror or str(failed)).lower()
