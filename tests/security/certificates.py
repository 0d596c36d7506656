"""Certificates for a pair of the lab: signed by one CA, by another, or by one that has ended."""

from __future__ import annotations

import ssl
from pathlib import Path

from srmd.cli.certificates import Authority
from srmd.client import Client
from srmd.lab.pair import HOST, LabNode, LabPair
from srmd.tls import node_uri

GROUP = "lab"
DAYS = 90.0
ENDED_DAYS = -0.01
CERTIFICATE, KEY, CA = "node.crt", "tls.key", "ca.crt"


def authority(days: float = DAYS) -> Authority:
    return Authority.new(GROUP, days)


def write(
    folder: Path, signer: Authority, node: str = "a", *, ca: str | None = None
) -> tuple[Path, Path, Path]:
    """Certificate, key and CA of a node; another `ca` is believed than the one that signed."""
    certificate, key = signer.sign(node_uri(GROUP, node), HOST)
    texts = {CERTIFICATE: certificate, KEY: key, CA: signer.certificate if ca is None else ca}
    for name, text in texts.items():
        path = folder / name
        path.touch(0o600)
        path.write_text(text)
    return folder / CERTIFICATE, folder / KEY, folder / CA


def encrypt(pair: LabPair, signer: Authority) -> None:
    """Give both nodes certificates and settings, before the pair is started."""
    for node, peer in ((pair.a, pair.b), (pair.b, pair.a)):
        write(node.folder, signer, node.id)
        node.overrides["tls"] = {"certificate": CERTIFICATE, "key": KEY, "ca": CA}
        node.overrides["peer"] = {"control": f"https://{peer.control}"}
        believe(node, signer)


def believe(node: LabNode, signer: Authority) -> None:
    """The test's own client trusts this CA, and nothing else that the node shows."""
    ca = node.folder.parent / f"believed-{node.id}.crt"
    ca.write_text(signer.certificate)
    node.client = Client(f"https://{node.control}", node.client.token, ca=str(ca))


def shown_by(node: LabNode) -> str:
    """The certificate that the node shows to whoever connects now, as PEM."""
    host, _, port = node.control.partition(":")
    return ssl.get_server_certificate((host, int(port)))
