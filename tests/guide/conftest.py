"""A place to type the commands of the guide in."""

import copy
import shutil
import sys
from pathlib import Path

import pytest

from ldmcli.engine.bench import machine
from ldmcli.engine.compare import run as comparisons
from ldmcli.engine.generate import approximations
from ldmcli.engine.sampling import open_model
from ldmcli.engine.session import open_session
from ldmcli.engine.train import unet_run
from ldmcli.models.source import BUNDLED

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from tiny import make_coco  # noqa: E402


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Data for all pages, and the runs that their training commands leave; each of these runs once."""
    folder = tmp_path_factory.mktemp("shared")
    coco = make_coco(folder / "coco", 16)
    shutil.copytree(coco / "train2017", coco / "val2017")
    shutil.copy(coco / "annotations/captions_train2017.json", coco / "annotations/captions_val2017.json")
    (folder / "runs").mkdir()
    folder.joinpath("prompts.txt").write_text("a dog\na red car\n")
    return folder, set()


@pytest.fixture(scope="session")
def opened():
    """open_session, which reads the bundled model, that never changes, once for each way of drawing with it."""
    known = {}

    def once(source, runtime, **options):
        if source.path != BUNDLED or source.vae != BUNDLED / "vae":
            return open_session(source, runtime, **options)
        way = repr((source, runtime, sorted(options.items())))
        if way not in known:
            known[way] = open_session(source, runtime, **options)
        return copy.copy(known[way])  # `end_denoising` takes its U-Net away

    return once


@pytest.fixture
def place(shared, opened, tmp_path, monkeypatch):
    """The working folder of a page."""
    for name in ("coco", "runs"):
        (tmp_path / name).symlink_to(shared[0] / name)
    (tmp_path / "scripts/bench").mkdir(parents=True)
    shutil.copy(shared[0] / "prompts.txt", tmp_path / "scripts/bench")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unet_run, "SAMPLE_STEPS", 2)
    monkeypatch.setattr(unet_run, "VALIDATED", 16)
    monkeypatch.setattr(machine, "BURST_S", 1e-4)
    for module in (open_model, comparisons, approximations):
        monkeypatch.setattr(module, "open_session", opened)
    return tmp_path
