"""Which directory `monitor up` takes for its data, and that nothing which was there before is changed."""

from __future__ import annotations

import pwd
import stat
import tempfile
from pathlib import Path

import pytest

from monitor.adapters.embedded.folders import EmbeddedError, is_passable, past_closed_folders, take
from monitor.adapters.local_keys import load_or_create_keys, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def account(uid: int, gid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd(("account", "x", uid, gid, "", "/nonexistent", "/bin/false"))


def refusal(folder: Path) -> str:
    with pytest.raises(EmbeddedError) as refused:
        take(folder)
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_a_new_directory_is_made_closed_to_others(tmp_path: Path) -> None:
    take(folder := tmp_path / "above" / "data")
    assert not mode(folder) & 0o066
    assert [path.name for path in tmp_path.iterdir()] == ["above"]


@pytest.mark.parametrize("closed", [0o700, 0o750, 0o755])
def test_no_directory_that_was_there_is_opened_or_closed(tmp_path: Path, closed: int) -> None:
    (empty := tmp_path / "empty").mkdir()
    for path in (tmp_path, empty):
        path.chmod(closed)
    take(empty)
    take(empty / "data")
    assert (mode(tmp_path), mode(empty)) == (closed, closed)


@pytest.mark.parametrize("name", ["photo.jpg", ".bashrc", "postgres.conf", "data"])
def test_a_directory_that_holds_other_things_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    text = refusal(tmp_path)
    assert text.startswith(f"{tmp_path} cannot be the data directory, since it holds other files; ")
    assert "--data-dir" in text
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_home_directory_and_the_root_are_refused_with_a_directory_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"--data-dir {tmp_path}/monitor-data" in refusal(tmp_path)
    (tmp_path / "letter.txt").touch()
    assert "home directory" in refusal(tmp_path)
    assert "--data-dir /monitor-data" in refusal(Path("/"))
    assert "home directory" in refusal(Path(pwd.getpwuid(0).pw_dir))


def test_the_directory_of_an_earlier_start_is_taken_whatever_else_it_holds(tmp_path: Path) -> None:
    load_or_create_keys(tmp_path)
    (tmp_path / "notes.txt").touch()
    take(tmp_path)


@pytest.mark.parametrize(
    "names", [["lock"], ["lock", "postgres.new"], ["lock", "postgres", "postgres.log", ".keys.json.x1"]]
)
def test_the_directory_of_a_first_start_that_was_ended_is_taken(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    take(tmp_path)


def test_an_empty_file_system_is_taken(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    take(tmp_path)


@pytest.mark.parametrize(("bits", "passing"), [(0o700, "own"), (0o710, "own group"), (0o711, "own group other")])
def test_a_folder_is_passed_by_its_owner_its_group_and_others_as_its_mode_says(bits: int, passing: str) -> None:
    # Not tmp_path, which is closed itself.
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        (folder := Path(name)).chmod(bits)
        found = folder.stat()
        accounts = {
            "own": account(found.st_uid, 4711),
            "group": account(4711, found.st_gid),
            "other": account(4711, 4711),
        }
        assert [who for who, user in accounts.items() if is_passable(folder / "file", user)] == passing.split()


def test_without_a_way_past_closed_folders_there_is_no_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert past_closed_folders() == []


def test_a_file_that_was_open_to_others_is_private_once_written_again(tmp_path: Path) -> None:
    (path := tmp_path / "database-url").write_text("before")
    path.chmod(0o644)
    write_private(path, b"after")
    assert (path.read_text(), mode(path)) == ("after", 0o600)
    assert list(tmp_path.iterdir()) == [path]
