"""What `ldm generate` was asked to do, checked on birth. Knows no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ldmcli.config.checks import check, is_text
from ldmcli.config.option import Conflict, option
from ldmcli.config.options import Options
from ldmcli.config.sampling import SamplingOptions, SizeOptions
from ldmcli.config.shared import Dtype, ModelOptions, RuntimeOptions, TypedPrompts, short_dtype
from ldmcli.config.sharing import check_shard
from ldmcli.config.starting import StartOptions

TILED_ABOVE = 1024 * 1024
"""Pixels of a picture beyond which it is decoded in tiles unless --no-tiled-decode. A fixed number: what is free must not decide pixels."""

LARGEST_UPSCALE = 32


def check_prompt(text: str) -> None:
    """Raise UsageError for what is no text."""
    check(is_text(text), "a prompt is not valid UTF-8 text.", "Check the encoding of your terminal or script.")


@dataclass(frozen=True, kw_only=True)
class PictureOptions(Options, group="Picture"):
    """What is made of the latents, and what is shown of the way there."""

    upscale: int = option(
        1, "--upscale", metavar=f"1..{LARGEST_UPSCALE}", help="Enlarge so many times, for looking.", at_least=1, at_most=LARGEST_UPSCALE,
        recorded=True,
    )  # fmt: skip
    resample: Literal["nearest", "lanczos"] = option(
        "nearest", "--resample", help="How --upscale enlarges.", recorded=True, conflicts=(
            Conflict(
                lambda options: options.upscale == 1,
                "--resample says how --upscale enlarges, and nothing is enlarged.", "Add --upscale 4, or leave it out.",
            ),
        ),
    )  # fmt: skip
    progressive: Literal["strip", "gif", "frames"] | None = option(None, "--progressive", help="Also write the way there.")
    progressive_kind: Literal["x0", "xt"] | None = option(
        None, "--progressive-kind", default_is="x0", help="Of it: x0, what the model predicted, or xt, the noisy picture."
    )
    preview: bool = option(
        False, "--preview", help="Show the picture in the terminal while it is drawn.", conflicts=(
            Conflict(
                lambda options: options.low_memory, "--preview decodes while the U-Net runs, and --low-memory holds one of the two.",
                "Leave out one of the two; see --progressive.",
            ),
        ),
    )  # fmt: skip
    trace: Path | None = option(
        None, "--trace", metavar="DIR", help="Take one picture apart: trace.html and trace.jsonl in this folder.", conflicts=(
            Conflict(lambda options: options.low_memory, "--trace looks at all networks, and --low-memory holds one."),
        ),
    )  # fmt: skip
    measure: bool = option(
        False, "--measure", help="Draw again without each approximate choice and compare.", conflicts=(
            Conflict(
                lambda options: options.quiet and not options.as_json, "--quiet hides what --measure prints.",
                "Leave out one of the two, or add --json.",
            ),
            Conflict(
                lambda options: options.low_memory,
                "--measure loads what is exact beside what is not, and --low-memory holds one network.",
            ),
        ),
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.progressive_kind is None or self.progressive is not None,
            "--progressive-kind says what --progressive shows.", "Add --progressive strip, gif or frames.",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Options, group="Output"):
    """How many pictures, where, and in which files."""

    num_images: int = option(
        1, "-n", "--num-images", metavar="N", help="Pictures per prompt.", at_least=1, at_most=10**6, per_prompt=True, group="Prompts"
    )
    output: str = option("outputs/", "-o", "--output", metavar="PATH", help="A file, a folder/, or a template: out/{prompt}-{seed}.png.")
    format: Literal["png", "webp", "jpg"] | None = option(
        None, "--format", help="Of the files; webp is lossless.", default_is="what --output says, else png",
        convert=lambda text: text.lower().replace("jpeg", "jpg"),
    )  # fmt: skip
    grid: bool = option(False, "--grid", help="Also write one sheet of all pictures; of a sweep, a labelled table.")
    index: bool = option(False, "--index", help="Also write index.html: the folder's pictures with prompt, seed and settings.")
    overwrite: bool = option(
        False, "--overwrite", help="Replace what exists.", conflicts=(
            Conflict(lambda options: options.resume, "--resume keeps what is finished and --overwrite replaces it."),
        ),
    )  # fmt: skip
    resume: bool = option(
        False, "--resume", help="Skip what the folder's manifest says is finished.", conflicts=(
            Conflict(lambda options: options.overwrite, "--resume keeps what is finished and --overwrite replaces it."),
        ),
    )  # fmt: skip
    shard: str | None = option(
        None, "--shard", metavar="I/N|auto", convert=check_shard, suggest=("auto",), group="Prompts",
        help="Draw this part of the job alone, from 1/N to N/N; auto asks the array of jobs that this is one of.", conflicts=(
            Conflict(
                lambda options: options.grid or options.trace is not None or options.frames_as is not None,
                "--shard draws a part, and --grid, --frames-as and --trace show the whole.", "Leave them out.",
            ),
            Conflict(
                lambda options: options.overwrite, "--overwrite replaces one named file, and --shard draws into a folder.",
            ),
        ),
    )  # fmt: skip
    metadata: bool = option(True, "--metadata/--no-metadata", help="Settings inside the file.")
    strict: bool = option(False, "--strict", help="A prompt or line that cannot be used as it is, is an error.", group="Prompts")


@dataclass(frozen=True, kw_only=True)
class BackendOptions(Options, group="Device"):
    """In which form the networks draw."""

    fuse: bool = option(
        True, "--fuse/--no-fuse", how=True, recorded=True, before=False,
        help="On a CPU: draw by copies of the networks with packed weights and fused operations; faster, at most 1 of 255 away.",
    )  # fmt: skip
    backend: Literal["torch", "openvino"] = option(
        "torch", "--backend", how=True, recorded=True, before="torch",
        help="What computes the U-Net; openvino: on a CPU, compiled for each size and batch size (pip install openvino).",
        conflicts=(
            Conflict(lambda options: bool(getattr(options, "low_memory", 0)), "--low-memory reads networks anew, --backend compiles them."),
            Conflict(lambda options: bool(getattr(options, "trace", 0)), "--trace looks into the plain networks.", "Leave out --backend."),
            Conflict(lambda options: bool(getattr(options, "compile", 0)), "--compile is torch's compiler, --backend takes another one."),
        ),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MemoryOptions(BackendOptions, group="Device"):
    """How the networks are held and run."""

    batch_size: int | None = option(
        None, "--batch-size", metavar="N", help="Pictures at a time.", default_is="8; 16 of 64 x 64 and smaller", at_least=1, how=True
    )
    vae_dtype: Dtype = option(
        "auto", "--vae-dtype", help="The VAE's precision, if another.", convert=short_dtype, recorded=True, before="auto", how=True
    )
    tiled_decode: bool | None = option(
        None, "--tiled-decode/--no-tiled-decode", "--vae-tiling/--no-vae-tiling", help="Decode in overlapping tiles.",
        default_is="beyond 1024 x 1024", recorded=True, before=False,
    )  # fmt: skip
    low_memory: bool = option(
        False, "--low-memory", how=True, help="Hold one network at a time; the same pictures, and every batch reads the files again."
    )
    force: bool = option(False, "--force", how=True, help="Draw although more memory is estimated to be needed than is free.")

    @property
    def stated_batch_size(self) -> int:
        """For commands whose own options always state it."""
        assert self.batch_size is not None
        return self.batch_size


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(
    ModelOptions, StartOptions, SamplingOptions, PictureOptions, OutputOptions, MemoryOptions, RuntimeOptions, SizeOptions
):
    """`ldm generate`. None means: what the model says, else the tool's default."""

    prompts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for text in self.prompts:
            check_prompt(text)

    @property
    def pictures(self) -> int:
        """How many a prompt asks for."""
        return self.frames or self.num_images


@dataclass(frozen=True, kw_only=True)
class RequestOptions(TypedPrompts, group="Prompts"):
    """Which pictures: prompts, sweeps, or a picture to draw again."""

    sweep: tuple[str, ...] = option(
        (), "--sweep", metavar="NAME=A,B", repeat=True, help="Such as cfg=3,5,7.5; repeat for every combination."
    )
    from_image: Path | None = option(None, "--from-image", metavar="PICTURE", help="Draw again what a picture of ours records.")
    merge: tuple[Path, ...] = option(
        (), "--merge", metavar="DIR...", repeat=True, group="Output", help="Draw nothing: join folders that hold parts of one job into -o."
    )
    verify: bool = option(False, "--verify", help="With --from-image: compare the pixels, write nothing.")


@dataclass(frozen=True, kw_only=True)
class ListOptions(Options, group="General"):
    """Ask instead of drawing."""

    list_schedulers: bool = option(False, "--list-schedulers", help="Print the schedulers and exit.")
    list_models: bool = option(False, "--list-models", help="Print the models that are on this machine and exit.")
