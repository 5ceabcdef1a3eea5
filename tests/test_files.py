"""Files are written completely or not at all, and a lock keeps others out."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from classicnets import files
from classicnets.errors import UserError

WRITES = """
import sys, time
from pathlib import Path
from classicnets import files
with files.replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""
LOCKS = """
import sys, time
from pathlib import Path
from classicnets import files
with files.lock(Path(sys.argv[1]), lambda: ""):
    print("inside", flush=True)
    time.sleep(600)
"""


def killed(script, path, line, before_death=lambda: None):
    """Run a script until it prints a line, then kill it."""
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == f"{line}\n"
            before_death()
        finally:
            process.kill()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "run.json"
    for content in (b"first", b"second"):
        with files.replacing(path) as temporary:
            assert (temporary.parent, temporary.suffix) == (tmp_path, ".json")
            temporary.write_bytes(content)
            assert not path.exists() or path.read_bytes() == b"first"
        assert path.read_bytes() == content
    assert names(tmp_path) == ["run.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_an_error_while_writing_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "model.keras"
    path.write_text("old")

    def fail():
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["model.keras"]


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path):
    others = [".lock", ".hidden", ".notes.txt", "old.0123abcd.json", ".x.0123ABCD"]
    for name in ("status.json", *others):
        (tmp_path / name).write_text("old")
    killed(WRITES, tmp_path / "status.json", "writing")
    (half,) = set(names(tmp_path)) - {"status.json", *others}
    assert (tmp_path / half).read_text() == "half"
    assert (tmp_path / "status.json").read_text() == "old"
    files.remove_half_written(tmp_path.iterdir())
    assert names(tmp_path) == sorted(["status.json", *others])


def test_a_folder_in_the_way_is_refused_and_stays(tmp_path):
    (tmp_path / "page.html" / "inner").mkdir(parents=True)
    with pytest.raises(UserError, match=r"page\.html must be a file, it is a folder"):
        files.write(tmp_path / "page.html", b"new")
    assert names(tmp_path / "page.html") == ["inner"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_the_error_of_a_full_disk_names_the_file(tmp_path):
    path = tmp_path / "big.bin"
    with (
        pytest.raises(OSError, match="No space left") as raised,
        files.replacing(path),
    ):
        Path("/dev/full").write_bytes(b"1")
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
    assert names(tmp_path) == []


def test_a_file_is_readable_by_others_as_any_other_is(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    files.write(tmp_path / "ours", b"")
    modes = {(tmp_path / name).stat().st_mode for name in ("usual", "ours")}
    assert len(modes) == 1


def test_json_holds_numbers_of_numpy_and_null_for_what_is_not_finite(tmp_path):
    content = {"a": np.float32(0.5), "b": [np.nan, np.arange(2)], "文": Path("x")}
    files.write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text("utf-8")
    assert json.loads(text) == {"a": 0.5, "b": [None, [0, 1]], "文": "x"}
    assert "文" in text
    assert text.endswith("}\n")


def test_a_lock_keeps_a_second_process_out_until_the_first_ends(tmp_path):
    def enter():
        with files.lock(tmp_path, lambda: "process 7"):
            pass

    def refused():
        with pytest.raises(UserError, match="twice at a time: process 7 does"):
            enter()

    killed(LOCKS, tmp_path, "inside", refused)
    enter()
    enter()


def test_the_first_free_name_is_taken(tmp_path):
    folders = [files.take_folder(tmp_path / "runs", "mine") for _ in range(3)]
    assert [folder.name for folder in folders] == ["mine", "mine-2", "mine-3"]
    assert all(folder.is_dir() for folder in folders)


def test_a_file_in_the_place_of_the_runs_folder_is_refused(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match=r"must be a folder, .*runs is a file"):
        files.take_folder(tmp_path / "runs", "mine")
