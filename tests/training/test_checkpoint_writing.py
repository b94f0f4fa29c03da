"""A checkpoint is complete or it is not there."""

import os
import shutil
import signal

import pytest
import safetensors.torch
import torch

from ldmcli.errors import LdmError
from ldmcli.training import checkpoints


def test_what_is_saved_is_read_back_bit_for_bit(tmp_path, tensors):
    path = checkpoints.save(tmp_path, 12, tensors, {"settings": {"lr": 0.1, "channels": [1, 2]}})
    assert path == tmp_path / "step-000012"
    found = checkpoints.read(path)
    assert found.step == 12 and found.facts == {"settings": {"lr": 0.1, "channels": [1, 2]}}
    for name, state in tensors.items():
        back = found.tensors(name)
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) and back[key].dtype == state[key].dtype for key in state)


def test_saving_a_step_again_replaces_it(folder, tensors):
    tensors["network"]["half"].zero_()
    checkpoints.save(folder, 20, tensors, {"of": "second"})
    found = checkpoints.read(folder / "step-000020")
    assert found.facts == {"of": "second"} and not found.tensors("network")["half"].any()


def failing(function, at):
    """The same function, with the disk full at its call number `at`."""
    calls = 0

    def wrapped(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(28, "No space left on device")
        return function(*args, **kwargs)

    return wrapped


OWNERS = {"save_file": safetensors.torch, "mkdir": checkpoints.Path, "fsync": os, "replace": os, "write_text": checkpoints.Path}
FAULTS = [("mkdir", 1), ("save_file", 1), ("save_file", 2), *(("fsync", at) for at in range(1, 5)), ("replace", 1), ("write_text", 1)]
REPLACING = [*FAULTS, ("replace", 2)]
"""A checkpoint of the same step goes out of the way first."""


@pytest.mark.parametrize(("call", "at"), FAULTS)
def test_a_fault_in_any_write_leaves_the_old_checkpoints_and_no_rubbish(folder, tensors, monkeypatch, call, at):
    monkeypatch.setattr(OWNERS[call], call, failing(getattr(OWNERS[call], call), at))
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(folder, 40, tensors, {})
    monkeypatch.undo()
    assert sorted(p.name for p in folder.iterdir()) == ["step-000010", "step-000020", "step-000030"]
    found, warnings = checkpoints.newest(folder)
    assert found.step == 30 and warnings == []


@pytest.mark.parametrize(("call", "at"), REPLACING)
def test_a_fault_while_a_step_is_saved_again_leaves_the_first_save_of_it(folder, tensors, monkeypatch, call, at):
    monkeypatch.setattr(OWNERS[call], call, failing(getattr(OWNERS[call], call), at))
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(folder, 30, tensors, {"of": "second"})
    monkeypatch.undo()
    assert sorted(p.name for p in folder.iterdir()) == ["step-000010", "step-000020", "step-000030"]
    found, warnings = checkpoints.newest(folder)
    assert found.step == 30 and found.facts == {"of": 30} and warnings == []


def cut_short(folder, step, tensors, call, at, *, after):
    """Save in a process of its own that ends, as by kill -9, right before or right after a call."""
    original = getattr(OWNERS[call], call)
    seen = 0

    def wrapped(*args, **kwargs):
        nonlocal seen
        seen += 1
        if seen == at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    child = os.fork()
    if child == 0:
        setattr(OWNERS[call], call, wrapped)
        checkpoints.save(folder, step, tensors, {"of": "second"})
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, "the call was never reached"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("call", "at"), [*REPLACING, ("fsync", 5)])
def test_a_kill_around_any_write_leaves_a_whole_checkpoint_and_the_next_save_cleans_up(folder, tensors, call, at, after):
    cut_short(folder, 30, tensors, call, at, after=after)
    found, warnings = checkpoints.newest(folder)
    replaced = (call, at) in (("fsync", 5), ("replace", 2)) and (after or call == "fsync")
    assert found.step == 30 and found.facts == {"of": "second" if replaced else 30} and warnings == []
    checkpoints.save(folder, 40, tensors, {})
    assert sorted(p.name for p in folder.iterdir()) == [f"step-0000{step}" for step in (10, 20, 30, 40)]


def test_an_interrupt_in_the_middle_of_a_save_cleans_up_too(folder, tensors, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors.torch, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(folder, 40, tensors, {})
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_the_manifest_is_written_after_everything_it_vouches_for(tmp_path, tensors, monkeypatch):
    there = []
    original = checkpoints.Path.write_text

    def watched(path, *args, **kwargs):
        there.append((path.name, sorted(p.name for p in path.parent.iterdir())))
        return original(path, *args, **kwargs)

    monkeypatch.setattr(checkpoints.Path, "write_text", watched)
    checkpoints.save(tmp_path, 1, tensors, {})
    assert there == [("manifest.json", ["network.safetensors", "optimizer.safetensors"])]


def test_pruning_keeps_the_newest(folder):
    assert checkpoints.prune(folder, 2, 30) == []
    assert sorted(p.name for p in folder.iterdir()) == ["step-000020", "step-000030"]
    checkpoints.prune(folder, 5, 30)
    assert len(list(folder.iterdir())) == 2


def test_pruning_after_going_back_deletes_what_was_left_behind_and_counts_only_what_led_here(folder, tensors):
    (folder / "step-000030" / "manifest.json").unlink()  # damaged, so the run went on from step 20
    checkpoints.save(folder, 25, tensors, {})
    assert [path.name for path in checkpoints.later(folder, 25)] == ["step-000030"]
    assert checkpoints.prune(folder, 1, 25) == []
    assert [p.name for p in folder.iterdir()] == ["step-000025"]


def test_a_checkpoint_that_is_being_deleted_is_gone_at_once(folder, tensors, monkeypatch):
    def interrupted(path, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.prune(folder, 2, 30)
    monkeypatch.undo()
    assert sorted(p.name for p in folder.glob("step-*")) == ["step-000020", "step-000030"]
    checkpoints.save(folder, 40, tensors, {})
    assert not list(folder.glob(".*"))


def test_pruning_touches_nothing_that_is_not_a_checkpoint_and_follows_no_link(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("precious")
    (elsewhere / "thesis.txt").write_text("years of work")
    (folder / "step-000001").symlink_to(elsewhere)
    (folder / "notes").mkdir()
    (folder / "step-000002").write_text("a file")
    assert checkpoints.prune(folder, 1, 30) == []  # a link that was tried and could not be deleted would be a warning
    assert sorted(p.name for p in folder.iterdir()) == ["notes", "step-000001", "step-000002", "step-000030"]
    assert (elsewhere / "thesis.txt").read_text() == "years of work"


def test_failing_to_delete_is_a_warning(folder, monkeypatch):
    def refused(path):
        raise OSError("Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refused)
    warnings = checkpoints.prune(folder, 1, 30)
    assert len(warnings) == 2 and all("Permission denied" in text for text in warnings)


def test_an_error_of_the_state_names_the_checkpoint_of_another_network(tmp_path):
    from ldmcli.training.state import TrainState

    def state(width):
        network = torch.nn.Linear(width, 1)
        return TrainState(network, torch.optim.AdamW(network.parameters()), None, step=3)

    path = state(3).save(tmp_path, {})
    with pytest.raises(LdmError, match="step-000003 holds the weights of another network"):
        state(4).restore(checkpoints.read(path))
