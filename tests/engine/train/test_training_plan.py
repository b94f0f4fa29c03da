"""--dry-run, validation that changes nothing, less memory with the same numbers, and a disk that is full."""

import json
import resource
import shutil

import pytest
import torch
from runs import KINDS, config_for, events_of, log_of, newest

from ldmcli.data.layouts import load_captioned
from ldmcli.errors import LdmError
from ldmcli.records.training import RunPlan, TrainStep


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_says_what_is_needed_and_leaves_nothing(kind, coco, model, tmp_path):
    plan = list(events_of(config_for(kind, coco, model, tmp_path / "run", dry_run=True, max_steps=None, epochs=10)))[-1]
    assert isinstance(plan, RunPlan)
    assert (plan.pictures, plan.bad, plan.problems, plan.steps_per_epoch, plan.steps) == (24, 0, (), 2, 28)
    assert plan.parameters > 10_000 and plan.seconds_per_step > 0 and plan.eta_s > 28 * plan.seconds_per_step
    assert 0 < plan.disk_bytes < plan.disk_free_bytes and plan.peak_rss_bytes > 2**20
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{}, {"no_cache": True, "cache": None}])
def test_a_dry_run_counts_every_unusable_picture_that_it_tried(coco, model, tmp_path, options):
    damaged = shutil.copytree(coco, tmp_path / "damaged")
    for image in load_captioned(damaged).images[:7]:
        image.path.write_bytes(b"no picture")
    plan = list(events_of(config_for("vae", damaged, model, tmp_path / "run", dry_run=True, max_bad=7, **options)))[-1]
    assert isinstance(plan, RunPlan) and plan.bad == 7


def test_a_dry_run_is_printed_and_is_json(ldm, coco, tmp_path):
    options = ["train-vae", "--data", coco, "-o", tmp_path / "run", "--size", 32, "--channels", "8,16", "--batch-size", 8, "--dry-run"]
    code, out, _ = ldm(*options, "--device", "cpu")
    assert code == 0 and "24 pictures" in out and "seconds per step" in out
    code, out, _ = ldm(*options, "--device", "cpu", "--json", "-q")
    assert code == 0 and json.loads(out)["pictures"] == 24


def test_validation_disturbs_nothing_and_tells_the_quarters(coco, model, tmp_path):
    for name, every in (("often", 1), ("never", 1000)):
        list(events_of(config_for("unet", coco, model, tmp_path / name, max_steps=4, val_every=every)))
    often, never = (newest(tmp_path / name).tensors("network") for name in ("often", "never"))
    assert all(torch.equal(often[key], never[key]) for key in often)
    row = log_of(tmp_path / "often")[0]
    quarters = [row[f"val_loss_q{number}"] for number in range(1, 5)]
    assert sum(quarters) / 4 == pytest.approx(row["val_loss"], rel=1e-5)
    assert row["val_variance_only"] == 1.0


def test_gradient_checkpointing_ends_at_the_same_weights(coco, model, tmp_path):
    for name, on in (("kept", False), ("again", True)):
        list(events_of(config_for("unet", coco, model, tmp_path / name, max_steps=2, gradient_checkpointing=on)))
    kept, again = (newest(tmp_path / name).tensors("network") for name in ("kept", "again"))
    assert all(torch.equal(kept[key], again[key]) for key in kept)


def test_a_checkpoint_that_finds_no_room_leaves_the_one_before_it(coco, model, tmp_path):
    output = tmp_path / "run"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(LdmError, match="step 8 could not be written") as caught:
        try:
            for event in events_of(config_for("unet", coco, model, output, save_every=4)):
                if isinstance(event, TrainStep) and event.step == 7:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # room for the log, not for weights
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in caught.value.message  # what EFBIG is called; a full disk is "No space left on device"
    assert "MB are needed and" in caught.value.hint and "step 4 is whole" in caught.value.hint and "--resume auto" in caught.value.hint
    assert newest(output).step == 4 and sorted(path.name for path in (output / "checkpoints").iterdir()) == ["step-000004"]
