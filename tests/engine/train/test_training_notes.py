"""What a training run says where it was once silent: captions that are cut, rates that change, parts that a launcher asks for."""

import math
import shutil

import pytest
from runs import STILL, config_for, events_of, log_of, stop_after
from transformers import CLIPTokenizer

from ldmcli.engine.train.accelerator import LAUNCHERS_PARTS, LAUNCHERS_PRECISION, make_accelerator
from ldmcli.records.notes import Note
from ldmcli.records.training import TrainStep


def texts(events, warning=None):
    return [event.text for event in events if isinstance(event, Note) and warning in (None, event.warning)]


def test_captions_that_the_window_cuts_are_counted_and_the_longest_is_told(wide, model, tmp_path):
    events = list(events_of(config_for("unet", wide, model, tmp_path, **{**STILL, "batch_size": 4})))
    tokenizer = CLIPTokenizer.from_pretrained(model / "tokenizer")
    lengths = {path.read_text(): len(tokenizer(path.read_text().strip()).input_ids) for path in wide.glob("*.txt")}
    longest = max(lengths, key=lengths.get)
    (said,) = [text for text in texts(events, warning=True) if "captions are longer" in text]
    cut = sum(length > 24 for length in lengths.values())
    assert cut == 2 and said.startswith(f"{cut} of 12 different captions are longer than the 24 tokens")
    assert f"The longest has {lengths[longest]}: '{longest[:40]}" in said


def test_nothing_is_said_where_every_caption_fits(coco, model, tmp_path):
    assert not any("captions are longer" in text for text in texts(events_of(config_for("unet", coco, model, tmp_path, **STILL))))


RATES = {
    "cosine": ({"lr_schedule": "cosine"}, lambda done: 0.5 * (1 + math.cos(math.pi * done))),
    "linear": ({"lr_schedule": "linear"}, lambda done: 1 - done),
    "constant": ({"lr_schedule": "constant"}, None),
}


@pytest.fixture(scope="module", params=RATES)
def stopped(request, coco, model, tmp_path_factory):
    """(options, factor by the share that is done, folder of a run stopped at 5 of 12 steps)."""
    options, factor = RATES[request.param]
    options = {"warmup": 2, "lr": 1e-3, **options}
    output = tmp_path_factory.mktemp("stopped") / "run"
    stop_after(config_for("vae", coco, model, output, max_steps=12, **options), 5)
    return options, factor, output


@pytest.mark.parametrize("change", [{"max_steps": 20}, {"max_steps": None, "epochs": 3}])
def test_a_learning_rate_that_another_length_changes_is_told_with_both(stopped, change, coco, model, tmp_path):
    """3 epochs of 22 pictures in batches of 8 are 8 steps."""
    options, factor, output = stopped
    run = shutil.copytree(output, tmp_path / "run")
    events = events_of(config_for("vae", coco, model, run, resume="auto", **options, **change))
    said = []
    for event in events:  # until the first step
        if isinstance(event, TrainStep):
            break
        said.append(event)
    events.close()
    notes = [text for text in texts(said, warning=True) if "--lr-schedule" in text]
    if factor is None:
        assert notes == []
        return
    end = change["max_steps"] or 8
    now, then = (1e-3 * factor((5 - 2) / (steps - 2)) for steps in (end, 12))
    (note,) = notes
    assert f"ended at step 12 and now ends at {end}" in note
    assert f"of step 6 is {now:.4g}, and would have been {then:.4g}" in note and event.lr == pytest.approx(now)


def test_what_a_launcher_says_of_parts_does_not_divide_the_loss_again(coco, model, tmp_path, monkeypatch):
    options = {"max_steps": 2, "batch_size": 4, "grad_accum": 2, "max_grad_norm": 0.0}
    list(events_of(config_for("vae", coco, model, tmp_path / "plain", **options)))
    monkeypatch.setenv(LAUNCHERS_PARTS, "2")
    silent = texts(events_of(config_for("vae", coco, model, tmp_path / "same", **options)))
    assert log_of(tmp_path / "plain") == log_of(tmp_path / "same") and not any(LAUNCHERS_PARTS in text for text in silent)
    monkeypatch.setenv(LAUNCHERS_PARTS, "4")
    spoken = texts(events_of(config_for("vae", coco, model, tmp_path / "other", **options)))
    assert log_of(tmp_path / "plain") == log_of(tmp_path / "other")
    assert sum(f"{LAUNCHERS_PARTS}=4 is not used: see --grad-accum" in text for text in spoken) == 1


@pytest.mark.parametrize(("asked", "named"), [("bf16", True), ("no", False)])
def test_a_precision_that_a_launcher_asks_for_in_vain_is_named(asked, named, coco, tmp_path, monkeypatch):
    monkeypatch.setenv(LAUNCHERS_PRECISION, asked)
    config = config_for("vae", coco, None, tmp_path / "run", mixed_precision="no")
    _, note = make_accelerator(config)
    assert (f"{LAUNCHERS_PRECISION}={asked} is not used: see --mixed-precision" in note.text) is named
