"""TLS from files: who is let in, and certificates that are rotated while it runs."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from octoqueue.errors import ConfigError, ConfigRefused
from octoqueue.settings.root import Settings
from scalers.keda.certificates import Certificates
from tests.scalers.keda import Polled, scaled_object

if TYPE_CHECKING:
    from tests.scalers.conftest import World

FILES = Path(__file__).parent / "certificates"


def pem(name: str) -> bytes:
    return (FILES / f"{name}.pem").read_bytes()


def client(name: str | None = "client") -> grpc.ChannelCredentials:
    """What KEDA gives with caCert, and with tlsClientCert and tlsClientKey when there is a name."""
    if name is None:
        return grpc.ssl_channel_credentials(pem("ca"))
    return grpc.ssl_channel_credentials(pem("ca"), pem(f"{name}-key"), pem(name))


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A folder as Kubernetes mounts a secret."""
    place(tmp_path, "server-1")
    shutil.copy(FILES / "ca.pem", tmp_path / "ca.crt")
    return tmp_path


def place(folder: Path, name: str) -> None:
    """Put a certificate and its key where the scaler looks; each at once, as a link is moved."""
    for source, target in ((f"{name}.pem", "tls.crt"), (f"{name}-key.pem", "tls.key")):
        shutil.copy(FILES / source, folder / "new")
        (folder / "new").rename(folder / target)


async def scaler_in(world: World, folder: Path, *, mutual: bool = True) -> int:
    return await world.scaler(
        certificate=folder / "tls.crt",
        key=folder / "tls.key",
        client_ca=folder / "ca.crt" if mutual else None,
    )


async def shown_on(port: int) -> str:
    """Return the certificate that is shown to a new connection."""
    context = ssl.create_default_context(cadata=pem("ca").decode())
    context.load_cert_chain(FILES / "client.pem", FILES / "client-key.pem")
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="scaler.test"
    )
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return ssl.DER_cert_to_PEM_cert(shown).strip()
    finally:
        writer.transport.abort()


async def test_over_tls_the_same_is_told(world: World, mounted: Path) -> None:
    port = await scaler_in(world, mounted, mutual=False)
    keda = await world.keda(port, credentials=client(None))
    await world.put(35)
    assert await keda.poll(scaled_object()) == Polled(4, is_active=True)


async def test_a_client_with_a_certificate_of_the_authority_is_let_in(
    world: World, mounted: Path
) -> None:
    keda = await world.keda(await scaler_in(world, mounted), credentials=client())
    assert (await keda.poll(scaled_object())).value == 0


@pytest.mark.parametrize("name", [None, "stranger"])
async def test_others_are_refused(world: World, mounted: Path, name: str | None) -> None:
    keda = await world.keda(await scaler_in(world, mounted), credentials=client(name))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await keda.poll(scaled_object())
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_plain_text_is_refused(world: World, mounted: Path) -> None:
    keda = await world.keda(await scaler_in(world, mounted, mutual=False))
    with pytest.raises(grpc.aio.AioRpcError):
        await keda.poll(scaled_object())


async def test_a_rotated_certificate_is_shown_to_the_next_connection(
    world: World, mounted: Path
) -> None:
    port = await scaler_in(world, mounted)
    before = await world.keda(port, credentials=client())
    await before.poll(scaled_object())
    assert await shown_on(port) == pem("server-1").decode().strip()
    place(mounted, "server-2")
    assert await shown_on(port) == pem("server-2").decode().strip()
    after = await world.keda(port, credentials=client())
    assert await before.poll(scaled_object()) == await after.poll(scaled_object())


async def test_in_the_middle_of_a_rotation_the_old_one_is_shown(
    world: World, mounted: Path
) -> None:
    """The certificate is there and its key is not: they do not fit each other."""
    port = await scaler_in(world, mounted)
    shutil.copy(FILES / "server-2.pem", mounted / "tls.crt")
    assert await shown_on(port) == pem("server-1").decode().strip()
    (mounted / "tls.key").unlink()
    assert await shown_on(port) == pem("server-1").decode().strip()
    place(mounted, "server-2")
    assert await shown_on(port) == pem("server-2").decode().strip()


async def test_half_a_rotation_is_told_once_however_many_connect(
    world: World, mounted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As probes do, every few seconds, for as long as nobody mends it."""
    port = await scaler_in(world, mounted)
    shutil.copy(FILES / "server-2.pem", mounted / "tls.crt")
    for _ in range(3):
        assert await shown_on(port) == pem("server-1").decode().strip()
    (mounted / "tls.key").unlink()
    for _ in range(3):
        assert await shown_on(port) == pem("server-1").decode().strip()
    told = [record for record in caplog.records if record.msg == "certificate_not_taken"]
    assert len(told) == 2
    place(mounted, "server-2")
    assert await shown_on(port) == pem("server-2").decode().strip()


def test_files_that_change_while_they_are_read_are_read_again(
    mounted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate of one pair with the key of the other would break every handshake."""
    certificates = Certificates(certificate=mounted / "tls.crt", key=mounted / "tls.key")
    certificates.credentials()
    place(mounted, "server-2")
    read = Certificates._read

    def slowly(self: Certificates) -> grpc.ServerCertificateConfiguration:
        found = read(self)
        place(mounted, "server-1")
        return found

    monkeypatch.setattr(Certificates, "_read", slowly)
    assert certificates.changed() is None
    monkeypatch.undo()
    assert certificates.changed() is not None
    assert certificates.changed() is None


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(mounted: Path) -> None:
    locked = FILES / "server-1-key-locked.pem"
    with pytest.raises(ConfigError, match=r"scaler\.certificate"):
        Certificates(certificate=mounted / "tls.crt", key=locked).credentials()


async def test_an_authority_that_is_rotated_lets_others_in(world: World, mounted: Path) -> None:
    port = await scaler_in(world, mounted)
    shutil.copy(FILES / "stranger.pem", mounted / "ca.crt")
    stranger = await world.keda(port, credentials=client("stranger"))
    assert (await stranger.poll(scaled_object())).value == 0
    known = await world.keda(port, credentials=client())
    with pytest.raises(grpc.aio.AioRpcError):
        await known.poll(scaled_object())


async def test_a_certificate_that_does_not_fit_its_key_is_refused_at_the_start(
    world: World, mounted: Path
) -> None:
    shutil.copy(FILES / "server-2.pem", mounted / "tls.crt")
    with pytest.raises(ConfigError, match=r"scaler\.certificate") as refused:
        await scaler_in(world, mounted)
    assert refused.value.key == "scaler.certificate"


@pytest.mark.parametrize("given", [{"certificate": "tls.crt"}, {"key": "a"}, {"client_ca": "a"}])
def test_half_of_what_tls_takes_is_refused(tmp_path: Path, given: dict[str, str]) -> None:
    file = tmp_path / "octoqueue.yaml"
    lines = [f"  {key}: {value}" for key, value in given.items()]
    file.write_text("\n".join(["scaler:", *lines]))
    with pytest.raises(ConfigRefused, match=r"scaler\."):
        Settings.load(file, environ={})
