"""What the autoencoder alone keeps of pictures that it has not been trained on."""

import torch
from build_dataset import is_for_judging

from judging.figures import Figure, Result
from judging.judge import Judge
from ldmcli.data.cache import to_unit_range
from ldmcli.engine.parts import make_codec
from ldmcli.metrics.psnr import psnr
from ldmcli.models.loading import load_vae
from ldmcli.models.source import find_model
from ldmcli.outputs.images import to_pillow
from ldmcli.reports.sheets import contact_sheet

SCENES = 300


def measure_reconstruction(judge: Judge) -> Result:
    """PSNR of the pictures that the VAE's part of the data set leaves out: of each emoji alone, and of scenes that hold one."""
    unseen = {code for code, emoji in judge.wardrobe.emoji.items() if is_for_judging(emoji)}
    alone = judge.some([row for row in judge.rows if row.get("emoji") in unseen])
    scenes = judge.some([row for row in judge.rows if unseen & {one["emoji"] for one in row.get("objects", ())}][:SCENES])
    rows = [*alone, *scenes]
    codec = make_codec(load_vae(find_model(judge.drawer.model).vae))
    truth = to_unit_range(torch.stack([judge.read(row) for row in rows]))
    with torch.no_grad():
        again = torch.cat([codec.decode(codec.encode(part)[0]) for part in truth.split(16)]).clamp(-1, 1)
    ours = psnr(again, truth)
    thumbs = [picture for pair in zip(to_pillow(truth), to_pillow(again), strict=True) for picture in pair]
    figures = [
        Figure(name="PSNR of emoji new to the VAE", value=ours[: len(alone)].mean().item(), unit="dB", cases=len(alone), bound=27),
        Figure(name="  the worst tenth", value=ours[: len(alone)].quantile(0.1).item(), unit="dB", cases=len(alone)),
    ]
    if scenes:
        figures.append(Figure(name="  scenes with such an emoji", value=ours[len(alone) :].mean().item(), unit="dB", cases=len(scenes)))
    details = [{"file": row["file_name"], "psnr_db": round(value, 2)} for row, value in zip(rows, ours.tolist(), strict=True)]
    labels = [f"{value:.1f} dB" for value in ours.tolist() for _ in range(2)]
    return Result(figures, details, contact_sheet(thumbs, 16, labels=labels, gap=2))
