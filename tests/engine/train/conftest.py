"""How much a run looks at itself while it is tested; data and runs that several files read."""

import pytest
from PIL import Image, ImageDraw
from runs import KINDS, LOOKING, config_for, events_of
from two_processes import FSDP

from ldmcli.engine.train import unet, unet_run, vae


@pytest.fixture(scope="module", autouse=True)
def quick_looks():
    """Samples of few steps and validations of few rows: what they are made of is the same, and so is what is written of them. No plot
    at the end, which takes as long as ten steps; test_trained_run.py has it."""
    prompts = unet_run.sample_prompts
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(unet_run, "SAMPLE_STEPS", 2)
        patched.setattr(unet_run, "VALIDATED", 16)
        patched.setattr(unet_run, "sample_prompts", lambda *given: prompts(*given)[:2])
        for command in (unet, vae):
            patched.setattr(command, "plot_losses", lambda log, target: None)
        yield


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """12 pictures three times as wide as high, other at every place, with captions that are short but for two."""
    folder = tmp_path_factory.mktemp("wide")
    for number in range(12):
        picture = Image.new("RGB", (192, 64), (20 * number, 30, 200))
        draw = ImageDraw.Draw(picture)
        for column in range(12):
            draw.rectangle((16 * column, 5 * column, 16 * column + 9, 63), fill=(20 * column, 255 - 20 * column, 11 * number))
        picture.save(folder / f"{number:02}.png")
        text = "a dog " + "and a dog " * number if number > 9 else f"dog {number}"
        (folder / f"{number:02}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def straight_events(request, coco, model, tmp_path_factory):
    """(kind, folder, events) of 6 steps in one go, validated and sampled after 3 and 6."""
    output = tmp_path_factory.mktemp(request.param) / "straight"
    return request.param, output, list(events_of(config_for(request.param, coco, model, output, **LOOKING)))


@pytest.fixture(scope="module")
def straight(straight_events):
    """(kind, folder) of the same."""
    return straight_events[:2]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder for what the runs of a file compute but once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def fsdp(monkeypatch):
    """It is said to this process, and to those that begin as its forks."""
    for name, value in FSDP.items():
        monkeypatch.setenv(name, value)
