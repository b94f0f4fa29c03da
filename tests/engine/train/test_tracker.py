"""--tracker tensorboard: what stands in the log stands in the event files, once, also after a kill."""

import io
import signal
import sys

import numpy as np
import pytest
from children import killed_at
from children import ldm as ldm_process
from PIL import Image
from runs import KINDS, argv_for, config_for, log_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ldmcli.config.training import TrainVAEConfig
from ldmcli.errors import UsageError

RHYTHM = {"save_every": 5, "sample_every": 4, "val_every": 6, "tracker": "tensorboard"}


def read(run) -> EventAccumulator:
    return EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()


@pytest.fixture(scope="module", params=KINDS)
def run(request, coco, model, tmp_path_factory):
    """A run that was killed at step 7, two steps after its newest checkpoint, and went on to step 12."""
    folder = tmp_path_factory.mktemp(request.param)
    assert killed_at(config_for(request.param, coco, model, folder / "run", **RHYTHM), 7, folder / "talk") == -signal.SIGKILL
    child = ldm_process(argv_for(request.param, coco, model, folder / "run", resume="auto", **RHYTHM), folder / "talk")
    assert child.wait() == 0, child.said()
    return folder / "run"


def test_every_number_of_the_log_is_there_once_and_is_the_same(run):
    events, rows = read(run), log_of(run)
    assert len(rows) == 12
    names = {name for row in rows for name in row} - {"step"}
    assert {"loss", "lr", "grad_norm"} < names and names | {"seconds", "images_per_s"} == set(events.Tags()["scalars"])
    for name in names:
        points = [(point.step, point.value) for point in events.Scalars(name)]
        assert points == [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in rows if name in row], name


def test_the_sheets_are_there_as_they_were_saved(run):
    points = read(run).Images("samples")
    assert [point.step for point in points] == [4, 8, 12]
    for point in points:
        shown = np.asarray(Image.open(io.BytesIO(point.encoded_image_string)).convert("RGB"))
        with Image.open(run / "samples" / f"step-{point.step:06d}.png") as saved:
            assert np.array_equal(shown, np.asarray(saved))


def test_without_the_option_nothing_is_written_and_nothing_is_imported(coco, model, tmp_path):
    child = ldm_process(argv_for("vae", coco, model, tmp_path / "run", max_steps=1), tmp_path / "talk")
    assert child.wait() == 0 and not (tmp_path / "run" / "tensorboard").exists()


def test_where_tensorboard_is_missing_the_command_to_install_it_is_told(ldm, coco, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    code, _, err = ldm("train-vae", "--data", coco, "-o", tmp_path / "run", "--tracker", "tensorboard")
    assert code == 2 and "pip install tensorboard" in err and not (tmp_path / "run").exists()


def test_another_tracker_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="--tracker wandb: tensorboard"):
        TrainVAEConfig(data=tmp_path, output=tmp_path, tracker="wandb")
