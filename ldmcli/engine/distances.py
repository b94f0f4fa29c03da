"""`ldm clipscore --fid`: how far two sets of pictures lie apart (FID, Heusel et al. 2017; KID, Binkowski et al. 2018), by torchmetrics."""

from collections.abc import Generator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ldmcli.data.picture_captions import picture_files
from ldmcli.data.pictures import read_picture
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.records import DistributionDistance, Note, Progress

FEWEST, ADVISED = 2048, 10_000
"""Inception's features have 2,048 dimensions: from fewer pictures their covariance is singular, and FID mostly measures that."""


def check_distance(paths: Sequence[Path], real: Path) -> None:
    """Before any network is loaded. Raises UsageError for too few pictures, NotFound without the packages that FID needs."""
    for name, count in (("the pictures", len(set(paths))), (f"--fid {real}", len(picture_files([real])))):
        if count < FEWEST:
            raise UsageError(f"FID of {count:,} pictures says nothing ({name}); at least {FEWEST:,} are needed, {ADVISED:,} advised.")
    if find_spec("torch_fidelity") is None:
        raise NotFound("FID and KID need the package torch-fidelity.", hint='Get it with: pip install "ldm-cli[fid]"')


def measure_distance(
    paths: Sequence[Path], real: Path, device: torch.device, batch_size: int, seed: int
) -> Generator[Note | Progress, None, DistributionDistance]:
    """The distance is the value of `yield from`. Both sets go through the same resize to 299 pixels."""
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    truth = picture_files([real])
    if min(len(paths), len(truth)) < ADVISED:
        yield Note(f"FID falls as pictures are added; compare only at the same number, {ADVISED:,} or more if you can.", warning=True)
    try:
        metrics = [metric.to(device) for metric in (FrechetInceptionDistance(2048), KernelInceptionDistance(2048))]
    except Exception as error:  # torch-fidelity fetches Inception's weights here
        raise LdmError(
            f"Inception's weights could not be fetched: {str(error).splitlines()[0]}", hint="They need the network once."
        ) from error
    for files, is_real in ((truth, True), (paths, False)):
        for first in range(0, len(files), batch_size):
            for path in files[first : first + batch_size]:  # one by one: their sizes may differ
                picture = torch.from_numpy(np.asarray(read_picture(path)).copy()).permute(2, 0, 1)[None].to(device)
                for metric in metrics:
                    metric.update(picture, real=is_real)
            yield Progress("real pictures" if is_real else "pictures", min(first + batch_size, len(files)), len(files))
    torch.manual_seed(seed)  # KID draws its subsets from torch's own generator
    mean, sd = metrics[1].compute()
    return DistributionDistance(
        fid=metrics[0].compute().item(), kid_mean=mean.item(), kid_sd=sd.item(), pictures=len(paths), real_pictures=len(truth)
    )
