"""One guided call of the U-Net, and one picture from the VAE: plain network, inference copy, diffusers and OpenVINO, the same weights.

    python scripts/bench/unet_call.py [--model FOLDER] [--pictures 1,8] [--latent-side 8] [--runs 9] [--precisions f32,bf16]

In turn, OMP_NUM_THREADS threads or all cores. Prints a JSON line per number of pictures: median milliseconds of a call, what each takes
over ours, and the largest difference to the plain network's answer, over its largest number. `openvino` is diffusers' network exported with
static shapes and a stated precision, as others use it; `backend openvino` is what `--backend openvino` runs. Both of ours keep keys and
values of the text, as generate does. What is not installed is left out, and said.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ldmcli.models.loading import load_unet, load_vae
from ldmcli.models.source import BUNDLED
from ldmcli.networks.attention import TextContext
from ldmcli.networks.inference import InferenceUNet, prepare_decoder
from ldmcli.networks.openvino import OpenVINOUNet
from ldmcli.networks.unet import UNet
from ldmcli.runtime.device import set_threads
from ldmcli.runtime.files import user_cache

LENGTH = 77
Call = Callable[[], Tensor]


def openvino_calls(theirs: nn.Module, inputs: list[Tensor], precisions: list[str]) -> dict[str, Call]:
    """diffusers' network, exported with static shapes: one compiled model per precision, which it states."""
    import openvino

    shapes = [list(value.shape) for value in inputs]
    model = openvino.convert_model(Answer(theirs), example_input=tuple(inputs), input=shapes)
    calls = {}
    for precision in precisions:
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
        request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
        for i, value in enumerate(inputs):
            request.set_input_tensor(i, openvino.Tensor(value.numpy(), shared_memory=True))

        def call(request: Any = request, shared: Any = inputs) -> Tensor:  # whose memory the request reads: it has to stay
            request.infer()
            return torch.from_numpy(request.get_output_tensor(0).data)

        calls[f"openvino {precision}"] = call
    return calls


def backend_calls(model: Path, x: Tensor, t: Tensor, states: Tensor, precisions: list[str]) -> dict[str, Call]:
    """`--backend openvino`: what the package exports."""
    calls = {}
    for precision in precisions:
        dtype = {name: dtype for dtype, name in OpenVINOUNet.precisions.items()}[precision]
        root = user_cache()
        ours = OpenVINOUNet(load_unet(model).to(dtype), root and root / "openvino")
        kept, latents = TextContext(states.to(dtype), remember=True), x.to(dtype)

        def call(ours: UNet = ours, kept: TextContext = kept, latents: Tensor = latents) -> Tensor:
            return ours(latents, t, kept).float()  # type: ignore[no-any-return]

        calls[f"backend openvino {precision}"] = call
    return calls


class Answer(nn.Module):
    """diffusers' U-Net with its prediction alone."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, t: Tensor, states: Tensor) -> Tensor:
        """x: (B, C, h, w); t: (B,); states: (B, L, D). Returns (B, C, h, w)."""
        return self.unet(x, t, states, return_dict=False)[0]  # type: ignore[no-any-return]


def peer_calls(model: Path, x: Tensor, t: Tensor, states: Tensor, precisions: list[str]) -> tuple[dict[str, Call], dict[str, str]]:
    """Of diffusers and OpenVINO, and what is missing: how to get it."""
    try:
        from diffusers import UNet2DConditionModel
    except ImportError:
        return {}, {"diffusers": "pip install diffusers"}
    theirs = UNet2DConditionModel.from_pretrained(model, subfolder="unet").eval()
    calls: dict[str, Call] = {"diffusers": lambda: theirs(x, t, states).sample}
    try:
        calls |= openvino_calls(theirs, [x, t.contiguous(), states], precisions) | backend_calls(model, x, t, states, precisions)
    except ImportError:
        return calls, {"openvino": "pip install openvino"}
    return calls, {}


def interleaved(calls: dict[str, Call], runs: int) -> dict[str, float]:
    """Median milliseconds of each."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-2, runs):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if number >= 0:
                times[name].append(time.perf_counter() - started)
    return {name: round(1000 * statistics.median(values), 3) for name, values in times.items()}


def row(what: str, pictures: int, calls: dict[str, Call], runs: int, missing: dict[str, str]) -> None:
    """Measure and print."""
    wanted = calls["plain"]()
    answers = {name: call().clone() for name, call in calls.items()}
    apart = {name: float((answer - wanted).abs().max() / wanted.abs().max()) for name, answer in answers.items() if name != "plain"}
    wrong = [name for name, value in apart.items() if not value <= (0.1 if "bf16" in name else 1e-4)]
    assert not wrong, f"{wrong} compute something else: {apart}"  # their times would mean nothing
    times = interleaved(calls, runs)
    ours = {name: round(value / times["copy"], 3) for name, value in times.items() if name != "copy"}
    machine = {"machine": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__, "runs": runs}
    print(json.dumps({"what": what, "pictures": pictures, "ms": times, "over_copy": ours, "apart": apart, "missing": missing, **machine}))


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--pictures", default="1,8")
    parser.add_argument("--latent-side", type=int, default=None)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--precisions", default="f32,bf16")
    args = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    set_threads()
    torch.manual_seed(0)
    plain, copy = load_unet(args.model), InferenceUNet(load_unet(args.model))
    side = args.latent_side or plain.config.sample_size
    for pictures in map(int, args.pictures.split(",")):
        x = torch.randn(pictures, plain.config.in_channels, side, side).repeat(2, 1, 1, 1)
        states, t = torch.randn(len(x), LENGTH, plain.config.cross_attention_dim), torch.tensor(500.0).expand(len(x))
        kept, kept_by_copy = TextContext(states, remember=True), TextContext(states, remember=True)
        calls: dict[str, Call] = {"plain": lambda: plain(x, t, kept), "copy": lambda: copy(x, t, kept_by_copy)}  # noqa: B023
        plain(x, t, kept)
        theirs, missing = peer_calls(args.model, x, t, states, args.precisions.split(","))
        calls |= theirs
        row("U-Net, guided call", pictures, calls, args.runs, missing)
    vae, fused = load_vae(args.model), load_vae(args.model)
    prepare_decoder(fused)
    z = torch.randn(1, plain.config.in_channels, side, side)
    row("VAE, decoding", 1, {"plain": lambda: vae.decode(z), "copy": lambda: fused.decode(z)}, args.runs, {})


if __name__ == "__main__":
    main()
