"""TLS files are judged when they are read, and told of before they end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from srmd import tls
from srmd.config import ConfigError, load
from srmd.daemon.tls import Tls
from srmd.tls import DAY_S, BadCertificate, node_uri, warning_due
from tests.daemon.nodes import Records
from tests.security.certificates import CERTIFICATE, ENDED_DAYS, KEY, authority, write


def test_a_node_is_named_by_group_and_id() -> None:
    assert node_uri("lab", "a") == "srmd://lab/a"
    assert node_uri("a/b", "c d") == "srmd://a%2Fb/c%20d"


def test_what_was_read_tells_the_name_and_the_end(tmp_path: Path) -> None:
    contexts = tls.read(*write(tmp_path, authority(), "b"))
    assert contexts.certificate.names == ("srmd://lab/b",)
    assert 0 < contexts.certificate.not_after_s < contexts.ca_not_after_s


def test_an_expired_certificate_can_still_be_read(tmp_path: Path) -> None:
    assert tls.read(*write(tmp_path, authority(ENDED_DAYS))).certificate.names == ("srmd://lab/a",)


def test_a_certificate_of_another_ca_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    files = write(tmp_path, authority(), ca=authority().certificate)
    with pytest.raises(BadCertificate, match=r"^tls\.certificate: .*; one that tls\.ca .* signed"):
        tls.read(*files)


@pytest.mark.parametrize("missing", ["certificate", "key", "ca"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    files = dict(zip(("certificate", "key", "ca"), write(tmp_path, authority()), strict=True))
    files[missing].unlink()
    with pytest.raises(BadCertificate, match=rf"^tls\.{missing}: .*No such file or directory"):
        tls.read(*files.values())


@pytest.mark.parametrize("place, number", [("certificate", 0), ("certificate", 1), ("ca", 2)])
def test_a_file_that_is_no_pem_is_named(tmp_path: Path, place: str, number: int) -> None:
    files = write(tmp_path, authority())
    files[number].write_text("no PEM")
    with pytest.raises(BadCertificate, match=rf"^tls\.{place}: "):
        tls.read(*files)


def test_the_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    files = write(tmp_path, authority())
    files[1].write_text(authority().key)
    with pytest.raises(BadCertificate, match="key values mismatch"):
        tls.read(*files)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_passphrase(tmp_path: Path) -> None:
    files = write(tmp_path, authority())
    key = serialization.load_pem_private_key(files[1].read_bytes(), None)
    lock = serialization.BestAvailableEncryption(b"a passphrase")
    form = serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, lock))
    with pytest.raises(BadCertificate, match="the key is encrypted"):
        tls.read(*files)


@pytest.mark.parametrize(
    "days, why", [(-1.0, "is not valid yet"), (1.0, ""), (89.0, ""), (91.0, "has expired")]
)
def test_a_certificate_holds_between_two_moments(tmp_path: Path, days: float, why: str) -> None:
    certificate = tls.read(*write(tmp_path, authority())).certificate
    now_s = certificate.not_after_s - (90.0 - days) * DAY_S
    assert certificate.untimely(now_s).startswith(why)
    assert bool(certificate.untimely(now_s)) is bool(why)


def test_files_that_change_while_they_are_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL opens them by name: the certificate could be another than the one that was judged."""
    files = write(tmp_path, authority())
    own = tls._own

    def replaced(read: tls.Files) -> tls.Certificate:
        found = own(read)
        write(tmp_path, authority())
        return found

    monkeypatch.setattr(tls, "_own", replaced)
    with pytest.raises(BadCertificate, match="it changed while it was read"):
        tls.read(*files)


# The configuration.


def test_a_certificate_of_another_node_is_a_problem_and_one_that_has_expired_a_warning(
    tmp_path: Path,
) -> None:
    names = {"certificate": CERTIFICATE, "key": KEY, "ca": "ca.crt"}
    write(tmp_path, authority(), "b")
    right = r"tls\.certificate: .*the certificate of srmd://lab/a; this one names srmd://lab/b"
    with pytest.raises(ConfigError, match=right):
        load(configured(tmp_path, **names))
    write(tmp_path, authority(ENDED_DAYS))
    warnings = load(configured(tmp_path, **names), now_s=time.time()).warnings
    told = {warning.key: warning.right for warning in warnings}
    assert told["tls.certificate"].startswith("it has expired (")


def configured(folder: Path, **tls_keys: str) -> Path:
    file = folder / "node.toml"
    lines = "\n".join(f'{key} = "{value}"' for key, value in tls_keys.items())
    file.write_text(
        f"""\
[node]
id = "a"
state_dir = "state"
[group]
name = "lab"
[peer]
id = "b"
heartbeat = "127.0.0.1:22002"
control = "https://127.0.0.1:20076"
[auth.keys]
k1 = "00112233445566778899aabbccddeeff"
[tls]
{lines}
"""
    )
    return file


def test_files_are_named_relative_to_the_configuration(tmp_path: Path) -> None:
    write(tmp_path, authority())
    loaded = load(configured(tmp_path, certificate=CERTIFICATE, key=KEY, ca="ca.crt"))
    assert loaded.config.tls.files == (tmp_path / CERTIFICATE, tmp_path / KEY, tmp_path / "ca.crt")
    assert [one for one in loaded.warnings if one.key.startswith("tls")] == []


def test_half_of_the_files_is_a_mistake(tmp_path: Path) -> None:
    write(tmp_path, authority())
    with pytest.raises(ConfigError, match=r"tls\.key: .*certificate, key and ca together"):
        load(configured(tmp_path, certificate=CERTIFICATE, ca="ca.crt"))


def test_a_peer_by_https_needs_certificates(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"peer\.control: .*http://, or \[tls\]"):
        load(configured(tmp_path))


def test_a_key_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    write(tmp_path, authority())[1].chmod(0o640)
    loaded = load(configured(tmp_path, certificate=CERTIFICATE, key=KEY, ca="ca.crt"))
    told = {warning.key: warning.right for warning in loaded.warnings}
    assert told["tls.key"] == "others may read the secret; chmod 600 tls.key"


def test_a_bad_file_is_told_like_any_other_problem(tmp_path: Path) -> None:
    write(tmp_path, authority())[2].write_text("no PEM")
    with pytest.raises(ConfigError, match=r"tls\.ca: .*the certificate of the CA that signed"):
        load(configured(tmp_path, certificate=CERTIFICATE, key=KEY, ca="ca.crt"))


# Until when.


@pytest.mark.parametrize(
    "days, due", [(31.0, None), (30.0, 30), (7.5, 30), (7.0, 7), (0.5, 1), (0.0, 0), (-9.0, 0)]
)
def test_a_warning_is_due_a_month_a_week_and_a_day_before_and_at_the_end(
    days: float, due: int | None
) -> None:
    assert warning_due(days) == due


def test_each_warning_is_told_once(tmp_path: Path) -> None:
    records = Records()
    watched = Tls(tls.read(*write(tmp_path, authority())), records)
    status = watched.status(0.0)
    assert status is not None
    end_s = status["certificates"][0]["days_left"] * DAY_S
    for days_before in (40, 29, 28, 6, 0.5, 0.4, -1, -2):
        watched.warn(end_s - days_before * DAY_S)
    told = [fields["whose"] for name, fields in records.records if name == "tls.expires"]
    assert told == ["node"] * 4


def test_without_files_there_is_no_tls() -> None:
    off = Tls(None, Records())
    assert (off.server(), off.client(), off.status(0.0)) == (None, None, None)
