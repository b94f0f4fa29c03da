"""Two processes against one at the same global batch, as the launchers start them.

Two processes go through the very bits of one that accumulates two parts. One batch of both is other arithmetic (sums over 8 pictures
instead of 4 and 4), and Adam makes rounding grow: that is held to 1e-5 on the losses, at the rates of a usual warm-up.
"""

import json
from pathlib import Path

import pytest
import torch
from children import ldm_together
from forks import ended
from launch import by_launcher
from launched import as_launched
from runs import BASE, KINDS, config_for, events_of, log_of, newest, stop_after

from ldmcli.engine.train import unet, unet_run, vae
from ldmcli.errors import UsageError
from ldmcli.records.notes import Note

pytestmark = pytest.mark.early

STEPS = 8  # three epochs; rounding grows with every step, and after twenty not every machine stays within 1e-5
RUN = {**BASE, "max_steps": STEPS, "warmup": 100, "crop": "random", "flip": True, "save_every": STEPS, "val_every": STEPS}
OWN = {"vae": {"perceptual_weight": 0.5, "channels": (8, 16)}, "unet": {"snr_gamma": 5.0, "channels": (32,)}}
TWO_PARTS = {"batch_size": 4, "grad_accum": 2}
LAUNCHERS = {"vae": "torchrun", "unet": "accelerate"}
"""Each says what it would start, and forks begin so; what else is asked of two begins as forks with the variables that launchers set. Slow
tests have two real processes."""


@pytest.fixture(scope="module", autouse=True)
def quick_looks(tmp_path_factory):
    """In this process and its forks. One prompt is quick too."""
    file = tmp_path_factory.mktemp("prompts") / "one.txt"
    file.write_text("a red circle\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(OWN["unet"], "prompts", file)
        patched.setattr(unet_run, "SAMPLE_STEPS", 2)
        patched.setattr(unet_run, "VALIDATED", 16)
        for command in (unet, vae):
            patched.setattr(command, "plot_losses", lambda log, target: None)
        yield


def run_alone(kind, coco, model, output, **changes):
    """In this process."""
    return list(events_of(config_for(kind, coco, model, output, **{**RUN, **OWN[kind], **changes})))


def typed(kind, coco, model, output, **changes):
    """The same as a command line."""
    options = {**RUN, **OWN[kind], "data": coco, "output": output, **changes}
    if kind == "unet":
        options |= {"vae": model, "text_encoder": model}
    words = [f"train-{kind}"]
    for name, value in options.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += ["--" + name.replace("_", "-"), *([] if value is True else [text])]
    return words


def run_in_two(kind, coco, model, output, launcher=None, **changes):
    """The same by two forks with the variables that a launcher would set, or that this one sets. Returns (stdout, stderr) of both."""
    words = typed(kind, coco, model, output, **changes)
    words_of_each, variables = [words] * 2, ()
    if launcher:
        words_of_each, variables = zip(*as_launched(launcher, *words, folder=output.parent), strict=True)
    both = ended(ldm_together(words_of_each, output.parent, variables))
    assert [code for code, *_ in both] == [0, 0], both
    return "".join(out for _, out, _ in both), "".join(err for *_, err in both)


@pytest.fixture(scope="module", params=KINDS)
def alone(request, coco, model, tmp_path_factory):
    """(kind, folder of a run with batches of 8, folder of one that accumulates 4 and 4)."""
    folder = tmp_path_factory.mktemp(request.param)
    run_alone(request.param, coco, model, folder / "whole")
    run_alone(request.param, coco, model, folder / "parts", **TWO_PARTS)
    return request.param, folder / "whole", folder / "parts"


def assert_losses_within_1e_5(one: Path, other: Path):
    """Of every step. What else is logged is not minimised (or hardly so: the KL term has a weight of 1e-6), and drifts further."""
    here, there = log_of(one), log_of(other)
    assert [row["step"] for row in here] == [row["step"] for row in there] == list(range(1, STEPS + 1))
    for a, b in zip(here, there, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5), a["step"]
        assert a == {name: pytest.approx(value, rel=5e-3) for name, value in b.items()}


def assert_same_bits(one: Path, other: Path):
    """Logs, weights, average, optimizer."""
    assert log_of(one) == log_of(other)
    for name in ("network", "ema", "optimizer"):
        here, there = newest(one).tensors(name), newest(other).tensors(name)
        assert here.keys() == there.keys() and all(torch.equal(here[key], there[key]) for key in here), name


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_accumulating_two_parts_equals_one_batch_of_both(alone):
    _, whole, parts = alone
    assert_losses_within_1e_5(whole, parts)


def test_two_processes_equal_one_at_the_same_global_batch(alone, coco, model, tmp_path):
    kind, whole, parts = alone
    output = tmp_path / "two"
    said, talk = run_in_two(kind, coco, model, output, LAUNCHERS[kind], batch_size=4)
    assert said.splitlines() == [f"{output}/model"]  # one of them speaks
    assert talk.count("pictures to train on") == 1 and "2 processes" in talk
    assert_losses_within_1e_5(whole, output)
    assert_same_bits(parts, output)
    assert files(output / "cache") == files(whole / "cache")  # 24 pictures, 8 views: the latents are three batches for two
    assert files(output / "model") == files(parts / "model") and files(output).keys() == files(whole).keys()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_started_by_a_launcher(launcher, coco, model, tmp_path):
    run_alone("vae", coco, model, tmp_path / "parts", **TWO_PARTS)
    done = by_launcher(launcher, *typed("vae", coco, model, tmp_path / "two", batch_size=4))
    assert done.returncode == 0 and done.stdout.splitlines() == [f"{tmp_path}/two/model"], done.stderr
    assert_same_bits(tmp_path / "parts", tmp_path / "two")


def test_accumulating_in_two_processes_equals_one_batch_of_all(alone, coco, model, tmp_path):
    kind, whole, _ = alone
    said, _ = run_in_two(kind, coco, model, tmp_path / "run", batch_size=2, grad_accum=2, json=True)
    assert json.loads(said)["step"] == STEPS
    assert_losses_within_1e_5(whole, tmp_path / "run")


def test_a_run_goes_on_in_another_number_of_processes_at_the_same_global_batch(alone, coco, model, tmp_path):
    kind, whole, _ = alone
    output = tmp_path / "run"
    stop_after(config_for(kind, coco, model, output, **{**RUN, **OWN[kind]}), 4)
    _, talk = run_in_two(kind, coco, model, output, batch_size=4, resume="auto")
    assert "batch_size: 8 then, 4 now; processes: 1 then, 2 now: the same pictures in every step, but other rounding" in talk
    assert_losses_within_1e_5(whole, output)


def test_another_global_batch_is_another_run(alone, coco, model):
    kind, whole, _ = alone
    with pytest.raises(UsageError, match="grad_accum: 1 then, 2 now"):
        run_alone(kind, coco, model, whole, grad_accum=2, resume="auto")
    events = run_alone(kind, coco, model, whole, **TWO_PARTS, resume="auto")
    assert any(isinstance(event, Note) and "other rounding" in event.text for event in events)


def test_a_discriminator_balances_over_both_processes(coco, model, tmp_path):
    """Its weight comes from the gradients of the global batch, so that here accumulated parts are not the measure."""
    contest = {"size": 16, "adversarial_weight": 0.5, "adversarial_start": 1, "max_steps": 4, "val_every": 4, "save_every": 4}
    run_alone("vae", coco, model, tmp_path / "one", **contest)
    run_in_two("vae", coco, model, tmp_path / "two", batch_size=4, **contest)
    one, two = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    assert len(one) == len(two) == 4 and "discriminator" in one[1] and "discriminator" not in one[0]
    for a, b in zip(one, two, strict=True):
        assert a == {name: pytest.approx(value, rel=1e-3, abs=1e-5) for name, value in b.items()}
    assert newest(tmp_path / "two").names == {"network", "optimizer", "ema", "discriminator", "discriminator_optimizer"}


@pytest.mark.parametrize("what", [{"lora_rank": 4}, {"train_text_encoder": True}], ids=["lora", "text tower"])
def test_fine_tuning_in_two_processes_equals_one(what, coco, model, tmp_path):
    """The adapters, or the tower beside the U-Net, hear the gradients of both processes."""
    tuned = {**what, "init": model, "max_steps": 4, "save_every": 4, "val_every": 4}
    run_alone("unet", coco, model, tmp_path / "parts", **TWO_PARTS, **tuned)
    run_in_two("unet", coco, model, tmp_path / "two", batch_size=4, **tuned)
    assert len(log_of(tmp_path / "two")) == 4
    assert_same_bits(tmp_path / "parts", tmp_path / "two")
    assert files(tmp_path / "two" / "model") == files(tmp_path / "parts" / "model")
