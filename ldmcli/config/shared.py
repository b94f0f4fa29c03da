"""Groups of options that several commands have: which model, which device, what to print."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ldmcli.config.checks import MAX_SEED, check
from ldmcli.config.option import option
from ldmcli.config.options import Options
from ldmcli.errors import UsageError

Dtype = Literal["auto", "fp32", "fp16", "bf16"]
LONG_DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}

SEED = {"metavar": "INTEGER", "at_least": 0, "at_most": MAX_SEED, "bounds": "between 0 and 2**64 - 1"}
"""Of every option that is a seed."""
DRAWN_SEED = {
    **SEED,
    "bounds": "between -1 and 2**64 - 1",
    "hint": "-1 draws one.",
    "convert": lambda seed: None if seed == -1 else seed,
}
"""Of one that may be drawn."""
CFG_NAMES = ("--cfg", "--cfg-scale", "--guidance-scale")


def short_dtype(text: str) -> str:
    """float32 -> fp32; other words stay."""
    return LONG_DTYPES.get(text, text)


def check_device(text: str) -> str:
    """Raises UsageError for what cannot be a device."""
    kind, _, number = text.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and (kind != "cuda" or not number.isdigit())):
        raise UsageError(f"--device {text}: auto, cpu, cuda, cuda:N or mps.")
    return text


@dataclass(frozen=True, kw_only=True)
class OfflineOptions(Options, group="General"):
    """For what may ask the hub."""

    offline: bool = option(False, "--offline", help="Never use the network: the hub cache only.", how=True)


@dataclass(frozen=True, kw_only=True)
class ModelOptions(OfflineOptions, group="Model"):
    """Of every command that opens a model."""

    model: str = option(
        "bundled", "-m", "--model", metavar="MODEL", how=True, suggest=("bundled",),
        help="bundled, a training run, a diffusers folder, a .safetensors file, a hub id or a URL.",
    )  # fmt: skip
    vae: str | None = option(
        None, "--vae", metavar="MODEL", how=True, default_is="the model's", help="Another VAE: a model, its vae/ or a file.",
    )  # fmt: skip
    tokenizer: str | None = option(
        None, "--tokenizer", metavar="DIR", how=True, default_is="the model's", help="CLIP's tokenizer, which a checkpoint file lacks.",
    )  # fmt: skip
    loras: tuple[str, ...] = option(
        (), "--lora", metavar="FILE[:SCALE]", repeat=True, how=True, help="A LoRA file, or a folder or run with one; repeatable.",
    )  # fmt: skip
    prediction: Literal["epsilon", "v"] | None = option(
        None, "--prediction", default_is="what the model says", own="prediction", recorded=True, before=None,
        help="What the U-Net predicts, whatever the model says.",
    )  # fmt: skip
    variant: str | None = option(
        None, "--variant", metavar="NAME", how=True, default_is="weights without one", recorded=True, before=None,
        help="Which weights of a folder: fp16, non_ema, ...",
    )  # fmt: skip
    allow_pickle: bool = option(
        False, "--allow-pickle", how=True, help="Read .ckpt and .bin weights too (tensors alone; code in them is not run)."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.variant is None or self.variant.isidentifier(), f"--variant {self.variant}: a word such as fp16, bf16 or non_ema.")


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Options, group="Device"):
    """Where to compute."""

    device: str = option(
        "auto", "--device", metavar="auto|cpu|cuda|cuda:N|mps", help="Where to compute.", how=True, convert=check_device,
        suggest=("auto", "cpu", "cuda", "mps"),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions(DeviceOptions, group="Device"):
    """Where and in which precision to draw."""

    dtype: Dtype = option(
        "auto", "--dtype", help="Precision; float32, float16 and bfloat16 do too.", convert=short_dtype, how=True, recorded=True
    )


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options, group="General"):
    """Of every command."""

    config: Path | None = option(None, "--config", metavar="FILE", help="TOML with option names as keys; flags and LDM_<OPTION> win.")
    as_json: bool = option(False, "--json", help="Print one JSON document on stdout.")
    quiet: bool = option(False, "-q", "--quiet", help="Print bare results only.")


@dataclass(frozen=True, kw_only=True)
class TypedPrompts(Options, group="Prompts"):
    """Prompts from anywhere."""

    prompts: tuple[str, ...] = option((), argument=True, metavar="PROMPT...", repeat=True, help="What to draw.")
    more_prompts: tuple[str, ...] = option((), "-p", "--prompt", metavar="TEXT", repeat=True, help="Another prompt; repeatable.")
    prompts_file: str | None = option(
        None, "-f", "--prompts-file", "--from-file", metavar="FILE", help="One prompt a line, or JSON Lines; - is standard input."
    )
