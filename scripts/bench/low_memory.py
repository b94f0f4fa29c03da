"""What `ldm generate --low-memory` saves: peak memory and time of one picture, with it and without, each in a process of its own.

    python scripts/bench/low_memory.py [--runs 3]

The model has random weights: a U-Net of channels (192,384,768), the VAE of Stable Diffusion 1.x, a text tower of CLIP-L's width and depth
with the bundled vocabulary. Prints the size of each network, the medians of the runs, and whether the pictures are the same bytes.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from full_size import apart, run
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from ldmcli.models.source import BUNDLED

sys.path.append(str(Path(__file__).parents[1]))


def networks() -> dict[str, nn.Module]:
    """By the names of their folders."""
    torch.manual_seed(0)
    levels = {"down_block_types": ("CrossAttnDownBlock2D",) * 3, "up_block_types": ("CrossAttnUpBlock2D",) * 3}
    halvings = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    text = CLIPTextConfig.from_pretrained(BUNDLED / "text_encoder")
    text.update({"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12})
    text.bos_token_id = text.eos_token_id - 1
    return {
        "unet": UNet2DConditionModel(block_out_channels=(192, 384, 768), cross_attention_dim=768, attention_head_dim=8, **levels),
        "text_encoder": CLIPTextModel(text),
        "vae": AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, **halvings),
    }


def build(folder: Path) -> None:
    """Write the model and print what its weights take."""
    from build_sd14 import save_folder

    made = networks()
    for name, network in made.items():
        print(f"{name:13}{sum(weight.numel() for weight in network.parameters()) * 4 / 2**20:>8.0f} MiB", flush=True)
    save_folder(BUNDLED, folder, made)


def draw(model: Path, target: Path, *options: str) -> tuple[float, float]:
    """Peak GiB and seconds of the process."""
    command = [sys.executable, "-m", "ldmcli", "generate", "a cat", "-m", str(model), "--size", "128", "--steps", "2", "-s", "0"]
    started = time.perf_counter()
    _, peak = run([*command, "--device", "cpu", "--overwrite", "-q", "-o", str(target), *options])
    return peak, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        model, ways = Path(folder) / "model", {"all-there": (), "low-memory": ("--low-memory",)}
        apart(build, model)
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(runs):
            for way, options in ways.items():
                found[way].append(draw(model, Path(folder) / f"{way}.png", *options))
        for way, values in found.items():
            peak, seconds = (statistics.median(column) for column in zip(*values, strict=True))
            print(f"{way:13}{peak * 1024:>8.0f} MiB at the peak, {seconds:.1f} s")
        pictures = {(Path(folder) / f"{way}.png").read_bytes() for way in ways}
        print("the same bytes" if len(pictures) == 1 else "other bytes")


if __name__ == "__main__":
    main()
