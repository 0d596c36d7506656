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

from srmd.core.texts import CALL_FAILURES, CERTIFICATE_VERDICTS, Text, system_error

NO_TLS_THERE = frozenset({"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG"})
"""OpenSSL's reasons where what answers is no record of TLS: a plain HTTP port."""
NOT_BELIEVED_THERE = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_DECRYPT_ERROR",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
"""OpenSSL's reasons where the other side refuses the certificate that it was shown."""


def in_words(failed: BaseException) -> Text:
    """The reason for which a call had no answer, without its address."""
    inner = _of_tls(failed)
    if inner is not None and not isinstance(failed, aiohttp.ClientConnectorCertificateError):
        reason = _reason(inner)
        if reason in NOT_BELIEVED_THERE:
            alert = reason.partition("_ALERT_")[2].replace("_", " ").lower()
            return CALL_FAILURES["refuses_ours"].naming(verdict=alert)
        if reason in NO_TLS_THERE:
            return CALL_FAILURES["plain"]
    match failed:
        case aiohttp.ClientConnectorCertificateError():
            verdict = _verdict(failed.certificate_error)
            return CALL_FAILURES["certificate"].naming(verdict=verdict)
        case aiohttp.ClientConnectorSSLError():
            return CALL_FAILURES["tls"]
        case aiohttp.ClientConnectorError():
            return _of_system(failed.os_error, CALL_FAILURES["addresses"])
        case TimeoutError():
            return CALL_FAILURES["late"]
        case aiohttp.ClientPayloadError():
            return CALL_FAILURES["middle"]
        case aiohttp.ClientResponseError():
            return CALL_FAILURES["not_http"]
        case aiohttp.InvalidURL() | UnicodeError():
            return CALL_FAILURES["no_name"]
        case ssl.SSLError():
            return CALL_FAILURES["tls_failed"]
        case OSError():
            return _of_system(failed, CALL_FAILURES["closed"])
        case aiohttp.ClientConnectionError():
            return CALL_FAILURES["closed"]
        case _:
            return CALL_FAILURES["other"].naming(kind=type(failed).__name__)


def is_of_certificates(failed: BaseException) -> bool:
    """One of both sides does not believe the certificate of the other."""
    inner = _of_tls(failed)
    return isinstance(inner, ssl.SSLCertVerificationError) or (
        inner is not None and _reason(inner) in NOT_BELIEVED_THERE
    )


def _of_tls(failed: BaseException) -> ssl.SSLError | None:
    """The error of TLS behind a failure; aiohttp keeps it in several places."""
    found = (
        getattr(failed, "os_error", None),
        getattr(failed, "certificate_error", None),
        failed.__cause__,
        failed,
    )
    return next((one for one in found if isinstance(one, ssl.SSLError)), None)


def _reason(failed: ssl.SSLError) -> str:
    """OpenSSL's name for it; an error that Python did not get from OpenSSL has none."""
    return getattr(failed, "reason", None) or ""


def _of_system(failed: OSError, otherwise: Text) -> Text:
    """The system's words for the error; `otherwise`: there is no number to ask it about.

    asyncio and aiohttp put addresses and words of their own into strerror.
    """
    if isinstance(failed, socket.gaierror):
        unresolved = CALL_FAILURES["unresolved"]
        return system_error(failed.strerror.lower()) if failed.strerror else unresolved
    if failed.errno is not None and failed.errno > 0:
        return system_error(os.strerror(failed.errno).lower())
    return otherwise


def _verdict(failed: Exception) -> str | Text:
    """Of a certificate, in the words of OpenSSL's list of reasons, such as a date or a name."""
    message = getattr(failed, "verify_message", "")
    if not message:
        return ""
    told = CERTIFICATE_VERDICTS.get(message, Text(message, message))
    return Text(f": {told.en}", f": {told.ja}")
