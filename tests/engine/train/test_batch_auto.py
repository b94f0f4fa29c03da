"""--batch-size auto: the largest power of two that fits, once and for all."""

import tomllib
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from runs import KINDS, config_for, events_of, log_of
from torch import nn

from ldmcli.commands.settings import Invocation
from ldmcli.commands.training import resolve_config
from ldmcli.config.shared import ReportOptions
from ldmcli.config.training import TrainVAEConfig
from ldmcli.config.training_groups import AUTO_BATCH
from ldmcli.engine.train import batch_size as fit_batch
from ldmcli.engine.train.accelerator import make_accelerator
from ldmcli.engine.train.batch_size import Trial, fit_by_counting, fit_by_trying
from ldmcli.errors import OutOfMemory, UsageError
from ldmcli.records.notes import Note
from ldmcli.records.training import RunPlan
from ldmcli.runtime.live_bytes import peak_bytes

SIZES = [32, 16, 8, 4, 2, 1]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Linear(3, 5)


def squares(config, network):
    """Autograd keeps the 3 inputs and the 5 outputs of every row: 32 bytes."""
    return Trial(lambda step, part: {"loss": network(torch.ones(config.batch_size, 3)).square().mean()})


@pytest.fixture
def config(tmp_path):
    return TrainVAEConfig(data=tmp_path, output=tmp_path, auto_batch=True)


FIXED, EACH = 5 * 20 * 4, 2 * 32
"""20 weights in five copies; twice what autograd keeps."""


@pytest.mark.parametrize(
    ("room", "size"), [(FIXED + 8 * EACH, 8), (FIXED + 8 * EACH - 1, 4), (FIXED + 32 * EACH, 32), (10**12, 32), (1, 1)]
)
def test_counting_takes_the_largest_that_stays_within_half_of_the_memory(config, network, monkeypatch, room, size):
    monkeypatch.setattr(fit_batch, "total_bytes", lambda: 2 * room)
    assert fit_by_counting(config, SIZES, network, Accelerator(cpu=True), squares)[0] == size


def test_processes_of_one_machine_share_its_memory(config, network, monkeypatch):
    monkeypatch.setattr(fit_batch, "total_bytes", lambda: 2 * (FIXED + 8 * EACH))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert fit_by_counting(config, SIZES, network, Accelerator(cpu=True), squares)[0] == 1


@pytest.mark.parametrize("fits", [1, 4, 8, 32])
def test_trying_takes_the_first_size_that_does_not_run_out_of_memory_and_changes_nothing(config, network, fits):
    before, tried = network.weight.detach().clone(), []

    def limited(config, network):
        def loss(step, part):
            tried.append(config.batch_size)
            if config.batch_size > fits:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
            return squares(config, network).loss(step, part)

        return Trial(loss)

    size, why = fit_by_trying(config, SIZES, network, Accelerator(cpu=True), limited)
    assert size == fits and tried == [*(size for size in SIZES if size > fits), fits, fits]
    assert ("within the data" in why) == (fits == 32)
    assert torch.equal(network.weight, before) and network.weight.grad is None


def test_not_even_one_picture_is_exit_5(config, network):
    def never(config, network):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(OutOfMemory, match="not even one picture") as caught:
        fit_by_trying(config, SIZES, network, Accelerator(cpu=True), never)
    assert caught.value.exit_code == 5


def test_an_error_that_is_not_about_memory_is_not_swallowed(config, network):
    def wrong(config, network):
        raise ValueError("shapes")

    with pytest.raises(ValueError, match="shapes"):
        fit_by_trying(config, SIZES, network, Accelerator(cpu=True), wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_is_stored_and_a_resumed_run_keeps_it(kind, coco, model, tmp_path, monkeypatch):
    start = replace(config_for(kind, coco, model, tmp_path / "run", max_steps=1), auto_batch=True)
    notes = [event.text for event in events_of(start) if isinstance(event, Note)]
    assert "batch size 16: the largest power of two within the data" in notes  # 22 pictures
    stored = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert stored["batch_size"] == 16 and stored["auto_batch"] is False
    monkeypatch.setattr(fit_batch, "total_bytes", lambda: 1)  # another machine
    notes = [event.text for event in events_of(replace(start, max_steps=2, resume="auto")) if isinstance(event, Note)]
    assert "batch size 16: as in step-000001" in notes and "resumed step-000001" in notes


def test_a_dry_run_finds_it_too(coco, model, tmp_path):
    plan = list(events_of(replace(config_for("vae", coco, model, tmp_path / "run", dry_run=True), auto_batch=True)))[-1]
    assert isinstance(plan, RunPlan) and plan.steps_per_epoch == 1 and not (tmp_path / "run").exists()


def test_it_may_stand_on_the_command_line_or_in_a_file(tmp_path):
    (tmp_path / "x.toml").write_text('batch-size = "auto"\n')

    def resolved(**given):
        words = {"data": f"{tmp_path}", "output": f"{tmp_path}", **given}
        return resolve_config(Invocation("train-vae", (TrainVAEConfig, ReportOptions), words), TrainVAEConfig)

    file = f"{tmp_path / 'x.toml'}"
    for given in ({"batch_size": AUTO_BATCH}, {"config": file}):
        config = resolved(**given)
        assert config.auto_batch and config.batch_size == 64
    config = resolved(config=file, batch_size="4")
    assert not config.auto_batch and config.batch_size == 4


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_that_is_none_is_not_taken_for_auto(ldm, coco, tmp_path, number):
    (tmp_path / "x.toml").write_text(f"batch-size = {number}\n")
    for given in (("--batch-size", number), ("--config", tmp_path / "x.toml")):
        code, _, err = ldm("train-vae", "--data", coco, "-o", tmp_path / "run", *given)
        assert code == 2 and f"--batch-size must be at least 1, got {number}" in err


def test_with_a_discriminator_it_counts_the_steps_that_have_it_and_draws_nothing(coco, tmp_path, monkeypatch):
    """The discriminator's weights are drawn after the trials, and must be those of a run that was given the number."""
    contest = {"size": 16, "max_steps": 2, "adversarial_weight": 0.5, "adversarial_start": 1}
    auto = replace(config_for("vae", coco, None, tmp_path / "auto", **contest), auto_batch=True)
    list(events_of(auto))
    list(events_of(config_for("vae", coco, None, tmp_path / "given", batch_size=16, **contest)))
    assert log_of(tmp_path / "auto") == log_of(tmp_path / "given") and "discriminator" in log_of(tmp_path / "auto")[-1]

    kept = []
    monkeypatch.setattr(fit_batch, "_kept_bytes", lambda loss_of, network: kept.append(loss_of(0, 0)) or 0)
    list(events_of(replace(auto, output=tmp_path / "counted", max_steps=1)))
    assert [terms.keys() >= {"adversarial", "discriminator"} for terms in kept] == [True, True]


def test_live_bytes_are_those_that_are_alive_together():
    given = torch.ones(1000)

    def work():
        doubled = given * 2  # 4,000 bytes
        del doubled
        kept = given + 1  # 4,000
        given.mul_(1)
        return torch.cat([kept, kept])  # and 8,000

    assert peak_bytes(work) == 12_000 and peak_bytes(lambda: given.view(10, 100).t()) == 0


@pytest.mark.parametrize(("room", "size"), [(80 + 32_000, 8), (80 + 32_000 - 1, 4), (80 + 2**30, 16)])
def test_auto_counts_what_is_done_between_the_steps(room, size, tmp_path, monkeypatch):
    """One weight in five copies, and steps that keep next to nothing; looking makes 4,000 bytes a picture."""
    monkeypatch.setattr(fit_batch, "total_bytes", lambda: 2 * room)
    network = torch.nn.Linear(1, 4, bias=False)

    def trial(config, network):
        return Trial(lambda step, part: {"loss": network.weight.sum()}, looks=[lambda: torch.ones(config.batch_size, 1000)])

    config = TrainVAEConfig(data=tmp_path, output=tmp_path, auto_batch=True)
    accelerator, _ = make_accelerator(TrainVAEConfig(data=tmp_path, output=tmp_path, device="cpu"))
    assert fit_by_counting(config, [16, 8, 4, 2, 1], network, accelerator, trial)[0] == size


def test_trying_looks_too(tmp_path):
    def trial(config, network):
        def look():
            if config.batch_size > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        return Trial(lambda step, part: {"loss": network.weight.sum()}, looks=[look])

    config = TrainVAEConfig(data=tmp_path, output=tmp_path, auto_batch=True)
    accelerator, _ = make_accelerator(TrainVAEConfig(data=tmp_path, output=tmp_path, device="cpu"))
    assert fit_batch.fit_by_trying(config, [8, 4, 2, 1], torch.nn.Linear(1, 1), accelerator, trial)[0] == 2


def test_a_number_that_is_no_batch_is_still_refused(tmp_path):
    with pytest.raises(UsageError, match="--batch-size"):
        TrainVAEConfig(data=tmp_path, output=tmp_path, batch_size=0)
