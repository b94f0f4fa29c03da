"""The one writer of files that a user keeps."""

import ast
import errno
import fcntl
import os
import resource
import signal
from pathlib import Path

import pytest
from forks import fork

import ldmcli
from ldmcli.errors import LdmError
from ldmcli.reports.csv_cells import safe_cell
from ldmcli.runtime.files import copy_file, lock_alone, open_lock, replace_file, replacing, write_file


def test_a_file_is_written_with_its_folder_and_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "results.json"
    for body, expected in (("first, \u00e9", b"first, \xc3\xa9"), (b"second", b"second")):
        assert write_file(path, body) == path
        assert path.read_bytes() == expected and os.listdir(path.parent) == [path.name]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "results.csv").symlink_to(tmp_path / "thesis.txt")
    write_file(tmp_path / "results.csv", "theirs")
    assert (tmp_path / "thesis.txt").read_text() == "mine" and (tmp_path / "results.csv").read_text() == "theirs"
    assert not (tmp_path / "results.csv").is_symlink()


def test_what_something_else_writes_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "model" / "weights.bin"
    with replacing(path) as temporary:
        temporary.write_bytes(b"first")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_bytes(b"sec")
        raise ZeroDivisionError
    copy_file(path, tmp_path / "model" / "copy.bin")
    assert path.read_bytes() == b"first" and sorted(os.listdir(path.parent)) == ["copy.bin", "weights.bin"]


def test_a_lock_is_not_opened_through_a_link(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / ".lock").symlink_to("thesis.txt")
    with pytest.raises(OSError):
        open_lock(tmp_path / ".lock")
    open_lock(tmp_path / ".other").close()
    assert (tmp_path / "thesis.txt").read_text() == "mine" and (tmp_path / ".other").is_file()


def test_a_name_that_is_no_utf8_is_escaped(tmp_path):
    assert write_file(tmp_path / "a.csv", "bad\udcff.png").read_bytes() == b"bad\\udcff.png"


def test_a_full_disk_leaves_the_old_file_and_is_told_in_a_sentence(tmp_path):
    path = tmp_path / "chart.png"
    path.write_bytes(b"old")

    def full() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        for write, kind in ((write_file, LdmError), (replace_file, OSError)):
            with pytest.raises(kind, match="cannot write .*chart.png: File too large" if kind is LdmError else "File too large"):
                write(path, b"new" * 10_000)
        return 0

    child = fork(full, tmp_path.parent / "talk")
    assert child.wait() == 0, child.said()
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]


def test_a_kill_while_writing_leaves_the_old_file_or_the_new_one(tmp_path):
    path, bodies = tmp_path / "report.html", {bytes([48 + i]) * 2_000_000 for i in range(2)}
    path.write_bytes(sorted(bodies)[0])

    def write_for_ever() -> int:
        while True:
            for body in bodies:
                write_file(path, body)

    for number in range(8):
        child = fork(write_for_ever, tmp_path.parent / f"talk-{number}")
        child.until(lambda: any(tmp_path.glob(".ldm-*")))
        child.kill()
        assert path.read_bytes() in bodies


@pytest.mark.parametrize(
    ("value", "cell"), [("=1+1", "'=1+1"), ("@dog", "'@dog"), ("-5 dogs", "'-5 dogs"), (-0.5, -0.5), ("a dog", "a dog")]
)
def test_no_cell_begins_a_formula(value, cell):
    assert safe_cell(value) == cell


ELSEWHERE = {
    "runtime/files.py",
    "runtime/memory.py",  # /proc
    "runtime/processes.py",
    "outputs/manifest.py",  # appended to
    "outputs/remote_folder.py",  # a list of what was sent, appended to
    "runtime/remote.py",  # a copy piece by piece, under a name that its caller gives away when it is whole
    "data/cache_entry.py",  # caches have their own mark of what is whole
    "data/locks.py",
    "data/npy_rows.py",
    "networks/export_cache.py",  # a folder, renamed when it is whole
    "training/checkpoints.py",  # a folder of its own, renamed when it is whole
    "engine/train/run_log.py",  # appended to
}
"""Who may open files for writing besides the one writer, and why."""


SAVES = {"save_file", "savefig", "copyfile", "copytree"}
"""Of libraries; what they write goes into a buffer, or under a name that `replacing` gave."""


def writes(node: ast.AST) -> bool:
    """Whether a call writes a file: write_text, write_bytes, one of SAVES, or open with a mode of writing."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    modes = [word.value for word in (*node.args, *(each.value for each in node.keywords)) if isinstance(word, ast.Constant)]
    opens = name == "open" and any(isinstance(mode, str) and len(mode) <= 3 and set(mode) & set("wax") for mode in modes)
    elsewhere = name in SAVES and not any(isinstance(word, ast.Name) and word.id in ("temporary", "buffer") for word in node.args)
    return name in ("write_text", "write_bytes") or opens or elsewhere


def test_nothing_else_writes_what_a_user_keeps():
    root = Path(ldmcli.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if any(map(writes, ast.walk(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found <= ELSEWHERE and "outputs/manifest.py" in found


def test_of_two_that_write_one_name_without_overwriting_one_is_told(tmp_path):
    path = tmp_path / "scores.csv"
    assert write_file(path, "mine", overwrite=False) == path
    with pytest.raises(LdmError, match="scores.csv: another process wrote it meanwhile; nothing was replaced"):
        write_file(path, "theirs", overwrite=False)
    assert path.read_text() == "mine" and os.listdir(tmp_path) == [path.name]


def test_a_lock_is_for_one_and_a_disk_without_locks_stops_nobody(tmp_path, monkeypatch):
    with open_lock(tmp_path / ".lock") as first, open_lock(tmp_path / ".lock") as second:
        lock_alone(first)
        with pytest.raises(BlockingIOError):
            lock_alone(second)

        def none_here(file, how):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", none_here)
        lock_alone(second)
