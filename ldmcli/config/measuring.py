"""What compare-schedulers, clipscore and bench were asked to do, checked on birth. Knows no torch."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from ldmcli.config.checks import check, is_text
from ldmcli.config.data import CaptionedOptions
from ldmcli.config.generation import BackendOptions, GenerateConfig
from ldmcli.config.option import option, shorthand
from ldmcli.config.options import Options
from ldmcli.config.sampling import GuidanceOptions, SizeOptions, picture_size
from ldmcli.config.shared import (
    CFG_NAMES,
    DRAWN_SEED,
    SEED,
    DeviceOptions,
    Dtype,
    ModelOptions,
    OfflineOptions,
    RuntimeOptions,
    short_dtype,
)  # fmt: skip

OVERWRITE = "Replace what exists."


@dataclass(frozen=True, kw_only=True)
class CompareConfig(ModelOptions, RuntimeOptions, GuidanceOptions, SizeOptions, BackendOptions, group="Sampling"):
    """`ldm compare-schedulers`: the same pictures by every scheduler at every step count."""

    schedulers: tuple[str, ...] = option(
        ("ddim", "pndm", "dpm++2m-karras", "unipc", "euler", "heun"), "--schedulers", "--samplers", metavar="A,B,...",
        help="Names with commas between; see generate --list-schedulers.", suggest="schedulers",
    )  # fmt: skip
    steps: tuple[int, ...] = option((5, 10, 20, 50), "--steps", metavar="A,B,...", help="Step counts with commas between.")
    equal_nfe: bool = option(False, "--equal-nfe", help="Read --steps as U-Net calls: each takes as many steps as fit in.")
    seeds: int = option(1, "--seeds", metavar="N", help="Pictures per prompt: seed, seed + 1, ...", at_least=1, at_most=10**6)
    reference_steps: int = option(250, "--reference-steps", metavar="1..999", help="Of the DDIM walk that errors are measured against.")
    clip_model: str = option(
        "auto", "--clip-model", metavar="MODEL", group="Scores", help="For CLIPScore: auto, none, bundled, a folder or a hub id.",
        suggest=("auto", "none", "bundled"),
    )  # fmt: skip
    batch_size: int = option(8, "--batch-size", metavar="N", group="Device", help="Pictures at a time.", at_least=1)
    output: Path | None = option(
        None, "-o", "--output", metavar="DIR", group="Output", help="Folder of the results.", default_is="outputs/compare-N"
    )
    overwrite: bool = option(False, "--overwrite", group="Output", help=OVERWRITE)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, values in (("--schedulers", self.schedulers), ("--steps", self.steps)):
            check(bool(values), f"{name} names nothing.")
            twice = [value for value in values if values.count(value) > 1]
            check(not twice, f"{name} names {twice[0] if twice else ''} twice.")

    @property
    def drawing(self) -> GenerateConfig:
        """What all pictures share, as the `generate` command it stands for, without scheduler and steps."""
        return GenerateConfig(**shared_fields(self), num_images=self.seeds)


@dataclass(frozen=True, kw_only=True)
class ClipScoreConfig(CaptionedOptions, DeviceOptions, OfflineOptions, group="Scores"):
    """`ldm clipscore`."""

    inputs: tuple[Path, ...] = option((), argument=True, metavar="IMAGE|DIR...", repeat=True, group="Data", help="What to score.")
    captions: Path | None = option(
        None, "--captions", metavar="FILE", group="Data", help="JSON, JSON Lines, CSV, TXT, or a folder of NAME.txt.",
        default_is="the pictures' metadata",
    )  # fmt: skip
    clip_model: str | None = option(
        None, "--clip-model", metavar="MODEL", help="`bundled`, a folder or a hub id.", suggest=("bundled",),
        default_is="openai/clip-vit-large-patch14; `bundled` for its own",
    )  # fmt: skip
    prefix: str = option("", "--prefix", metavar="TEXT", help='Before every caption, with a blank; Hessel et al. use "A photo depicts".')
    references: Path | None = option(None, "--references", metavar="FILE", help="Reference captions, as --captions; adds RefCLIPScore.")
    baseline: Literal["shuffled"] | None = option(None, "--baseline", help="shuffled: the same pictures with each other's captions.")
    compare: Path | None = option(None, "--compare", metavar="DIR", help="Another folder of the same prompts: the paired difference.")
    fid: Path | None = option(None, "--fid", metavar="DIR", help="Folder of real pictures; adds FID and KID (needs torch-fidelity).")
    seed: int = option(0, "-s", "--seed", help="Of the bootstrap and the permutations.", **SEED)
    batch_size: int = option(32, "--batch-size", metavar="N", group="Device", help="Pictures at a time.", at_least=1)
    output: Path | None = option(
        None, "-o", "--output", metavar="FILE", group="Output", help="Every pair's cosine: a .json, .jsonl or .csv file."
    )
    overwrite: bool = option(False, "--overwrite", group="Output", help=OVERWRITE)

    @property
    def caption_start(self) -> str:
        """What stands before every caption: the prefix, and a blank as in Hessel et al. 2021, whose code adds it where it lacks."""
        return self.prefix + " " * (bool(self.prefix) and not self.prefix[-1].isspace())

    def __post_init__(self) -> None:
        super().__post_init__()
        check(bool(self.inputs) or self.data is not None, "no picture was named.", "Try: ldm clipscore outputs/")
        check(self.captions is None or self.data is None, "--captions and --data both say where the captions are.", "Leave one out.")
        check(self.captions is None or bool(self.inputs), "--captions needs the pictures that it is about.", "Name their folder.")
        check(is_text(self.prefix), "--prefix is not valid UTF-8 text.")
        if self.output is not None:
            kinds = (".json", ".jsonl", ".csv")
            check(self.output.suffix in kinds, f"--output {self.output}: a name that ends in {', '.join(kinds)}.")
            check(self.overwrite or not self.output.exists(), f"--output {self.output} already exists.", "--overwrite replaces it.")
            check(self.output.absolute().parent.is_dir(), f"--output {self.output}: there is no such folder.")


def one_size(text: str) -> tuple[tuple[int, int], ...]:
    """ "64,96x64" -> ((64, 64), (96, 64)). Raises UsageError."""
    return tuple((size["width"], size["height"]) for size in map(picture_size, (part.strip() for part in str(text).split(","))))


@dataclass(frozen=True, kw_only=True)
class BenchConfig(ModelOptions, DeviceOptions, BackendOptions, group="Measurement"):
    """`ldm bench`. The tuples are the axes of the matrix; an empty one means what the model says."""

    dtypes: tuple[Dtype, ...] = option(
        ("auto",), "--dtype", metavar="auto|fp32|fp16|bf16,...", help="Precision; several with commas.", convert=short_dtype, group="Device"
    )
    batch_sizes: tuple[int, ...] = option(
        (1,), "--batch-size", metavar="A,B,...", help="Pictures at a time; several with commas.", at_least=1, group="Device"
    )
    sizes: tuple[tuple[int, int], ...] = ()
    """(width, height) in pixels."""
    size: ClassVar[Any] = shorthand(
        "--size", metavar="WIDTHxHEIGHT,...", help="Several with commas.", group="Picture", default_is="the model's",
        stands_for=lambda text: {"sizes": one_size(text)}, own="size",
    )  # fmt: skip
    steps: tuple[int, ...] = option(
        (), "--steps", metavar="A,B,...", help="Of the scheduler; several with commas.", group="Sampling", default_is="the model's",
        own="steps",
    )  # fmt: skip
    schedulers: tuple[str, ...] = option(
        (), "--scheduler", "--sampler", metavar="A,B,...", help="Several with commas.", group="Sampling", suggest="schedulers",
        default_is="the model's", own="scheduler",
    )  # fmt: skip
    cfg: float | None = option(
        None, *CFG_NAMES, metavar="NUMBER", help="Guidance scale; 1 or less: no guidance, half the work.", default_is="the model's",
        at_least=0, group="Sampling", own="cfg",
    )  # fmt: skip
    prompt: str = option("a dog", "-p", "--prompt", metavar="TEXT", help="What every picture shows.", group="Prompts")
    seed: int | None = option(0, "-s", "--seed", help="Picture i of a batch has seed + i; -1 draws one.", group="Sampling", **DRAWN_SEED)
    runs: int = option(7, "--runs", metavar="N", help="Timed runs of each configuration; the median counts.", at_least=1, at_most=10_000)
    warmup: int = option(
        2, "--warmup", metavar="N", help="Runs before them that do not count.", at_least=1, at_most=1000,
        hint="A first run is never like the others.",
    )  # fmt: skip
    compile: bool = option(False, "--compile", help="torch.compile the U-Net (in the warm-up).")
    compare: tuple[Literal["diffusers", "openvino", "onnxruntime", "sdcpp"], ...] = option(
        (), "--compare", metavar="diffusers,openvino,onnxruntime,sdcpp",
        help="The same pictures by other tools, in turn; sdcpp: stable-diffusion.cpp.",
        suggest=("diffusers", "openvino", "onnxruntime", "sdcpp"),
    )  # fmt: skip
    pixel_space: bool = option(False, "--pixel-space", help="What the same U-Net costs on pixels, without the VAE.")
    train: bool = option(False, "--train", help="Also time training steps, on made-up latents.")
    train_batch_size: int = option(16, "--train-batch-size", metavar="N", help="Pictures of a training step.", at_least=1)
    export_json: Path | None = option(None, "--export-json", metavar="FILE", group="Output", help="Write what --json prints to a file.")
    export_csv: Path | None = option(None, "--export-csv", metavar="FILE", group="Output", help="One line for each configuration.")
    export_markdown: Path | None = option(
        None, "--export-markdown", metavar="FILE", group="Output", help="A table for an issue or a README."
    )
    chart: Path | None = option(None, "--chart", metavar="FILE", group="Output", help="A PNG with a bar for each configuration.")
    overwrite: bool = option(False, "--overwrite", group="Output", help=OVERWRITE)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(not (self.compare and self.compile), "--compare with --compile would compile one side only.", "Leave one of them out.")
        check(
            not ("diffusers" in self.compare and (self.vae or self.loras or self.tokenizer or self.prediction)),
            "--compare diffusers opens the model as it is; --vae, --lora, --tokenizer and --prediction would be of one side only.",
            "Leave one of them out.",
        )
        check(
            not ("sdcpp" in self.compare and (self.vae or self.loras)),
            "--compare sdcpp opens the file as it is; --vae and --lora would be of one side only.",
            "Leave one of them out.",
        )
        check(self.backend not in self.compare, f"--compare {self.backend} is what --backend draws with.", "Leave one of them out.")
        files = [path for path in (self.export_json, self.export_csv, self.export_markdown, self.chart) if path]
        check(len(set(files)) == len(files), "two of --export-json, --export-csv, --export-markdown and --chart name the same file.")
        for path in files:
            check(self.overwrite or not path.exists(), f"{path} exists.", "Name another file, or add --overwrite.")
            check(not path.is_dir(), f"{path} is a folder.", "Name a file.")

    @property
    def drawing(self) -> GenerateConfig:
        """What all cells share, as the `generate` command it stands for."""
        return GenerateConfig(**shared_fields(self), prompts=(self.prompt,))


COMPARED = {"steps", "output", "overwrite"}
"""Fields of the same name as in GenerateConfig that hold several, or name a folder of results."""


def shared_fields(config: Options) -> dict[str, Any]:
    """The fields that a config has in common with GenerateConfig: what opens the model and guides every picture."""
    own = {field.name for field in fields(GenerateConfig)} - COMPARED
    return {name: value for name, value in vars(config).items() if name in own}
