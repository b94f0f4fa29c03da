"""Whose folder it is, and what may change between a run and its resumption."""

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from runs import KINDS, config_for, events_of, log_of, newest, stop_after

from ldmcli.data.fingerprints import fingerprint
from ldmcli.engine.train import run_folder
from ldmcli.engine.train.run_settings import plain
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.records.notes import Note
from ldmcli.records.training import TrainDone


@pytest.fixture(scope="module", params=KINDS)
def stopped(request, coco, model, tmp_path_factory):
    """(kind, folder) of a run with checkpoints of steps 2 and 3."""
    output = tmp_path_factory.mktemp(request.param) / "run"
    stop_after(config_for(request.param, coco, model, output, save_every=2), 3)
    return request.param, output


@pytest.fixture
def run(stopped, tmp_path):
    """The same in a copy of its own."""
    kind, output = stopped
    return kind, shutil.copytree(output, tmp_path / "run")


def test_a_changed_setting_is_refused_with_both_values(run, coco, model):
    kind, output = run
    with pytest.raises(UsageError) as caught:
        list(events_of(config_for(kind, coco, model, output, resume="auto", lr=0.01, batch_size=4)))
    assert caught.value.exit_code == 2 and "--force" in caught.value.hint
    assert "lr: 0.001 then, 0.01 now" in caught.value.message
    assert "batch_size: 8 then, 4 now" in caught.value.message
    assert "output" not in caught.value.message


def test_force_goes_on_with_the_new_setting(run, coco, model):
    kind, output = run
    list(events_of(config_for(kind, coco, model, output, resume="auto", lr=0.01, lr_schedule="constant", force=True, max_steps=4)))
    assert newest(output).step == 4 and log_of(output)[-1]["lr"] == 0.01


def test_lengths_and_rhythms_may_change_without_force(run, coco, model):
    kind, output = run
    changes = {"max_steps": 4, "epochs": 3, "max_hours": 1.0, "save_every": 1, "keep": 1, "log_every": 2, "sample_every": 3, "val_every": 2}
    assert isinstance(list(events_of(config_for(kind, coco, model, output, resume="auto", **changes)))[-1], TrainDone)


def test_changed_data_are_refused(run, coco, model, tmp_path):
    kind, output = run
    other = shutil.copytree(coco, tmp_path / "coco")
    same = config_for(kind, other, model, output, resume="auto", max_steps=4)
    with (other / "train2017" / "000000000002.png").open("ab") as picture:
        picture.write(b"!")
    with pytest.raises(UsageError, match="data_fingerprint"):
        list(events_of(same))


def test_a_fresh_copy_of_the_data_is_the_same_data_and_that_is_said(run, coco, model, tmp_path):
    kind, output = run
    other = shutil.copytree(coco, tmp_path / "coco", copy_function=shutil.copyfile)  # with dates of its own
    events = list(events_of(config_for(kind, other, model, output, resume="auto", max_steps=4)))
    assert isinstance(events[-1], TrainDone) and newest(output).step == 4
    assert any("taken for a copy of the same data" in event.text for event in events if isinstance(event, Note))


def test_a_run_of_an_older_version_goes_on_with_the_same_files(coco, model, tmp_path, monkeypatch):
    """It noted one fingerprint, with the dates in it."""

    def noted_then(config, data):
        stats = [(image.path.name, image.path.stat(), image.captions) for image in data.images]
        files = fingerprint(*((name, (stat.st_size, stat.st_mtime_ns), captions) for name, stat, captions in stats))
        return {**plain(asdict(config)), "data_fingerprint": files}

    with monkeypatch.context() as older:
        older.setattr(run_folder, "settings_of", noted_then)
        stop_after(config_for("vae", coco, model, tmp_path / "run"), 2)
    other = shutil.copytree(coco, tmp_path / "coco", copy_function=shutil.copyfile)
    with pytest.raises(UsageError, match="data_fingerprint"):
        list(events_of(config_for("vae", other, model, tmp_path / "run", resume="auto", max_steps=3)))
    assert isinstance(list(events_of(config_for("vae", coco, model, tmp_path / "run", resume="auto", max_steps=3)))[-1], TrainDone)


def test_an_average_can_be_added_by_force_and_starts_from_the_weights(coco, model, tmp_path):
    stop_after(config_for("vae", coco, model, tmp_path, ema=0.0), 2)
    list(events_of(config_for("vae", coco, model, tmp_path, ema=0.9, force=True, resume="auto", max_steps=3)))
    assert newest(tmp_path).facts["state"]["ema_updates"] == 1


def test_even_force_cannot_put_weights_into_another_network(run, coco, model):
    kind, output = run
    wider = (16, 16, 16, 16) if kind == "vae" else (64, 64)
    with pytest.raises(LdmError, match="weights of another network"):
        list(events_of(config_for(kind, coco, model, output, resume="auto", force=True, channels=wider)))


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning(run, coco, model):
    kind, output = run
    (output / "checkpoints" / "step-000003" / "network.safetensors").write_bytes(b"")
    events = list(events_of(config_for(kind, coco, model, output, resume="auto", max_steps=4)))
    warnings = [event.text for event in events if isinstance(event, Note) and event.warning]
    # three steps teach a VAE nothing, which has a warning of its own
    # and the learning rate that another length changes is told elsewhere
    damaged, left = [text for text in warnings if "held-out pictures are rebuilt" not in text and "--lr-schedule" not in text]
    assert "step-000003" in damaged and "damaged" in damaged
    assert left.startswith("step-000003: of later steps than the one resumed")
    assert any(isinstance(event, Note) and event.text == "resumed step-000002" for event in events)


def test_going_back_to_an_older_checkpoint_leaves_the_later_ones_behind(run, coco, model):
    kind, output = run
    older = output / "checkpoints" / "step-000002"
    changes = {"lr": 0.01, "lr_schedule": "constant", "force": True, "save_every": 100}
    going = events_of(config_for(kind, coco, model, output, resume=str(older), max_steps=3, **changes))
    (warning,) = [event.text for event in going if isinstance(event, Note) and event.text.startswith("step-000003: of later steps")]
    assert "deleted when the next checkpoint is complete" in warning
    assert newest(output).step == 3 and newest(output).facts["settings"]["lr"] == 0.01  # --resume auto takes the new one
    assert [row["lr"] for row in log_of(output)][2] == 0.01


def test_a_finished_run_that_was_killed_before_its_model_was_written_writes_it(run, coco, model):
    kind, output = run
    list(events_of(config_for(kind, coco, model, output, resume="auto", max_steps=4)))
    weights = next((output / "model" / kind).glob("*.safetensors"))
    expected = weights.read_bytes()
    shutil.rmtree(output / "model")
    list(events_of(config_for(kind, coco, model, output, resume="auto", max_steps=4)))
    assert weights.read_bytes() == expected


def test_a_checkpoint_that_is_not_there_is_exit_6(coco, model, tmp_path):
    with pytest.raises(NotFound, match="step-000099"):
        list(events_of(config_for("vae", coco, model, tmp_path, resume=str(tmp_path / "step-000099"))))


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_pictures_than_one_batch_holds_are_a_usage_error(kind, coco, model, tmp_path):
    with pytest.raises(UsageError, match="22 pictures do not fill one batch of 32") as caught:
        list(events_of(config_for(kind, coco, model, tmp_path, batch_size=16, grad_accum=2)))
    assert caught.value.exit_code == 2


def test_the_time_limit_saves_and_ends_without_an_error(coco, model, tmp_path):
    events = list(events_of(config_for("vae", coco, model, tmp_path, max_hours=1e-9)))
    assert isinstance(events[-1], TrainDone) and events[-1].step == 1
    assert newest(tmp_path).step == 1
    assert any(isinstance(event, Note) and "--max-hours" in event.text for event in events)


def test_only_as_many_checkpoints_are_kept_as_asked_for(coco, model, tmp_path):
    list(events_of(config_for("vae", coco, model, tmp_path, max_steps=5, save_every=1, keep=2)))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-000004", "step-000005"]


def test_an_unusable_picture_is_left_out_and_named_and_too_many_end_the_run(coco, model, tmp_path):
    data = shutil.copytree(coco, tmp_path / "coco")
    (data / "train2017" / "000000000007.png").write_bytes(b"<html>")
    events = list(events_of(config_for("vae", data, model, tmp_path / "run", max_steps=1)))
    texts = [event.text for event in events if isinstance(event, Note)]
    assert any("left out 000000000007.png" in text for text in texts)
    assert any(text.startswith("21 pictures to train on, 2 held out") for text in texts)
    with pytest.raises(LdmError, match="1 unusable picture, "):
        list(events_of(config_for("vae", data, model, tmp_path / "other", max_bad=0)))


def test_the_record_of_a_run_holds_no_secret():
    values = {
        "data": Path("https://me:word@h/a.tar?sig=hush"),
        "vae": "https://me:word@h/v?sig=hush",
        "prompts": ("is it a dog?", "https://h/x?y"),
    }
    assert plain(values) == {"data": "https:/h/a.tar", "vae": "https://h/v", "prompts": ["is it a dog?", "https://h/x"]}
