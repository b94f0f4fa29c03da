"""A run whose newest checkpoint or cache something has spoiled goes on from what is whole, says so, and ends with the same bits."""

import json
import shutil

import pytest
from runs import LOOKING, assert_same_bits, config_for, stop_after
from safetensors.torch import load_file, save_file

from ldmcli.training import checkpoints

pytestmark = pytest.mark.early


@pytest.fixture(scope="module")
def begun(straight, coco, model, tmp_path_factory):
    """(kind, folder of a run stopped at 3 of 6 steps with checkpoints of 1, 2 and 3, folder of one that ran through)."""
    kind, whole = straight
    output = tmp_path_factory.mktemp(kind) / "run"
    stop_after(config_for(kind, coco, model, output, force=True, **{**LOOKING, "save_every": 1}, keep=9), 3)
    return kind, output, whole


@pytest.fixture
def run(begun, tmp_path):
    kind, stopped, whole = begun
    return kind, shutil.copytree(stopped, tmp_path / "run"), whole


def facts(**changes):
    """Other facts in the manifest, whose checksums stay right."""

    def spoil(path):
        body = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps({**body, "facts": {**body["facts"], **changes}}))

    return spoil


def settings(**changes):
    return lambda path: facts(settings={**checkpoints.read(path).facts["settings"], **changes})(path)


def without_a_tensor(name, number):
    """One tensor less in a file whose checksum is right again."""

    def spoil(path):
        file = path / f"{name}.safetensors"
        tensors = load_file(file)
        del tensors[sorted(tensors)[number]]
        save_file(tensors, file)
        body = json.loads((path / "manifest.json").read_text())
        body["files"][file.name] = checkpoints._checksum(file)
        (path / "manifest.json").write_text(json.dumps(body))

    return spoil


SPOILED = {
    "no settings": facts(settings=None),
    "settings that are a list": facts(settings=[]),
    "no state": facts(state=None),
    "processes that are text": facts(processes="one"),
    "a batch size that is text": settings(batch_size="eight"),
    "steps below one": settings(max_steps=-6),
    "nested deep": lambda path: (path / "manifest.json").write_text("[" * 100_000),
    "a network that lacks a tensor": without_a_tensor("network", 3),
    "an average that lacks a tensor": without_a_tensor("ema", 3),
    "an optimizer that lacks a tensor": without_a_tensor("optimizer", 3),
}


@pytest.mark.parametrize("what", SPOILED)
def test_the_one_before_a_damaged_checkpoint_is_gone_on_from(what, run, ldm):
    kind, moved, whole = run
    if kind == "unet" and "that" in what and "lacks" not in what:
        pytest.skip("the same reading of the same file")
    SPOILED[what](moved / "checkpoints" / "step-000003")
    code, _, err = ldm(f"train-{kind}", "--resume", moved)
    assert code == 0 and "resumed step-000002" in err and "Traceback" not in err, err
    assert any(f"step-000003 is {word}" in err for word in ("damaged: ", "not a complete checkpoint")), err
    assert_same_bits(whole, moved, step=6)


def test_where_no_checkpoint_is_whole_nothing_is_begun_anew(run, ldm):
    kind, moved, _ = run
    for path in (moved / "checkpoints").iterdir():
        settings(batch_size="eight")(path)
    before = sorted(path.name for path in (moved / "checkpoints").iterdir())
    for name in (moved, "auto"):
        code, _, err = ldm(f"train-{kind}", "-o", moved, "--resume", name)
        assert code == 6 and "has no whole checkpoint" in err and "step-000002" in err and "Traceback" not in err
    assert sorted(path.name for path in (moved / "checkpoints").iterdir()) == before
    code, _, err = ldm(f"train-{kind}", "-o", moved, "--resume", moved / "checkpoints" / "step-000002")
    assert code == 1 and "step-000002 is damaged: its manifest.json says batch_size 'eight'" in err and "--resume RUN/checkpoints" in err


def test_a_damaged_cache_is_made_again_and_that_is_told(run, ldm):
    kind, moved, whole = run
    for entry in (moved / "cache").iterdir():
        (entry / "entry.json").write_text("[]")
    code, _, err = ldm(f"train-{kind}", "--resume", moved)
    assert code == 0 and err.count("is damaged, and made again") == {"vae": 1, "unet": 3}[kind], err
    assert_same_bits(whole, moved, step=6)
