"""Files in places that others can write to: nobody's trap is stepped into, and nobody else reads along."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from redpajama_data.download.parts import Part
from redpajama_data.errors import MissingModel, StorageError
from redpajama_data.io import lock, storage, writing
from redpajama_data.io.private import make_private, private_folder, user_cache
from redpajama_data.models import registry


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "RPJ_CACHE"):
        monkeypatch.delenv(name, raising=False)


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_a_folder_of_this_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = private_folder("hosts")
    assert folder == str(tmp_path / "tmp" / f"rpj-hosts-{os.getuid()}")
    assert mode(folder) == 0o700
    assert private_folder("hosts") == folder
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    assert private_folder("hosts") == str(tmp_path / "run/rpj-hosts")


@pytest.mark.parametrize("trap", ["link", "file", "open to others", "of somebody else", "link that leads nowhere"])
def test_what_somebody_else_put_there_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str) -> None:
    place, victim = tmp_path / "tmp" / f"rpj-hosts-{os.getuid()}", tmp_path / "victim"
    if trap == "link":
        victim.mkdir(0o700)
        place.symlink_to(victim)
    elif trap == "link that leads nowhere":
        place.symlink_to(victim)
    elif trap == "file":
        place.touch()
    else:
        place.mkdir(0o700)
    if trap == "open to others":
        place.chmod(0o711)
    if trap == "of somebody else":
        look = os.lstat

        def lstat(path: Any) -> os.stat_result:
            fields = list(look(path))
            fields[4] += path == str(place)  # its owner
            return os.stat_result(fields)

        monkeypatch.setattr(os, "lstat", lstat)
    folder = private_folder("hosts")
    assert folder == str(tmp_path / "home/.cache/rpj/hosts")
    assert not victim.exists() or not list(victim.iterdir())


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nobody(_: int) -> None:
        raise KeyError("no such user")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert user_cache() is None
    with pytest.raises(MissingModel, match=r"^this user has no home.*Set RPJ_CACHE"):
        registry.cached_path("lid.176.ftz")
    monkeypatch.setenv("RPJ_CACHE", str(tmp_path / "models"))
    with pytest.raises(MissingModel, match=r"^lid\.176\.ftz is absent"):
        registry.cached_path("lid.176.ftz")
    (tmp_path / "tmp" / f"rpj-hosts-{os.getuid()}").touch()
    assert private_folder("hosts") is None


def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file/home"))
    monkeypatch.setenv("RPJ_OFFLINE", "")
    assert not make_private(str(tmp_path / "file/home/.cache/rpj"))
    with pytest.raises(MissingModel, match=r"the cache of models, .*cannot be written.*Set RPJ_CACHE"):
        registry.fetch("lid.176.bin")


def test_the_users_cache_is_made_for_the_user_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def gone(*_: object, **__: object) -> str:
        raise registry.SourceError("gone")

    monkeypatch.setattr(registry, "fetch_file", gone)
    with pytest.raises(MissingModel):
        registry.fetch("lid.176.ftz")
    assert mode(tmp_path / "home/.cache/rpj") == 0o700
    monkeypatch.setenv("RPJ_CACHE", str(tmp_path / "shared"))
    with pytest.raises(MissingModel):
        registry.fetch("lid.176.ftz")
    assert not (tmp_path / "shared").exists()  # who shares one makes it


def test_a_file_on_its_way_is_new_and_follows_no_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(writing.secrets, "token_hex", lambda _: "01234567")
    victim = tmp_path / "victim"
    victim.write_text("dear")
    (tmp_path / f"x.tmp-{os.getpid()}-01234567").symlink_to(victim)
    with pytest.raises(StorageError):
        storage.write_bytes(str(tmp_path / "x"), b"new")
    assert victim.read_text() == "dear"


def test_what_waits_for_its_upload_is_closed_to_others() -> None:
    with storage.whole_file("memory://bucket/x") as file:
        file.write(b"text")
        [name] = os.listdir(tempfile.gettempdir())
        assert mode(os.path.join(tempfile.gettempdir(), name)) == 0o600


def test_a_part_follows_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("dear")
    (tmp_path / "x.part").symlink_to(victim)
    with pytest.raises(StorageError, match=r"x\.part is a link, and a file of rpj's own is needed there"):
        Part(str(tmp_path / "x"), str(tmp_path / "x.json"), {}).open()
    assert victim.read_text() == "dear"


def test_the_lock_of_a_root_follows_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("dear")
    (tmp_path / "root/_run").mkdir(parents=True)
    (tmp_path / "root/_run/lock").symlink_to(victim)
    with pytest.raises(StorageError), lock.hold(str(tmp_path / "root")):
        pass
    assert victim.read_text() == "dear"
