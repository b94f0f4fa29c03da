"""A U-Net that processes share out by FSDP 2, against one process that has it whole: the same mathematics.

Sums are in another order, and Adam makes rounding grow where a gradient is next to nothing. Measured over six steps with clipping, an
average and two parts a step: losses within 2e-6, moments within 1e-5 of their norm, weights within 1e-5 where they move by up to 2e-4.
"""

import json
import os
import shutil

import pytest
import torch
import torch.distributed.fsdp  # for the forks
from forks import ended, fork, together
from launch import by_launcher
from runs import config_for, events_of, log_of, newest
from two_processes import FSDP, STEPS, files, run_alone, typed

from ldmcli.cli import main
from ldmcli.engine.train import unet
from ldmcli.engine.train.trainable import BLOCKS, IN_HALF
from ldmcli.errors import LdmError
from ldmcli.networks.attention import TextContext
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig
from ldmcli.networks.joint import TextUNet
from ldmcli.networks.unet import UNet
from ldmcli.records.notes import Note
from ldmcli.training.ema import kept
from ldmcli.training.shards import own, share_out

pytestmark = pytest.mark.early

CLIPPED = {"max_grad_norm": 0.05, "lr_schedule": "constant"}


@pytest.fixture(scope="module")
def alone(coco, model, tmp_path_factory):
    """One process with batches of 8."""
    run = tmp_path_factory.mktemp("alone") / "run"
    run_alone("unet", coco, model, run, **CLIPPED)
    return run


def assert_same_but_for_rounding(one, other, *, looks=True):
    """looks: the figures of validations too."""
    here, there = (
        [{name: row[name] for name in row if looks or not name.startswith("val_")} for row in log_of(run)] for run in (one, other)
    )
    assert [row["step"] for row in here] == [row["step"] for row in there]
    for a, b in zip(here, there, strict=True):
        assert a == {name: pytest.approx(value, rel=1e-3 if name == "grad_norm" else 0, abs=5e-6) for name, value in b.items()}, a["step"]
    for name in ("network", "ema", "optimizer"):
        here, there = newest(one).tensors(name), newest(other).tensors(name)
        assert here.keys() == there.keys() and {key: here[key].shape for key in here} == {key: there[key].shape for key in there}
        apart = {key: (here[key] - there[key]).double() for key in here}
        if name == "optimizer":
            for moment in ("exp_avg", "exp_avg_sq", "step"):
                keys = [key for key in here if key.endswith(f".{moment}")]
                difference, whole = (sum(each[key].double().square().sum() for key in keys).sqrt() for each in (apart, there))
                assert difference <= 1e-4 * whole, moment
        else:
            assert max(value.abs().max() for value in apart.values()) < 2e-5, name


def weighed(argv, note):
    """`main`; what this process holds of weights, moments and average at the end goes into a file."""

    def work():
        made, states = unet.make_state, []

        def make_state(*given):
            states.append(made(*given))
            return states[-1]

        unet.make_state = make_state  # of this fork
        code = main([str(word) for word in argv])
        (state, _), weights = states[-1], [*kept(states[-1][0].network).values()]
        moments = [value for each in state.optimizer.state.values() for value in each.values()]
        note.write_text(str(sum(own(value).nbytes for value in [*weights, *moments, *state.ema.state_dict().values()])))
        return code

    return work


def test_two_processes_hold_half_each_and_go_through_the_same_steps(alone, coco, model, tmp_path, fsdp):
    parts = {**CLIPPED, "batch_size": 2, "grad_accum": 2}
    words = typed("unet", coco, model, tmp_path / "run", **parts)
    both = ended(together([weighed(words, tmp_path / f"bytes-{number}") for number in range(2)], tmp_path))
    assert [code for code, *_ in both] == [0, 0], both
    assert "2 processes, --batch-size is of each; FSDP 2: each holds a part of the network\n" in both[0][2] and both[1][1:] == ("", "")
    checkpoint = newest(tmp_path / "run")
    whole = sum(value.nbytes for name in checkpoint.names for value in checkpoint.tensors(name).values())
    for number in range(2):
        assert int((tmp_path / f"bytes-{number}").read_text()) == pytest.approx(whole / 2, rel=0.01)
    assert_same_but_for_rounding(tmp_path / "run", alone)
    assert files(tmp_path / "run").keys() == files(alone).keys()


def together_in(count, folder, words):
    """The same command line in so many processes. Returns what all print to stderr."""
    told = ended(together([lambda: main([str(word) for word in words])] * count, folder))
    assert [code for code, *_ in told] == [0] * count, told
    return "".join(err for *_, err in told)


def test_a_run_goes_on_with_and_without_it_and_in_any_number_of_processes(coco, model, tmp_path, cache, fsdp, monkeypatch):
    """Three processes, whose parts are not equally large and sometimes empty; one, which holds all; two."""
    run, straight = tmp_path / "run", tmp_path / "straight"

    def words(count, steps, **more):
        rhythm = {"cache": cache, "max_steps": steps, "save_every": 1, "val_every": 1}
        return typed("unet", coco, model, run, **{**CLIPPED, **rhythm, "batch_size": 12 // count, **more})

    together_in(3, tmp_path, words(3, 1))
    monkeypatch.setenv("FSDP_RESHARD_AFTER_FORWARD", "false")  # blocks stay whole until the way back
    talk = together_in(1, tmp_path, words(1, 2, resume="auto"))
    assert "resumed step-000001" in talk and "FSDP 2: one process holds all of the network" in talk
    assert "resumed step-000002" in together_in(2, tmp_path, words(2, 3, resume="auto"))
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    rhythm = {"max_steps": 3, "save_every": 3, "val_every": 1}
    run_alone("unet", coco, model, straight, **{**CLIPPED, **rhythm, "cache": cache, "batch_size": 12})
    assert_same_but_for_rounding(run, straight)


def test_what_was_owed_when_a_run_was_killed_is_done_when_it_goes_on(alone, coco, model, tmp_path, fsdp):
    """After its last checkpoint: the model, the validation of that step and its samples. Process 0 alone knows of it."""
    run = tmp_path / "run"
    shutil.copytree(alone, run)
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "samples")
    *before, last = (run / "log.jsonl").read_text().splitlines(keepends=True)
    (run / "log.jsonl").write_text("".join(before))
    row = json.loads(last)
    step = {name: row[name] for name in ("step", "lr", "images_per_s", "seconds")}
    (run / ".owed.json").write_text(json.dumps({**step, "total": STEPS, "terms": {name: row[name] for name in ("loss", "grad_norm")}}))
    together_in(2, tmp_path, typed("unet", coco, model, run, **CLIPPED, batch_size=4, resume="auto"))
    assert_same_but_for_rounding(run, alone)
    assert files(run / "model") == files(alone / "model") and files(run / "samples") == files(alone / "samples")


def test_the_text_tower_along_with_levels_that_are_computed_again(coco, model, tmp_path, cache, fsdp, monkeypatch):
    """On the way back, when their blocks have been given up."""
    tuned = {**CLIPPED, "cache": cache, "train_text_encoder": True, "max_steps": 2, "save_every": 2, "val_every": 2}
    together_in(2, tmp_path, typed("unet", coco, model, tmp_path / "two", **tuned, batch_size=4, gradient_checkpointing=True))
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    run_alone("unet", coco, model, tmp_path / "one", **tuned)
    assert_same_but_for_rounding(tmp_path / "two", tmp_path / "one")


def test_in_bf16_it_learns_the_same(coco, model, tmp_path, cache, fsdp, monkeypatch):
    """Blocks travel in bf16: the weights of norms, which autocast leaves in fp32, are rounded too. Measured against fp32 the
    moments are off by 0.44 of their norm, and by 0.43 without it."""
    half = {**CLIPPED, "cache": cache, "mixed_precision": "bf16", "max_steps": 2, "save_every": 2, "val_every": 2}
    together_in(2, tmp_path, typed("unet", coco, model, tmp_path / "two", **half, batch_size=4))
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    together_in(1, tmp_path, typed("unet", coco, model, tmp_path / "one", **half))
    for a, b in zip(log_of(tmp_path / "two"), log_of(tmp_path / "one"), strict=True):
        assert a == {name: pytest.approx(value, rel=0.1 if name == "grad_norm" else 2e-3) for name, value in b.items()}
    assert all(value.dtype == torch.float32 for value in newest(tmp_path / "two").tensors("ema").values())


def test_between_the_ways_no_weights_are_kept_whole_in_bf16(tmp_path):
    """Autocast makes a copy in bf16 of a weight in fp32, and autograd keeps it: of a U-Net that would be 2 bytes a number."""

    def work():
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        kinds = {"down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2}
        unet = UNetConfig(**kinds, block_out_channels=(64, 128), layers_per_block=1, cross_attention_dim=32, attention_head_dim=4)
        text = CLIPTextConfig(hidden_size=32, intermediate_size=64, num_attention_heads=2, num_hidden_layers=1, vocab_size=50)
        network = TextUNet(UNet(unet), CLIPText(text)).train().requires_grad_(True)
        numbers = sum(parameter.numel() for parameter in network.parameters())
        given = torch.randn(1, 4, 4, 4), torch.tensor([3]), TextContext(torch.zeros(1, 8, dtype=torch.int32))

        def gradients():
            kept = []
            with (
                torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x),
                torch.autocast("cpu", torch.bfloat16),
            ):
                network(*given).float().square().mean().backward()
            whole = {each.untyped_storage()._cdata: each.untyped_storage().nbytes() for each in kept}
            found = torch.cat([own(parameter.grad).flatten() for parameter in network.parameters()])
            network.zero_grad(set_to_none=True)
            return found, sum(whole.values())

        plain, _ = gradients()
        share_out(network, BLOCKS, torch.device("cpu"), reshard=True, half=IN_HALF)
        shared, kept = gradients()
        assert kept < 0.4 * numbers, kept / numbers
        assert (shared - plain).norm() < 0.02 * plain.norm()
        return 0

    child = fork(work, tmp_path / "talk")
    assert child.wait() == 0, child.said()


def test_when_the_first_process_fails_at_looking_the_step_is_saved_all_the_same(alone, coco, model, tmp_path, cache, fsdp, monkeypatch):
    """No checkpoint was due, and the other process waits elsewhere."""

    def no_room(run, state):
        raise LdmError("no room for samples")

    monkeypatch.setattr(unet.UNetRun, "sample", no_room)
    words = typed("unet", coco, model, tmp_path / "run", **{**CLIPPED, "cache": cache, "sample_every": 2}, batch_size=4)
    (code, _, talk), (other_code, _, other_talk) = ended(together([lambda: main([str(word) for word in words])] * 2, tmp_path))
    assert (code, other_code) == (1, 1) and "error: no room for samples" in talk and other_talk == ""
    saved_then, at_the_end = newest(tmp_path / "run"), newest(alone)
    assert saved_then.step == 2 and saved_then.shapes("optimizer") == at_the_end.shapes("optimizer")


def test_accelerate_is_as_it_was_after_a_run(coco, model, tmp_path, fsdp):
    """The variables are those of the user's process, which may train from Python."""
    events = events_of(config_for("unet", coco, model, tmp_path, max_steps=1))
    assert any(isinstance(event, Note) and "FSDP 2: one process holds all of the network" in event.text for event in events)
    assert {name: os.environ.get(name) for name in FSDP} == FSDP


@pytest.mark.slow
def test_started_by_accelerate(alone, coco, model, tmp_path):
    done = by_launcher("fsdp", *typed("unet", coco, model, tmp_path / "run", **CLIPPED, batch_size=4))
    assert done.returncode == 0 and done.stdout.splitlines() == [f"{tmp_path}/run/model"], done.stderr
    assert "FSDP 2: each holds a part of the network; FSDP_CPU_RAM_EFFICIENT_LOADING=true not used" in done.stderr
    assert_same_but_for_rounding(tmp_path / "run", alone, looks=False)  # quick_looks is of this process
