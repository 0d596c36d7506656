"""A pair of real processes that speaks TLS: who is believed, and how certificates are rotated."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from srmd.cli.certificates import Authority
from srmd.client import Client, Rejected, Unreachable
from srmd.lab.pair import LabNode, LabPair
from tests.real.conftest import records
from tests.security.certificates import (
    CA,
    CERTIFICATE,
    ENDED_DAYS,
    KEY,
    authority,
    encrypt,
    write,
)

NORMAL = "Normal/Normal"


class Encrypted:
    """The pair and its CA."""

    def __init__(self, pair: LabPair, signer: Authority) -> None:
        self.pair = pair
        self.signer = signer

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        self.pair.wait_until(what, holds)

    def reaches(self, node: LabNode) -> None:
        """The node's control calls arrive, and both are Normal."""
        self.until(
            f"{node.id} reaches its peer",
            lambda: node.status()["peer"]["control_reachable"] is True,
        )
        self.pair.wait_for(a=NORMAL, b=NORMAL)

    def write(self, node: LabNode, **texts: str) -> None:
        """New texts of certificate, key or ca."""
        names = {"certificate": CERTIFICATE, "key": KEY, "ca": CA}
        for place, text in texts.items():
            (node.folder / names[place]).write_text(text)


@pytest.fixture(scope="module")
def encrypted() -> Iterator[Encrypted]:
    pair, signer = LabPair(), authority()
    encrypt(pair, signer)
    with pair:
        yield Encrypted(pair, signer)


@pytest.fixture
def whole(encrypted: Encrypted) -> Encrypted:
    """With good certificates and settings again, whatever the test before did."""
    pair = encrypted.pair
    encrypt(pair, encrypted.signer)
    pair.write_configs()
    for node in pair.nodes:
        restart(node)
    for node in pair.nodes:
        encrypted.reaches(node)
    return encrypted


def refusals(node: LabNode) -> list[str]:
    """Why control calls failed for want of belief: others fail while SRM of the peer restarts."""
    told = [str(record["error"]) for record in records(node, "control.call_failed")]
    return [why for why in told if "certificate" in why.lower() or "ssl" in why.lower()]


def restart(node: LabNode) -> None:
    """Restart SRM of a node, whatever certificate it shows."""
    assert node.client.token is not None
    bearer = {"Authorization": f"Bearer {node.client.token.text()}"}
    status, body = ask(node, "/api/v1/srm/restart", headers=bearer)
    assert status == 202, body


def ask(
    node: LabNode,
    path: str,
    *,
    shown: tuple[Path, Path] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Status and body of the answer to an empty object, with a certificate of ours or without."""
    context = ssl._create_unverified_context()
    if shown is not None:
        context.load_cert_chain(*shown)
    connection = http.client.HTTPSConnection(node.control, timeout=10, context=context)
    try:
        given = {"Content-Type": "application/json", **(headers or {})}
        connection.request("POST", path, b"{}", given)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_control_calls_are_encrypted_and_the_end_of_each_certificate_is_shown(
    whole: Encrypted,
) -> None:
    for node in whole.pair.nodes:
        shown = node.status()["tls"]["certificates"]
        assert [one["whose"] for one in shown] == ["node", "ca", "peer"]
        assert [round(one["days_left"]) for one in shown] == [90, 3650, 90]
    plain = Client(f"http://{whole.pair.a.control}", whole.pair.a.client.token)
    with pytest.raises(Rejected, match="use https://"):
        plain.status()


def test_a_command_that_does_not_know_the_ca_does_not_speak_to_the_node(whole: Encrypted) -> None:
    node = whole.pair.a
    with pytest.raises(Unreachable, match=r"is not believed .*; name its CA by --ca"):
        Client(f"https://{node.control}", node.client.token).status()


def test_a_control_message_needs_the_peers_certificate(whole: Encrypted, tmp_path: Path) -> None:
    node, path = whole.pair.a, "/control/v1/report"
    status, body = ask(node, path)
    assert (status, "srmd://lab/b" in body) == (403, True)
    own = (node.folder / CERTIFICATE, node.folder / KEY)
    status, body = ask(node, path, shown=own)
    assert (status, "srmd://lab/b" in body) == (403, True)
    peers = (whole.pair.b.folder / CERTIFICATE, whole.pair.b.folder / KEY)
    status, body = ask(node, path, shown=peers)
    assert (status, "no_digest" in body) == (403, True)  # the signature is needed too
    assert node.status()["counters"]["control_rejected"]["certificate"] >= 2


def test_a_client_with_a_foreign_certificate_does_not_get_in(
    whole: Encrypted, tmp_path: Path
) -> None:
    node, before = whole.pair.a, whole.pair.a.status()["tls"]["refused"]
    foreign = write(tmp_path, authority(), "b")
    with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
        ask(node, "/control/v1/report", shown=foreign[:2])
    whole.until("the refusal is counted", lambda: node.status()["tls"]["refused"] > before)


@pytest.mark.parametrize(
    "signer, why",
    [
        ("foreign", "its certificate is not believed"),
        ("ended", "certificate has expired"),
        ("own", "its certificate names srmd://lab/a, and srmd://lab/b is needed"),
    ],
)
def test_a_peer_with_a_wrong_certificate_is_not_spoken_to_and_heartbeats_go_on(
    whole: Encrypted, signer: str, why: str
) -> None:
    pair = whole.pair
    if signer == "own":  # what answers in the place of b is a
        own = f"https://localhost:{pair.a.control.rpartition(':')[2]}"
        text = pair.a.config_file.read_text()
        pair.a.config_file.write_text(text.replace(f"https://{pair.b.control}", own))
    else:
        other = authority(ENDED_DAYS) if signer == "ended" else authority()
        believed = whole.signer.certificate + other.certificate
        pair.b.terminate()
        write(pair.b.folder, other, "b", ca=believed)  # b itself starts with it
        pair.b.spawn()
        if signer == "ended":
            whole.write(pair.a, ca=believed)  # a knows who signed it, and sees that it has ended
    restart(pair.a)
    whole.until(
        "a does not reach b",
        lambda: "its certificate" in pair.a.status()["peer"]["control_error"],
    )
    whole.until(
        "heartbeats say that both are Normal",
        lambda: {pair.a.status()[side]["state"] for side in ("local", "peer")} == {"Normal"},
    )
    status = pair.a.status()
    assert why in status["peer"]["control_error"]
    assert status["peer"]["control_reachable"] is False
    assert status["peer"]["heard"]


def test_a_peer_with_a_wrong_certificate_is_told_on_the_node_that_has_nothing_to_tell_it(
    whole: Encrypted,
) -> None:
    """For 3.5 minutes node a, which was not restarted, said "All is well" beside a peer whose
    certificate it refused and which had not read five of its users."""
    pair, other = whole.pair, authority()
    write(pair.b.folder, other, "b", ca=whole.signer.certificate + other.certificate)
    restart(pair.b)
    pair.a.client.generate_users(5, "balanced", "late")
    whole.until(
        "a tells of both",
        lambda: (
            {"control", "not_replicated"}
            <= {notice["key"] for notice in pair.a.status()["notices"]}
        ),
    )
    status = pair.a.status()
    assert status["peer"]["control_reachable"] is False
    assert "its certificate is not believed" in status["peer"]["control_error"]
    assert "証明書が信頼できません" in status["peer"]["control_error_ja"]
    assert status["database"]["peer_unread"] == 5
    assert "not all is well" in status["handbook"]["cause"]["en"]
    assert [one["whose"] for one in status["tls"]["certificates"]] == ["node", "ca"]
    assert status["tls"]["last_refused"]["source"] == "127.0.0.1"


def test_one_node_with_tls_and_one_without_say_so_on_both() -> None:
    """It was "wrong version number (_ssl.c:1006)" and "Server disconnected"."""
    pair, signer = LabPair(), authority()
    encrypt(pair, signer)
    plain = pair.b
    del plain.overrides["tls"]
    plain.overrides["peer"] = {"control": f"http://{pair.a.control}"}
    plain.client = Client(f"http://{plain.control}", plain.client.token)
    said = {
        "a": "it speaks plain HTTP on its control port, and [tls] is on here",
        "b": "it speaks TLS on its control port, and [tls] is off here",
    }
    with pair:
        pair.wait_for(a=NORMAL, b=NORMAL)
        pair.wait_until(
            "both say it",
            lambda: {one.id: one.status()["peer"]["control_error"] for one in pair.nodes} == said,
        )
        for node in pair.nodes:
            (notice,) = [one for one in node.status()["notices"] if one["key"] == "control"]
            assert "Give [tls] to both nodes or to none" in notice["en"]
            assert "[tls] は両ノードに設定するか" in notice["ja"]
        with pytest.raises(Rejected, match=r"this port speaks TLS, .*: use https://"):
            Client(f"http://{pair.a.control}", pair.a.client.token).status()
    assert not pair.left_behind
