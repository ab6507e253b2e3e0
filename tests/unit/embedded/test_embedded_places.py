from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from octoqueue.embedded import state_dir as state_dirs
from octoqueue.embedded.account import Account, common_ground, stand_in_for_root
from octoqueue.embedded.sockets import LONGEST_PATH_BYTES, SocketPlace
from octoqueue.embedded.state_dir import default_state_dir, make_private
from octoqueue.errors import ConfigError, EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_state_is_kept_where_the_desktop_specification_says() -> None:
    environ = {"XDG_STATE_HOME": "/srv/state", "HOME": "/home/ada"}
    assert default_state_dir("demo", environ=environ) == Path("/srv/state/octoqueue/demo")


@pytest.mark.parametrize("state_home", ["", "relative/path"])
def test_without_an_absolute_state_home_it_is_below_the_home_directory(
    monkeypatch: pytest.MonkeyPatch, state_home: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    environ = {"XDG_STATE_HOME": state_home, "HOME": "/home/ada"}
    expected = Path("/home/ada/.local/state/octoqueue/default")
    assert default_state_dir("default", environ=environ) == expected


def test_roots_state_is_where_other_accounts_can_be_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = default_state_dir("default", environ={"HOME": "/root"})
    assert found == Path("/var/lib/octoqueue/default")


@pytest.mark.parametrize("name", ["", "..", ".data", "a/b", "-f", "a b", "n" * 65])
def test_an_instance_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        default_state_dir(name, environ={"HOME": "/home/ada"})
    assert refused.value.key == "embedded.name"


def test_a_user_without_a_home_is_told_to_configure_the_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 7)
    with pytest.raises(ConfigError) as refused:
        default_state_dir("default", environ={})
    assert refused.value.key == "embedded.state_dir"


def test_a_directory_made_here_is_private(tmp_path: Path) -> None:
    assert mode(make_private(tmp_path / "a" / "b")) == 0o700


def test_a_directory_that_exists_is_used_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert make_private(tmp_path) == tmp_path.resolve()
    assert mode(tmp_path) == 0o755


def test_a_directory_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(EmbeddedError, match="can be written by others"):
        make_private(tmp_path)


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="belongs to user"):
        make_private(tmp_path, owner=os.geteuid() + 1)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match="file cannot be made: File exists"):
        make_private(tmp_path / "file")


def test_common_ground_can_be_entered_by_all_and_written_by_us_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_dirs, "ROOT_STATE", tmp_path / "common")
    before = os.umask(0o077)
    try:
        ground = common_ground(".purpose")
    finally:
        os.umask(before)
    assert mode(ground) == mode(ground.parent) == 0o755


def test_only_root_has_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert stand_in_for_root(tmp_path) is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    account = stand_in_for_root(tmp_path / "not there yet")
    assert account
    assert account.uid != 0


@pytest.mark.parametrize(
    ("folder", "file", "can"),
    [(0o755, 0o644, True), (0o711, 0o604, True), (0o750, 0o644, False), (0o755, 0o640, False)],
)
def test_an_account_reaches_what_the_permissions_on_the_way_allow(
    state_dir: Path, folder: int, file: int, *, can: bool
) -> None:
    stranger = Account(name="stranger", uid=os.geteuid() + 1, gid=os.getegid() + 1)
    state_dir.mkdir()
    (state_dir / "file").touch()
    (state_dir / "file").chmod(file)
    state_dir.chmod(folder)
    assert stranger.can(state_dir / "file", os.R_OK) is can
    assert not stranger.can(state_dir / "no such file", os.R_OK)


def test_an_owner_and_a_group_have_permissions_of_their_own(state_dir: Path) -> None:
    state_dir.mkdir()
    state_dir.chmod(0o750)
    owner = Account(name="owner", uid=os.geteuid(), gid=os.getegid() + 1)
    member = Account(name="member", uid=os.geteuid() + 1, gid=os.getegid())
    assert owner.can(state_dir, os.R_OK | os.W_OK)
    assert member.can(state_dir, os.R_OK)
    assert not member.can(state_dir, os.W_OK)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[[Path], SocketPlace]]:
    """Make a `SocketPlace`; what it puts into /tmp is removed afterwards."""
    pointer = tmp_path / "server.sockets"

    yield lambda home: SocketPlace(home, pointer=pointer)
    if pointer.is_symlink() and pointer.readlink().is_relative_to("/tmp/"):
        pointer.readlink().rmdir()


def test_a_socket_is_beside_its_data_when_the_path_is_short(
    place: Callable[[Path], SocketPlace],
) -> None:
    assert place(Path("/srv/short")).find() == Path("/srv/short")
    assert place(Path("/srv/short")).make() == Path("/srv/short")


@pytest.mark.parametrize("home", ["/srv/" + "n" * 90, "/srv/a,b", "/srv/a b", "/srv/ü"])
def test_a_path_no_socket_can_have_is_replaced_by_a_short_private_one(
    place: Callable[[Path], SocketPlace], home: str
) -> None:
    first = place(Path(home))
    assert first.find() is None
    made = first.make()
    assert mode(made) == 0o700
    assert len(os.fsencode(made / ".s.PGSQL.5432")) <= LONGEST_PATH_BYTES
    assert first.find() == first.make() == place(Path(home)).find() == made


@pytest.mark.parametrize("spoil", ["open", "link", "gone", "file"])
def test_a_short_directory_somebody_could_have_planted_is_not_used(
    place: Callable[[Path], SocketPlace], tmp_path: Path, spoil: str
) -> None:
    planted = tmp_path / "planted"
    if spoil == "open":
        planted.mkdir()
        planted.chmod(0o755)
    elif spoil == "link":
        planted.symlink_to(tmp_path)
    elif spoil == "file":
        planted.touch(mode=0o700)
    (tmp_path / "server.sockets").symlink_to(planted)
    sockets = place(Path("/srv/" + "n" * 90))
    assert sockets.find() is None
    assert sockets.make() != planted
