"""LPIPS: the distance where its packages are at hand, and what is said where they are not."""

import json
import sys
import urllib.error
from importlib.util import find_spec

import pytest
import torch
from runs import log_of
from torch.nn.functional import avg_pool2d

from ldmcli.errors import NotFound
from ldmcli.models.perceptual import load_lpips

CPU = torch.device("cpu")

with_packages = pytest.mark.skipif(not (find_spec("lpips") and find_spec("torchvision")), reason="needs lpips and torchvision")


@pytest.fixture
def without_lpips(monkeypatch):
    """As if it were not installed."""
    monkeypatch.setitem(sys.modules, "lpips", None)


def test_without_the_packages_it_is_an_error_that_names_the_command(without_lpips, ldm, coco, tmp_path):
    argv = ("--data", coco, "-o", tmp_path / "run", "--perceptual", "lpips", "--perceptual-weight", "1", "--batch-size", "4")
    code, out, err = ldm("train-vae", *argv)
    last = err.splitlines()[-2:]
    assert code == 2 and out == ""
    assert last[0].startswith("error: --perceptual lpips: ") and "pip install lpips torchvision" in last[1]
    assert not (tmp_path / "run").exists()


def test_a_perceptual_loss_that_is_named_needs_a_weight(ldm, coco, tmp_path):
    code, _, err = ldm("train-vae", "--data", coco, "-o", tmp_path / "run", "--perceptual", "dct")
    assert code == 2 and "--perceptual has no weight" in err and "--perceptual-weight" in err


@with_packages
def test_without_a_network_the_error_says_where_the_weights_belong(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refused(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", refused)
    with pytest.raises(NotFound) as caught:
        load_lpips(CPU)
    assert caught.value.exit_code == 6 and "no network" in caught.value.message
    assert str(tmp_path) in caught.value.hint and "vgg16-397923af.pth" in caught.value.hint


@pytest.fixture
def random_features(monkeypatch, tmp_path):
    """A cache of torchvision that holds a VGG-16 of random weights (528 MB), so that no network is needed."""
    import torchvision

    torch.manual_seed(0)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    path.parent.mkdir(parents=True)
    torch.save(torchvision.models.vgg16(weights=None).state_dict(), path)
    yield
    path.unlink()


@pytest.mark.early
@with_packages
def test_it_is_zero_for_equal_pictures_and_grows_with_blur(random_features):
    distance = load_lpips(CPU)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blurred = [avg_pool2d(pictures, side, 1, side // 2) for side in (3, 7)]
    near, far = (distance(blur, pictures) for blur in blurred)
    assert near.shape == (2,) and (0 < near).all() and (near < far).all()
    assert distance(pictures, pictures).tolist() == [0, 0]


@pytest.mark.early
@with_packages
def test_a_run_learns_from_it_and_writes_one_document(random_features, ldm, coco, tmp_path):
    tiny = (
        "--size",
        32,
        "--channels",
        "8,8,16,16",
        "--layers",
        1,
        "--batch-size",
        8,
        "--max-steps",
        2,
        "--log-every",
        1,
        "--device",
        "cpu",
    )
    argv = ("train-vae", "--data", coco, "-o", tmp_path / "run", "--perceptual", "lpips", "--perceptual-weight", 0.5, "--json", *tiny)
    code, out, err = ldm(*argv)
    assert code == 0, err
    json.loads(out)
    for row in log_of(tmp_path / "run"):
        assert row["lpips"] > 0 and row["loss"] == pytest.approx(row["recon"] + 1e-6 * row["kl"] + 0.5 * row["lpips"], rel=1e-5)
