"""A run whose newest checkpoint or cache something has spoiled goes on from what is whole, says so, and ends with the same bits."""

import json
import shutil

import pytest
from runs import KINDS, assert_same_bits, config_for, events_of, stop_after
from safetensors.torch import load_file, save_file

from ldmcli.training import checkpoints

pytestmark = pytest.mark.early


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


SPOILED = [
    (facts(settings=None), "facts.settings = None"),
    (facts(settings=[]), "facts.settings = []"),
    (facts(state=None), "lacks the state of the average"),
    (facts(processes="one"), "facts.processes = 'one'"),
    (settings(batch_size="eight"), "says batch_size 'eight'"),
    (settings(max_steps=-6), "says max_steps -6"),
    (lambda path: (path / "manifest.json").write_text("[" * 100_000), "nested too deeply"),
    (without_a_tensor("network", 3), "its network is another one"),
    (without_a_tensor("ema", 3), "its average is not one of its network"),
    (without_a_tensor("optimizer", 3), "optimizer.safetensors has "),
]
"""What is done to a checkpoint, and what is said of it, as of one that is damaged or not complete."""

STEPS = len(SPOILED) + 2
RHYTHM = {"max_steps": STEPS, "val_every": STEPS, "sample_every": STEPS, "keep": STEPS}


@pytest.fixture(scope="module", params=KINDS)
def begun(request, coco, model, tmp_path_factory):
    """(kind, folder of a run stopped one step before its end with a checkpoint of every step, folder of one that ran through)."""
    folder = tmp_path_factory.mktemp(request.param)
    list(events_of(config_for(request.param, coco, model, folder / "whole", **RHYTHM)))
    stop_after(config_for(request.param, coco, model, folder / "run", **{**RHYTHM, "save_every": 1}), STEPS - 1)
    return request.param, folder / "run", folder / "whole"


@pytest.fixture
def run(begun, tmp_path):
    kind, stopped, whole = begun
    return kind, shutil.copytree(stopped, tmp_path / "run"), whole


def test_damaged_checkpoints_are_told_and_the_one_before_them_is_gone_on_from(run, ldm):
    """All but the first are damaged, each in its own way."""
    kind, moved, whole = run
    said = {}
    for step, (spoil, why) in enumerate(SPOILED, 2):
        said[f"step-{step:06d}"] = why
        spoil(moved / "checkpoints" / f"step-{step:06d}")
    code, _, err = ldm(f"train-{kind}", "--resume", moved, "--save-every", "100")
    assert code == 0 and "resumed step-000001" in err and "Traceback" not in err, err
    for name, why in said.items():
        (told,) = [line for line in err.splitlines() if f"{name} is " in line]
        assert why in told and ("is damaged: " in told or "is not a complete checkpoint" in told), told
    assert_same_bits(whole, moved, step=STEPS)


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
    assert_same_bits(whole, moved, step=STEPS)
