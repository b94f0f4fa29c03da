"""Which checkpoint a run goes on from, and which are refused."""

import json
import shutil

import pytest

from ldmcli.errors import LdmError
from ldmcli.training import checkpoints


def spoil_manifest(path, **changes):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_newest_is_the_one_with_the_highest_step(folder, tensors):
    checkpoints.save(folder, 1_000_000, tensors, {})  # sorts before step-000010 as text
    found, warnings = checkpoints.newest(folder)
    assert found.step == 1_000_000 and warnings == []


def test_an_empty_or_absent_folder_has_none(tmp_path):
    assert checkpoints.newest(tmp_path) == (None, [])
    assert checkpoints.newest(tmp_path / "absent") == (None, [])


SPOILERS = {
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "half a manifest": lambda path: (path / "manifest.json").write_text('{"format": 1, "st'),
    "a manifest of another kind": lambda path: (path / "manifest.json").write_text("[]"),
    "a manifest with text for a format": lambda path: spoil_manifest(path, format="one"),
    "a manifest with a list of files": lambda path: spoil_manifest(path, files=[]),
    "facts that are a list": lambda path: spoil_manifest(path, facts=[]),
    "a step that is true": lambda path: spoil_manifest(path, step=True),
    "another step": lambda path: spoil_manifest(path, step=29),
    "a step below zero": lambda path: spoil_manifest(path, step=-30),
    "a manifest nested deep": lambda path: (path / "manifest.json").write_text('{"format":' * 100_000),
    "a manifest of nothing": lambda path: (path / "manifest.json").write_bytes(b""),
    "a manifest that is no text": lambda path: (path / "manifest.json").write_bytes(b"\xff\xfe\0"),
    "a file elsewhere": lambda path: spoil_manifest(path, files={"../step-000020/network.safetensors": "0"}),
    "a missing file": lambda path: (path / "network.safetensors").unlink(),
    "a flipped byte": lambda path: flip_a_byte(path / "optimizer.safetensors"),
    "a cut file": lambda path: (path / "network.safetensors").write_bytes((path / "network.safetensors").read_bytes()[:-40]),
    "nothing in it": lambda path: [p.unlink() for p in path.iterdir()],
}


@pytest.mark.parametrize("what", SPOILERS)
def test_a_spoiled_checkpoint_is_passed_over_with_a_warning_that_names_it(folder, what):
    SPOILERS[what](folder / "step-000030")
    found, warnings = checkpoints.newest(folder)
    assert found.step == 20
    assert len(warnings) == 1 and "step-000030" in warnings[0]


@pytest.mark.parametrize("what", SPOILERS)
def test_a_spoiled_checkpoint_that_was_asked_for_is_refused(folder, what):
    SPOILERS[what](folder / "step-000030")
    with pytest.raises(LdmError, match="step-000030") as caught:
        checkpoints.read(folder / "step-000030")
    assert caught.value.exit_code == 1


def test_junk_is_named_in_a_warning_and_never_chosen(folder):
    (folder / "step-99").mkdir()
    (folder / "step-abc").mkdir()
    shutil.copytree(folder / "step-000030", folder / "step-000031x")
    (folder / "step-000050").write_text("a file")
    (folder / ".step-000060.123.tmp").mkdir()
    found, warnings = checkpoints.newest(folder)
    assert found.step == 30
    for name in ("step-99", "step-abc", "step-000031x", "step-000050"):
        assert any(name in text for text in warnings), name


def test_a_checkpoint_of_a_newer_version_is_refused_and_nothing_older_taken_instead(folder):
    spoil_manifest(folder / "step-000030", format=checkpoints.FORMAT + 1)
    for ask in (lambda: checkpoints.read(folder / "step-000030"), lambda: checkpoints.newest(folder)):
        with pytest.raises(LdmError, match="newer version") as caught:
            ask()
        assert caught.value.exit_code == 1
