"""What the autoencoder alone keeps of pictures that it has not been trained on."""

import torch

from judging.figures import Figure, Result
from judging.judge import Judge
from ldmcli.data.cache import to_unit_range
from ldmcli.engine.session import make_codec
from ldmcli.engine.train_vae import split
from ldmcli.images import to_pillow
from ldmcli.metrics.psnr import psnr
from ldmcli.models.loading import load_vae
from ldmcli.models.source import find_model
from ldmcli.reports.sheets import contact_sheet

SEED, HELD_OUT = 0, 0.02
"""The defaults of `ldm train-vae`, which vae.toml leaves as they are: they decide which pictures it never saw."""


def measure_reconstruction(judge: Judge) -> Result:
    """PSNR of the pictures that `train-vae` held out."""
    _, held_out = split(list(range(len(judge.rows))), SEED, HELD_OUT)
    rows = judge.some([judge.rows[i] for i in held_out])
    codec = make_codec(load_vae(find_model(judge.drawer.model).vae))
    truth = to_unit_range(torch.stack([judge.read(row) for row in rows]))
    with torch.no_grad():
        again = torch.cat([codec.decode(codec.encode(part)[0]) for part in truth.split(16)]).clamp(-1, 1)
    ours = psnr(again, truth)
    thumbs = [picture for pair in zip(to_pillow(truth), to_pillow(again), strict=True) for picture in pair]
    figure = Figure(name="reconstruction, PSNR", value=ours.mean().item(), unit="dB", cases=len(rows), bound=27)
    worst = Figure(name="  the worst tenth", value=ours.quantile(0.1).item(), unit="dB", cases=len(rows))
    details = [{"file": row["file_name"], "psnr_db": round(value, 2)} for row, value in zip(rows, ours.tolist(), strict=True)]
    labels = [f"{value:.1f} dB" for value in ours.tolist() for _ in range(2)]
    return Result([figure, worst], details, contact_sheet(thumbs, 16, labels=labels, gap=2))
