"""Files and folders that somebody else laid out: no link is followed, and all of it can go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fitchain.pod.parties.owner.anchors import LeafFile
from fitchain.pod.values.errors import Unusable
from fitchain.pod.values.files import Usage, open_plain, remove_tree, usage_of
from fitchain.pod.values.job_folder import LEAVES, JobFolder

DEEP = 1_500


def deep(place: Path) -> Path:
    """A folder deeper than a path is long, and than a stack is."""
    here = os.open(".", os.O_RDONLY)
    top = place / "deep"
    top.mkdir()
    try:
        os.chdir(top)
        for _ in range(DEEP):
            os.mkdir("into")
            os.chdir("into")
        Path("last").touch()
    finally:
        os.chdir(here)
        os.close(here)
    return top


PLANTED: dict[str, Callable[[Path, Path], None]] = {
    "a link to a file": lambda at, outside: at.symlink_to(outside / "file"),
    "a link to nothing": lambda at, outside: at.symlink_to(outside / "nowhere"),
    "a link to itself": lambda at, outside: at.symlink_to(at),
    "a pipe with a name": lambda at, outside: os.mkfifo(at),
    "a folder": lambda at, outside: at.mkdir(),
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"words")
    return tmp_path / "outside"


def test_a_file_is_opened_over_folders_alone(tmp_path: Path, outside: Path) -> None:
    with open_plain(tmp_path, "outside/file") as file:
        assert file.read() == b"words"
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path, "outside/nowhere")
    (tmp_path / "link").symlink_to(outside, target_is_directory=True)
    with pytest.raises(Unusable, match="something else lies there"):
        open_plain(tmp_path, "link/file")


@pytest.mark.parametrize("what", PLANTED)
def test_what_lies_in_the_place_of_leaves_is_not_read(tmp_path: Path, outside: Path, what: str) -> None:
    folder = JobFolder(tmp_path / "job").create().make_run()
    PLANTED[what](folder.leaves, outside)
    with pytest.raises(Unusable, match="something else lies there"):
        list(LeafFile(folder).more())
    if what != "a folder":
        with pytest.raises(Unusable, match="something else lies there"):
            folder.make_run()


def test_a_worker_s_folder_that_is_a_link_is_not_written_to(tmp_path: Path, outside: Path) -> None:
    folder = JobFolder(tmp_path / "job").create()
    folder.run.symlink_to(outside, target_is_directory=True)
    with pytest.raises(Unusable, match="something else lies there"):
        folder.make_run()
    with pytest.raises(Unusable):
        open_plain(folder.path, LEAVES)
    assert [path.name for path in outside.iterdir()] == ["file"]


@pytest.mark.parametrize("what", ["a file", "a deep folder"])
def test_what_a_worker_left_in_place_of_its_home_goes(tmp_path: Path, what: str) -> None:
    folder = JobFolder(tmp_path / "job").create()
    folder.run.mkdir()
    if what == "a file":
        folder.worker_scratch.touch()
    else:
        folder.worker_scratch.mkdir()
        (folder.worker_scratch / "a" / "b").mkdir(parents=True)
        (folder.worker_scratch / "a").chmod(0)
    assert list(folder.make_run().worker_scratch.iterdir()) == []


def test_a_tree_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    top = deep(tmp_path)
    with pytest.raises(Unusable, match="something else lies there"):
        usage_of(top)
    remove_tree(top)
    remove_tree(top)
    assert list(tmp_path.iterdir()) == []


def test_removing_follows_no_link(tmp_path: Path, outside: Path) -> None:
    top = tmp_path / "top"
    (top / "in").mkdir(parents=True)
    (top / "in" / "link").symlink_to(outside, target_is_directory=True)
    remove_tree(top)
    (tmp_path / "link").symlink_to(outside, target_is_directory=True)
    remove_tree(tmp_path / "link")
    assert list(tmp_path.iterdir()) == [outside] and (outside / "file").exists()


def test_what_a_folder_takes_is_counted(tmp_path: Path) -> None:
    assert usage_of(tmp_path / "nowhere") == Usage(0, 0)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(bytes(1 << 20))
    usage = usage_of(tmp_path)
    assert usage.files == 3 and 1 << 20 <= usage.size_bytes < (1 << 20) + (1 << 16)
