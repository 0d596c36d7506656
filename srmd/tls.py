"""TLS between the nodes and towards administrators: contexts, names, and until when they hold.

The rules are ours:

- Only TLS 1.3: every Python that srmd runs on speaks it.
- One CA of the pair's own signs both nodes; no CA of the system is trusted by a node.
- A node is named by the URI `srmd://GROUP/NODE` among the alternative names of its certificate.
  Between the nodes addresses are not compared: they may change, and a proxy may stand between.
- An administrator's program shows no certificate, and compares the address as HTTPS does.

Standard library only; certificates are made elsewhere (`srmd init --tls`).
"""

from __future__ import annotations

import hashlib
import math
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

EXPIRY_WARNINGS_DAYS = (30, 7, 1, 0)
"""So many days before the end a warning is due; 0: it has come."""
DAY_S = 86_400
HANDSHAKE_STEPS_MAX = 16
"""A handshake of TLS 1.3 in memory takes three."""
FILE_BYTES_MAX = 1_000_000
"""Bound of a file of PEM; ours."""
NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name."""


class BadCertificate(Exception):
    """A file that TLS cannot use.  `place` is its key in [tls], `value` what was found there."""

    def __init__(self, place: str, value: str, right: str) -> None:
        super().__init__(f"tls.{place}: {value}; {right}")
        self.place = place
        self.value = value
        self.right = right


Place = Callable[[Path], Path]
"""From the name of a file to the path at which it is read."""


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files: our certificate, its key, and the CA that signed ours and the peer's."""

    certificate: Path
    key: Path
    ca: Path
    at: Place


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says."""

    names: tuple[str, ...]
    """Its URIs."""
    not_after_s: int
    """The second of the wall clock at which it ends; only shown and warned of by us."""
    hosts: tuple[str, ...] = ()
    """Its names of hosts, in lower case."""
    not_before_s: int = 0
    """The second of the wall clock at which it begins."""

    def untimely(self, now_s: float) -> str:
        """Why its time has not come or is over, by the wall clock; empty while it holds."""
        if now_s >= self.not_after_s:
            return f"has expired ({moment(self.not_after_s)})"
        if now_s < self.not_before_s:
            return f"is not valid yet ({moment(self.not_before_s)})"
        return ""


@dataclass(frozen=True, slots=True)
class Contexts:
    """All that one reading of the files gives."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    certificate: Certificate
    ca_not_after_s: int
    """The CA that ends first."""
    digests: Mapping[str, str]
    """SHA-256 of each file that was read, by its key in [tls]."""


def node_uri(group: str, node: str) -> str:
    """The name of a node in its certificate."""
    return f"srmd://{quote(group, safe='')}/{quote(node, safe='')}"


def read(certificate: Path, key: Path, ca: Path, *, at: Place = Path) -> Contexts:
    """The files as they are now.  Raises BadCertificate, which names them as they are named here.

    A certificate that has expired can be read: whoever is shown it refuses it, and the heartbeats
    go on.
    """
    files = Files(certificate, key, ca, at)
    digests = _digests(files)
    server, client = _context(ssl.PROTOCOL_TLS_SERVER, files), _peer_context(files)
    server.verify_mode = ssl.CERT_OPTIONAL  # administrators show none; routes of the peer ask
    server.num_tickets = 0  # nobody comes back past a check of today with a ticket of yesterday
    own = _own(files)
    ends = [ssl.cert_time_to_seconds(str(ca["notAfter"])) for ca in client.get_ca_certs()]
    if _digests(files) != digests:  # OpenSSL takes names, so a file may be replaced meanwhile
        right = "it changed while it was read; read it again when all files are in place"
        raise BadCertificate("certificate", str(certificate), right)
    return Contexts(server, client, own, min(ends), digests)


def certificate_of(shown: Mapping[str, Any]) -> Certificate:
    """Of what `getpeercert` has; an empty one when nothing was shown."""
    others = shown.get("subjectAltName", ())
    names = tuple(str(text) for kind, text in others if kind == "URI")
    hosts = tuple(str(text).lower() for kind, text in others if kind == "DNS")
    begins, ends = (shown.get(key) for key in ("notBefore", "notAfter"))
    return Certificate(
        names,
        ssl.cert_time_to_seconds(ends) if ends else 0,
        hosts,
        ssl.cert_time_to_seconds(begins) if begins else 0,
    )


def moment(at_s: int) -> str:
    """A second of the wall clock, as people read it."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def days_left(not_after_s: int, now_s: float) -> float:
    """Days until the end; negative afterwards.  Both by the wall clock."""
    return round((not_after_s - now_s) / DAY_S, 2)


def warning_due(days: float, told_days: float = math.inf) -> int | None:
    """The warning that is due so many days before the end, unless it or a later one was told."""
    due = [limit for limit in EXPIRY_WARNINGS_DAYS if days <= limit]
    return min(due) if due and min(due) < told_days else None


# What is read.


def _peer_context(files: Files) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_CLIENT, files)
    context.check_hostname = False  # the node's name is compared instead, by the caller
    return context


def _context(protocol: int, files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=files.at(files.ca))
    except (ssl.SSLError, ValueError) as failed:
        right = "the certificate of the CA that signed both nodes, as PEM"
        raise BadCertificate("ca", f"{files.ca}: {_why(failed)}", right) from failed
    if not context.get_ca_certs():
        raise BadCertificate("ca", f"{files.ca}: holds no CA", "a certificate that may sign others")
    try:
        chain = files.at(files.certificate), files.at(files.key)
        context.load_cert_chain(*chain, password=_ask_nobody)
    except (ssl.SSLError, ValueError) as failed:
        right = f"a PEM certificate, and in tls.key ({files.key}) its own key, not encrypted"
        raise BadCertificate(
            "certificate", f"{files.certificate}: {_why(failed)}", right
        ) from failed
    return context


def _digests(files: Files) -> dict[str, str]:
    """Of the content of each file.  OpenSSL does not say which one it could not open."""
    found = {}
    for place, path in (("certificate", files.certificate), ("key", files.key), ("ca", files.ca)):
        try:
            with files.at(path).open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
        except OSError as failed:
            raise BadCertificate(
                place, f"{path}: {failed.strerror}", "name a file that can be read"
            ) from failed
        if len(content) > FILE_BYTES_MAX:
            raise BadCertificate(place, str(path), f"a PEM file of at most {FILE_BYTES_MAX} bytes")
        found[place] = hashlib.sha256(content).hexdigest()
    return found


def _ask_nobody() -> NoReturn:
    # Without this OpenSSL would ask for a passphrase at the terminal, and wait.
    raise ValueError("the key is encrypted")


def _own(files: Files) -> Certificate:
    """Our certificate as the peer sees it: by a handshake with ourselves, in memory.

    So it is also known that the CA signed it, for both directions, before anybody else is asked.
    """
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    server, client = _context(ssl.PROTOCOL_TLS_SERVER, files), _peer_context(files)
    server.verify_mode = ssl.CERT_REQUIRED
    for context in (server, client):
        context.verify_flags |= NO_CHECK_TIME
    asking = client.wrap_bio(here, there)
    answering = server.wrap_bio(there, here, server_side=True)
    try:
        for _ in range(HANDSHAKE_STEPS_MAX):
            done = [_stepped(side) for side in (asking, answering)]
            if all(done):
                break
    except ssl.SSLError as failed:
        right = f"one that tls.ca ({files.ca}) signed, for a server and for a client"
        raise BadCertificate(
            "certificate", f"{files.certificate}: {_why(failed)}", right
        ) from failed
    return certificate_of(asking.getpeercert() or {})


def _stepped(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _why(failed: Exception) -> str:
    if isinstance(failed, ssl.SSLCertVerificationError):
        return failed.verify_message
    if isinstance(failed, ssl.SSLError):
        return (failed.reason or "no PEM").replace("_", " ").lower()
    return str(failed)
