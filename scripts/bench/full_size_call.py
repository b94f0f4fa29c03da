"""One guided call of a U-Net in SD v1.4's full size, by ldm, diffusers and OpenVINO, the same weights, in fp32 and bf16.

    python scripts/build_sd14.py CONFIG_FOLDER OUT
    python scripts/bench/full_size_call.py OUT/diffusers [--latent-side 64] [--runs 3] [--ways copy,openvino-f32]

In turn, OMP_NUM_THREADS threads or all cores. Prints one JSON document: median seconds of each way, all of its times, and the largest
difference to the answer of the first way over the largest number of that. A call takes many seconds, and all ways together 16 GB.

    copy, plain             ldm's inference copy and its plain network, fp32
    bf16                    what ldm draws with under --dtype bf16
    backend-f32, -bf16      what --backend openvino runs
    diffusers[-bf16]        UNet2DConditionModel
    openvino-f32, -bf16     the same, exported with static shapes and the precision stated
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor
from unet_call import LENGTH, Call, backend_calls, openvino_calls

from ldmcli.models.loading import load_unet
from ldmcli.networks.attention import TextContext
from ldmcli.networks.inference import inference_unet
from ldmcli.runtime.device import set_threads

WAYS = ("copy", "bf16", "backend-f32", "backend-bf16", "diffusers", "diffusers-bf16", "openvino-f32", "openvino-bf16")
WARM_UP = 1


def machine() -> dict[str, str | int]:
    """What the times belong to."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor()
    return {"processor": model, "machine": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def of_ldm(model: Path, name: str, x: Tensor, t: Tensor, states: Tensor) -> Call:
    """A call of ldm's own network."""
    unet = load_unet(model)
    if name == "bf16":
        unet, x, states = unet.to(torch.bfloat16), x.bfloat16(), states.bfloat16()
    network, context = unet if name == "plain" else inference_unet(unet), TextContext(states, remember=True)
    return lambda: network(x, t, context)  # type: ignore[no-any-return]


def of_diffusers(model: Path, name: str, x: Tensor, t: Tensor, states: Tensor) -> Call:
    """A call of diffusers' network."""
    from diffusers import UNet2DConditionModel

    dtype = torch.bfloat16 if "bf16" in name else torch.float32
    theirs = UNet2DConditionModel.from_pretrained(model, subfolder="unet", torch_dtype=dtype, local_files_only=True).eval()
    return lambda: theirs(x.to(dtype), t, states.to(dtype)).sample  # type: ignore[no-any-return]


def of_openvino(model: Path, name: str, x: Tensor, t: Tensor, states: Tensor) -> Call:
    """A call of diffusers' network as OpenVINO compiles it, or of what --backend openvino runs."""
    from diffusers import UNet2DConditionModel

    precision = name.rpartition("-")[2]
    if name.startswith("backend"):
        calls = backend_calls(model, x, t, states, [precision])
    else:
        theirs = UNet2DConditionModel.from_pretrained(model, subfolder="unet", local_files_only=True).eval()
        calls = openvino_calls(theirs, [x, t, states], [precision])
    (call,) = calls.values()
    return call


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--latent-side", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ways", default=",".join(WAYS))
    args = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    set_threads()
    torch.manual_seed(0)
    x = torch.randn(1, 4, args.latent_side, args.latent_side).repeat(2, 1, 1, 1)
    width = json.loads((args.model / "unet/config.json").read_text(encoding="utf-8"))["cross_attention_dim"]
    states, t = torch.randn(2, LENGTH, width), torch.full((2,), 500.0)
    calls: dict[str, Call] = {}
    for name in args.ways.split(","):
        kind = of_openvino if name.startswith(("openvino", "backend")) else of_diffusers if name.startswith("diffusers") else of_ldm
        calls[name] = kind(args.model, name, x, t, states)
    times: dict[str, list[float]] = {name: [] for name in calls}
    answers = {}
    for number in range(-WARM_UP, args.runs):
        for name, call in calls.items():
            started = time.perf_counter()
            answer = call()
            if number >= 0:
                times[name].append(time.perf_counter() - started)
            print(name, round(time.perf_counter() - started, 2), file=sys.stderr, flush=True)
            answers[name] = answer.float().clone()
    first = answers[next(iter(answers))]
    report = {
        "row": "guided U-Net call, SD v1.4 shape",
        "latent_side": args.latent_side,
        "median_s": {name: round(statistics.median(found), 3) for name, found in times.items()},
        "apart": {name: float((answer - first).abs().max() / first.abs().max()) for name, answer in answers.items()},
        "times_s": {name: [round(value, 3) for value in found] for name, found in times.items()},
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        **machine(),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
