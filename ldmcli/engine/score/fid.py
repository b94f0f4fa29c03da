"""`ldm clipscore --fid`: how far two sets of pictures lie apart (FID, Heusel et al. 2017; KID, Binkowski et al. 2018), by torchmetrics."""

import warnings
from collections.abc import Generator, Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from ldmcli.data.picture_captions import find_pictures
from ldmcli.data.pictures import read_picture
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.records.notes import Note, Progress
from ldmcli.records.scores import DistributionDistance
from ldmcli.runtime.pictures import BadPicture

FEWEST, ADVISED = 2048, 10_000
"""Inception's features have 2,048 dimensions: from fewer pictures their covariance is singular, and FID mostly measures that."""


def check_distance(paths: Sequence[Path], real: Path) -> None:
    """Before any network is loaded. Raises UsageError for too few pictures, NotFound without the packages that FID needs."""
    for name, count in (("the pictures", len(set(paths))), (f"--fid {real}", len(find_pictures([real]).files))):
        if count < FEWEST:
            raise UsageError(f"FID of {count:,} pictures says nothing ({name}); at least {FEWEST:,} are needed, {ADVISED:,} advised.")
    if find_spec("torch_fidelity") is None:
        raise NotFound("FID and KID need the package torch-fidelity.", hint="Get it with: pip install torch-fidelity")


def measure_distance(
    paths: Sequence[Path], real: Path, device: torch.device, *, batch_size: int = 32, seed: int = 0, features: int | nn.Module = 2048
) -> Generator[Note | Progress, None, DistributionDistance]:
    """The distance is the value of `yield from`. features: of Inception, which brings every picture to 299 pixels itself, or a network."""
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    found = find_pictures([real])
    yield from map(Note, found.summary)
    truth = found.files
    fewest = min(len(paths), len(truth))
    if fewest < ADVISED:
        yield Note(f"FID falls as pictures are added; compare only at the same number, {ADVISED:,} or more if you can.", warning=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that KID keeps all features
            fid = FrechetInceptionDistance(features).to(device)
            kid = KernelInceptionDistance(features, subset_size=min(1000, fewest)).to(device)
    except Exception as error:  # torch-fidelity fetches Inception's weights here
        raise LdmError(
            f"Inception's weights could not be fetched: {str(error).splitlines()[0]}", hint="They need the network once."
        ) from error
    for files, is_real in ((truth, True), (paths, False)):
        for first in range(0, len(files), batch_size):
            pictures = [_read(path) for path in files[first : first + batch_size]]
            for _, alike in groupby(pictures, key=lambda picture: picture.size):
                batch = torch.stack([torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) for picture in alike]).to(device)
                fid.update(batch, real=is_real)
                kid.update(batch, real=is_real)
            yield Progress("real pictures" if is_real else "pictures", min(first + batch_size, len(files)), len(files))
    torch.manual_seed(seed)  # KID draws its subsets from torch's own generator
    mean, sd = kid.compute()
    return DistributionDistance(
        fid=fid.compute().item(), kid_mean=mean.item(), kid_sd=sd.item(), pictures=len(paths), real_pictures=len(truth)
    )


def _read(path: Path) -> Image.Image:
    """Raises LdmError: a distance between sets that lack pictures would be another number."""
    try:
        return read_picture(path)
    except BadPicture as error:
        raise LdmError(f"{path} cannot be read: {error}", hint="Take it out of its folder, or mend it.") from error
