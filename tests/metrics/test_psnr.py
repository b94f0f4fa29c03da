"""PSNR against torchmetrics and by hand."""

import pytest
import torch
from torchmetrics.image import PeakSignalNoiseRatio

from ldmcli.metrics.psnr import psnr


@pytest.mark.parametrize("span", [1.0, 2.0, 255.0])
def test_psnr_is_that_of_torchmetrics(span):
    ours, truth = torch.rand(2, 5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * span
    wanted = PeakSignalNoiseRatio(data_range=span, reduction="none", dim=(1, 2, 3))(ours, truth)
    assert (psnr(ours, truth, span) - wanted).abs().max() < 1e-4


def test_psnr_by_hand():
    black, grey = torch.full((1, 3, 4, 4), -1.0), torch.full((1, 3, 4, 4), -0.8)
    assert psnr(grey, black).item() == pytest.approx(20.0, abs=1e-4)  # an error of a tenth of the span


def test_equal_pictures_have_a_large_finite_psnr():
    picture = torch.rand(2, 3, 4, 4)
    assert psnr(picture, picture).isfinite().all() and (psnr(picture, picture) > 200).all()


def test_every_picture_has_its_own_value_in_half_precision_too():
    truth = torch.zeros(3, 3, 8, 8, dtype=torch.float16)
    ours = truth + torch.tensor([0.1, 0.01, 0.001], dtype=torch.float16)[:, None, None, None]
    assert psnr(ours, truth).tolist() == pytest.approx([26.02, 46.02, 66.02], abs=0.02)
