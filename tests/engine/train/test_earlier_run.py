"""A run that cannot be gone on with is refused before torch, the networks and the pictures are there."""

import json
import shutil
import subprocess
import sys

import pytest
from runs import KINDS, config_for, events_of, stop_after

from ldmcli.data.layouts import load_captioned
from ldmcli.engine.train.earlier_run import refuse_other_run
from ldmcli.errors import UsageError
from ldmcli.training.checkpoints import NewerFormat


@pytest.fixture(scope="module", params=KINDS)
def stopped(request, coco, model, tmp_path_factory):
    """(kind, folder, what it was made with) of a run with a checkpoint of step 1."""
    output = tmp_path_factory.mktemp(request.param) / "run"
    made_with = {"init": str(model)} if request.param == "unet" else {}
    stop_after(config_for(request.param, coco, model, output, **made_with), 1)
    return request.param, output, made_with


@pytest.fixture
def again(stopped, coco, model):
    """A function: the config of a second start."""
    kind, output, made_with = stopped
    return lambda **changes: config_for(kind, coco, model, changes.pop("output", output), resume="auto", **{**made_with, **changes})


def test_the_same_settings_pass_and_what_may_change(again, coco):
    for changes in ({}, {"max_steps": 9}, {"save_every": 1}, {"batch_size": 4, "grad_accum": 2}, {"auto_batch": True}):
        refuse_other_run(again(**changes), load_captioned(coco))


@pytest.mark.parametrize(("changes", "said"), [({"lr": 0.5}, "lr: 0.001 then, 0.5 now"), ({"batch_size": 4}, "batch_size: 8 then, 4 now")])
def test_other_settings_are_refused_with_the_words_of_the_full_check(again, changes, said, coco):
    with pytest.raises(UsageError, match=said) as early:
        refuse_other_run(again(**changes), load_captioned(coco))
    with pytest.raises(UsageError) as full:
        list(events_of(again(**changes)))
    assert str(early.value) == str(full.value)


def test_other_data_are_refused(again, coco, tmp_path):
    other = load_captioned(shutil.copytree(coco, tmp_path / "coco"))
    other.images[0].path.write_bytes(other.images[0].path.read_bytes() + b"!")
    with pytest.raises(UsageError, match="data_fingerprint"):
        refuse_other_run(again(), other)


@pytest.mark.parametrize("changes", [{"force": True}, {"dry_run": True}])
def test_force_and_a_plan_are_not_held_up(again, changes, coco):
    refuse_other_run(again(lr=0.5, **changes), load_captioned(coco))


def test_a_newer_version_is_named_and_a_damaged_manifest_left_to_the_full_check(stopped, again, coco, tmp_path):
    output = shutil.copytree(stopped[1], tmp_path / "run")
    manifest = output / "checkpoints" / "step-000001" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(NewerFormat):
        refuse_other_run(again(output=output), load_captioned(coco))
    manifest.write_text("{")
    refuse_other_run(again(output=output, lr=0.5), load_captioned(coco))


def test_none_of_it_imports_torch():
    modules = ("earlier_run", "listing", "picture_counts", "run_lock")
    asked = f"import sys, {', '.join(f'ldmcli.engine.train.{name}' for name in modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], timeout=60, check=False).returncode == 0
