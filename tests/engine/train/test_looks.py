"""How a run looks at itself: in batches, after it has saved, on the centre of pictures; and what it owes is made up for."""

import json

import pytest
import torch
from PIL import Image
from runs import KINDS, LOOKING, STILL, assert_same_bits, config_for, events_of, log_of, saved

from ldmcli.engine.train import unet as train_unet
from ldmcli.engine.train import unet_run, vae_run
from ldmcli.engine.train import vae as train_vae
from ldmcli.records.notes import Saved
from ldmcli.records.training import RunPlan, TrainStep

pytestmark = pytest.mark.early


def caught_run(kind, monkeypatch, config):
    """The run from the inside, and its state, once it has ended."""
    runs, states = [], []
    module, name = (train_vae, "VAERun") if kind == "vae" else (train_unet, "UNetRun")
    original, made = getattr(module, name), train_vae.make_state

    class Caught(original):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            runs.append(self)

    def caught_state(*arguments):
        states.append(made(*arguments))
        return states[-1]

    monkeypatch.setattr(module, name, Caught)
    monkeypatch.setattr(module, "make_state", caught_state)
    list(events_of(config))
    return runs[-1], states[-1][0]


@pytest.mark.parametrize("kind", KINDS)
def test_figures_in_batches_are_those_of_one_pass_over_all(kind, wide, model, tmp_path, monkeypatch):
    run, state = caught_run(kind, monkeypatch, config_for(kind, wide, model, tmp_path, **{**STILL, "batch_size": 3, "held_out": 0.4}))
    rows = []
    monkeypatch.setattr(unet_run, "VALIDATED", 256)
    if kind == "unet":
        original = unet_run.predict
        monkeypatch.setattr(unet_run, "predict", lambda *given: rows.append(len(given[2].t)) or original(*given))
    else:
        original = vae_run.VAE.encode
        monkeypatch.setattr(vae_run.VAE, "encode", lambda self, pictures: rows.append(len(pictures)) or original(self, pictures))

    def figures(batch_size):
        object.__setattr__(run.config, "batch_size", batch_size)
        run.validated = (-1, {})
        rows.clear()
        found = dict(run.validate(state))
        if kind == "vae":
            mean, found["scale"] = run.measure_latents(state)
            found |= {f"mean {channel}": value for channel, value in enumerate(mean.tolist())}
        return found, max(rows)

    few = 3 if kind == "vae" else 32
    (small, most), (whole, all_at_once) = figures(few), figures(256)
    assert most == few and all_at_once == (256 if kind == "unet" else 7)
    assert small.keys() == whole.keys() and len(small) >= 4
    for name, value in whole.items():
        assert small[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name


def test_samples_are_drawn_two_rows_at_a_time_where_a_step_has_two_pictures(wide, model, tmp_path, monkeypatch):
    run, state = caught_run("unet", monkeypatch, config_for("unet", wide, model, tmp_path, **{**STILL, "batch_size": 2, "held_out": 0.0}))
    rows, original = [], unet_run.Session.denoise
    monkeypatch.setattr(
        unet_run.Session, "denoise", lambda self, context, *a, **b: rows.append(len(context.states)) or original(self, context, *a, **b)
    )
    (sheet,) = run.sample(state)
    assert rows == [2] * 2 and isinstance(sheet, Saved)
    few = Image.open(sheet.path).convert("RGB")
    object.__setattr__(run.config, "batch_size", 64)
    (sheet,) = run.sample(state)
    assert rows[2:] == [4]
    apart = (torch.tensor(list(few.getdata())) - torch.tensor(list(Image.open(sheet.path).convert("RGB").getdata()))).abs().max()
    assert apart <= 1  # the same pictures, but for the rounding of other batches


def test_a_step_is_saved_before_it_is_looked_at(straight_events):
    seen = []
    for event in straight_events[2]:
        if isinstance(event, Saved):
            seen.append(event.what)
        elif isinstance(event, TrainStep):
            seen.append(event.step)
    assert seen == [1, 2, "checkpoint", "model", "samples", 3, 4, 5, "checkpoint", "model", "samples", 6]


@pytest.mark.parametrize("save_every", [3, 100])
def test_a_validation_that_fails_costs_no_step_and_is_made_up_for(straight, save_every, coco, model, tmp_path, monkeypatch):
    kind, reference = straight
    config = config_for(kind, coco, model, tmp_path / "run", **{**LOOKING, "save_every": save_every})
    owner = vae_run.VAERun if kind == "vae" else unet_run.UNetRun

    def fails(*arguments):
        raise RuntimeError("not enough memory: you tried to allocate 63 GiB.")

    with monkeypatch.context() as patched:
        patched.setattr(owner, "_figures", fails)
        with pytest.raises(RuntimeError, match="63 GiB"):
            list(events_of(config))
    assert saved(tmp_path / "run") == [3] and log_of(tmp_path / "run")[-1]["step"] == 2
    list(events_of(config_for(kind, coco, model, tmp_path / "run", **LOOKING, resume="auto")))
    assert_same_bits(reference, tmp_path / "run", step=6)


@pytest.mark.parametrize("at", ["checkpoint", "samples"])
def test_what_a_kill_left_undone_after_a_save_is_done_when_the_run_goes_on(straight, at, coco, model, tmp_path):
    kind, reference = straight
    events = events_of(config_for(kind, coco, model, tmp_path / "run", **LOOKING))
    next(event for event in events if isinstance(event, Saved) and event.what == at)
    events.close()
    assert log_of(tmp_path / "run")[-1]["step"] == 2
    list(events_of(config_for(kind, coco, model, tmp_path / "run", **LOOKING, resume="auto")))
    assert_same_bits(reference, tmp_path / "run", step=6)
    sheets = [sorted((run / "samples").iterdir()) for run in (reference, tmp_path / "run")]
    assert [path.read_bytes() for path in sheets[0]] == [path.read_bytes() for path in sheets[1]]
    assert not (tmp_path / "run" / ".owed.json").exists()


def test_a_dry_run_counts_validations_and_samples_into_its_time(coco, model, tmp_path, monkeypatch):
    monkeypatch.setattr(unet_run, "SAMPLE_STEPS", 40)  # longer than what a validation may lose to a neighbour on the machine
    config = config_for("unet", coco, model, tmp_path, dry_run=True, max_steps=100, val_every=10, sample_every=30)
    plan = list(events_of(config))[-1]
    assert isinstance(plan, RunPlan) and plan.validate_s > 0 and plan.sample_s > 0
    assert plan.eta_s == pytest.approx(plan.prepare_s + 100 * plan.seconds_per_step + 10 * plan.validate_s + 4 * plan.sample_s)


@pytest.mark.parametrize("no_cache", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_random_crops_are_validated_and_measured_by_the_centre(kind, no_cache, wide, model, tmp_path):
    """As with --crop center, whose weights they share where nothing is learned."""
    figures = {}
    for crop in ("center", "random"):
        config = config_for(kind, wide, model, tmp_path / crop, **{**STILL, "batch_size": 4}, crop=crop, flip=True, no_cache=no_cache)
        figures[crop] = list(events_of(config))[-1].figures
        sheet = tmp_path / crop / "samples" / "step-000001.png"
        figures[crop]["sheet"] = sum(sheet.read_bytes()) if kind == "vae" else 0
    assert len(figures["center"]) > 4
    for name, value in figures["center"].items():
        assert figures["random"][name] == pytest.approx(value, rel=1e-5), name
    records = [json.loads((tmp_path / crop / "model" / kind / "config.json").read_text()).get("scaling_factor", 0) for crop in figures]
    assert records[0] == pytest.approx(records[1], rel=1e-6)
