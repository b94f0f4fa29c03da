"""FID and KID by torchmetrics, with a tiny network in Inception's place: its weights are fetched, and tests have no network."""

import pytest
import torch
from PIL import Image

from ldmcli.engine.score import fid as distances
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.records.scores import DistributionDistance


class Moments(torch.nn.Module):
    """Mean and spread of each colour, of pictures of any size."""

    num_features = 6

    def forward(self, pictures):
        flat = pictures.float().flatten(2)
        return torch.cat([flat.mean(dim=2), flat.std(dim=2)], dim=1)


@pytest.fixture
def folder(tmp_path):
    """Sixty pictures in three sizes; `shift` brightens them."""

    def make(name, shift):
        random = torch.Generator().manual_seed(3)
        (tmp_path / name).mkdir()
        for number in range(60):
            side = 8 + 4 * (number % 3)
            pixels = torch.randint(0, 200, (side, side, 3), generator=random) + shift
            Image.fromarray(pixels.to(torch.uint8).numpy()).save(tmp_path / name / f"{number:03d}.png")
        return tmp_path / name

    return make


def measured(ours, real):
    steps = distances.measure_distance(sorted(ours.iterdir()), real, torch.device("cpu"), batch_size=16, features=Moments())
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_the_same_pictures_lie_at_distance_zero_and_brighter_ones_at_the_square_of_the_shift(folder):
    real = folder("real", 0)
    same, brighter = measured(folder("same", 0), real), measured(folder("brighter", 20), real)
    assert isinstance(same, DistributionDistance) and (same.pictures, same.real_pictures) == (60, 60)
    assert same.fid == pytest.approx(0, abs=1e-3) and brighter.fid == pytest.approx(3 * 20**2, rel=1e-3)
    assert brighter.kid_mean > same.kid_mean


def test_what_was_measured_twice_is_the_same(folder):
    real, ours = folder("real", 0), folder("ours", 9)
    assert measured(ours, real) == measured(ours, real)


@pytest.mark.parametrize("damaged", ["real", "ours"])
def test_a_damaged_picture_names_itself(folder, damaged):
    real, ours = folder("real", 0), folder("ours", 9)
    file = {"real": real, "ours": ours}[damaged] / "017.png"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(LdmError, match=rf"{damaged}/017\.png cannot be read: ") as caught:
        measured(ours, real)
    assert caught.value.hint


def test_fewer_than_2048_pictures_on_either_side_are_refused(folder, monkeypatch):
    real = folder("real", 0)
    files = sorted(real.iterdir())
    with pytest.raises(UsageError, match="60 pictures says nothing .the pictures.; at least 2,048 are needed, 10,000 advised"):
        distances.check_distance(files, real)
    with pytest.raises(UsageError, match="60 pictures says nothing .--fid"):
        distances.check_distance([real / f"{number}.png" for number in range(2048)], real)


@pytest.mark.skipif(distances.find_spec("torch_fidelity") is not None, reason="torch-fidelity is installed")
def test_without_the_extra_it_says_what_to_install(folder, monkeypatch):
    real = folder("real", 0)
    monkeypatch.setattr(distances, "FEWEST", 50)
    with pytest.raises(NotFound) as caught:
        distances.check_distance(sorted(real.iterdir()), real)
    assert "pip install torch-fidelity" in caught.value.hint
    with pytest.raises(LdmError, match="could not be fetched"):
        list(distances.measure_distance(sorted(real.iterdir()), real, torch.device("cpu")))
