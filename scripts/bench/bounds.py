"""How near a model's networks come to what this machine can multiply: what is left to win where a row of the table is missed.

    python scripts/bench/bounds.py [--model FOLDER] [--pictures 1,8,32] [--latent-side 8] [--steps 10] [--runs 9]

The machine's best is that of the fastest of a few matrix products, fp32, OMP_NUM_THREADS threads or all cores. A JSON line for it, and
one for each number of pictures: billions of multiplications and additions of a guided U-Net call and of a decoding, as the plain network
does them (torch's own counter), milliseconds of the inference copy, its share of the machine's best, and the pictures a second that
`--steps` guided calls and a decoding could reach at that best and do reach. Where the copy convolves by Winograd's algorithm it needs fewer
multiplications than are counted: its share of the best is then lower than printed.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ldmcli.models.loading import load_unet, load_vae
from ldmcli.models.source import BUNDLED
from ldmcli.networks.attention import TextContext
from ldmcli.networks.inference import InferenceUNet, prepare_decoder
from ldmcli.runtime.device import set_threads

LENGTH = 77
PRODUCTS = ((2048, 2048, 2048), (1024, 192, 1728), (4096, 512, 512))
"""(m, n, k) of (m, k) times (k, n): a large square one, and two as networks have them."""


def median_s(call: Callable[[], object], runs: int) -> float:
    """Of so many, after two that do not count."""
    times = []
    for number in range(-2, runs):
        started = time.perf_counter()
        call()
        if number >= 0:
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def best_rate(runs: int) -> dict[str, float]:
    """Billions a second of each product."""
    rates = {}
    for m, n, k in PRODUCTS:
        left, right, product = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
        rates[f"{m}x{k}x{n}"] = 2e-9 * m * n * k / median_s(lambda: torch.mm(left, right, out=product), runs)  # noqa: B023
    return rates


def counted(call: Callable[[], object]) -> float:
    """Billions of multiplications and additions."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--pictures", default="1,8,32")
    parser.add_argument("--latent-side", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--runs", type=int, default=9)
    args = parser.parse_args()
    set_threads()
    rates = best_rate(args.runs)
    best = max(rates.values())
    print(
        json.dumps({"what": "matrix products", "threads": torch.get_num_threads(), "gflop_s": {k: round(v, 1) for k, v in rates.items()}})
    )
    plain, copy, vae, fused = load_unet(args.model), InferenceUNet(load_unet(args.model)), load_vae(args.model), load_vae(args.model)
    prepare_decoder(fused)
    side = args.latent_side
    for pictures in map(int, args.pictures.split(",")):
        z = torch.randn(pictures, plain.config.in_channels, side, side)
        x, t = z.repeat(2, 1, 1, 1), torch.tensor(500.0).expand(2 * pictures)
        states = torch.randn(len(x), LENGTH, plain.config.cross_attention_dim)
        kept = TextContext(states, remember=True)
        work = {"unet": counted(lambda: plain(x, t, TextContext(states, remember=True))), "decoder": counted(lambda: vae.decode(z))}  # noqa: B023
        times = {"unet": median_s(lambda: copy(x, t, kept), args.runs), "decoder": median_s(lambda: fused.decode(z), args.runs)}  # noqa: B023
        shares = {name: round(work[name] / times[name] / best, 3) for name in work}
        most = pictures * best / (args.steps * work["unet"] + work["decoder"])
        now = pictures / (args.steps * times["unet"] + times["decoder"])
        row = {"what": "networks", "pictures": pictures, "gflop": work, "ms": {name: 1e3 * value for name, value in times.items()}}
        row |= {"share_of_best": shares, "pictures_a_second": {"at the best": most, "now": now}}
        print(json.dumps({**row, "ratio": most / now}, default=float))


if __name__ == "__main__":
    main()
