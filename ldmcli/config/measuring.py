"""What compare-schedulers, clipscore and bench were asked to do, checked on birth. Knows no torch."""

from dataclasses import dataclass, field
from pathlib import Path

from ldmcli.config.checks import MAX_SEED, check, is_text
from ldmcli.config.generation import GenerateConfig


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """`ldm compare-schedulers`: the same pictures by every scheduler at every step count."""

    drawing: GenerateConfig = field(default_factory=GenerateConfig)
    """What all share. num_images: seeds per prompt; scheduler, steps, output and prompts are not used."""
    schedulers: tuple[str, ...] = ("ddim", "pndm", "dpm++2m-karras", "unipc", "euler", "heun")
    """Names of the catalogue."""
    steps: tuple[int, ...] = (5, 10, 20, 50)
    equal_nfe: bool = False
    """Read `steps` as U-Net calls: each scheduler takes as many steps as fit in."""
    reference_steps: int = 250
    """Steps of the DDIM walk that the others are measured against."""
    clip_model: str = "auto"
    """auto, none, or what `load_scorer` takes."""
    output: Path | None = None
    """None: outputs/compare-N."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        for option, values in (("--schedulers", self.schedulers), ("--steps", self.steps)):
            check(bool(values), f"{option} names nothing.")
            twice = [value for value in values if values.count(value) > 1]
            check(not twice, f"{option} names {twice[0] if twice else ''} twice.")


@dataclass(frozen=True, kw_only=True)
class ClipScoreConfig:
    """`ldm clipscore`."""

    inputs: tuple[Path, ...] = ()
    captions: Path | None = None
    data: Path | None = None
    limit: int | None = None
    """Only the first so many pictures."""
    clip_model: str | None = None
    """None: the bundled scorer for pictures of the bundled model, else OpenAI's ViT-L/14."""
    prefix: str = ""
    references: Path | None = None
    baseline: str | None = None
    compare: Path | None = None
    fid: Path | None = None
    """Real pictures to measure FID and KID against."""
    output: Path | None = None
    overwrite: bool = False
    batch_size: int = 32
    seed: int = 0
    device: str = "auto"
    offline: bool = False

    @property
    def caption_start(self) -> str:
        """What stands before every caption: the prefix, and a blank as in Hessel et al. 2021, whose code adds it where it lacks."""
        return self.prefix + " " * (bool(self.prefix) and not self.prefix[-1].isspace())

    def __post_init__(self) -> None:
        check(bool(self.inputs) or self.data is not None, "no picture was named.", "Try: ldm clipscore outputs/")
        check(self.captions is None or self.data is None, "--captions and --data both say where the captions are.", "Leave one out.")
        check(self.captions is None or bool(self.inputs), "--captions needs the pictures that it is about.", "Name their folder.")
        check(self.baseline in (None, "shuffled"), f"--baseline {self.baseline}: shuffled.")
        check(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}.")
        check(self.limit is None or self.limit >= 1, f"--limit must be at least 1, got {self.limit}.")
        check(0 <= self.seed <= MAX_SEED, f"--seed must be between 0 and 2**64 - 1, got {self.seed}.")
        check(is_text(self.prefix), "--prefix is not valid UTF-8 text.")
        if self.output is not None:
            kinds = (".json", ".jsonl", ".csv")
            check(self.output.suffix in kinds, f"--output {self.output}: a name that ends in {', '.join(kinds)}.")
            check(self.overwrite or not self.output.exists(), f"--output {self.output} already exists.", "--overwrite replaces it.")
            check(self.output.absolute().parent.is_dir(), f"--output {self.output}: there is no such folder.")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """`ldm bench`. The tuples are the axes of the matrix; an empty one means what the model says."""

    model: str = "bundled"
    dtypes: tuple[str, ...] = ("auto",)
    batch_sizes: tuple[int, ...] = (1,)
    sizes: tuple[tuple[int | None, int | None], ...] = ()
    """(width, height) in pixels."""
    steps: tuple[int, ...] = ()
    schedulers: tuple[str, ...] = ()
    cfg: float | None = None
    prompt: str = "a dog"
    seed: int | None = 0
    """None draws one."""
    runs: int = 7
    warmup: int = 2
    """Runs whose times are thrown away."""
    compile: bool = False
    compare: str | None = None
    """The name of a peer that draws the same pictures in turn with us."""
    pixel_space: bool = False
    train: bool = False
    train_batch_size: int = 16
    device: str = "auto"
    export_json: Path | None = None
    export_csv: Path | None = None
    export_markdown: Path | None = None
    chart: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check(1 <= self.runs <= 10_000, f"--runs must be between 1 and 10,000, got {self.runs}.")
        check(1 <= self.warmup <= 1000, f"--warmup must be between 1 and 1000, got {self.warmup}.", "A first run is never like the others.")
        check(self.compare in (None, "diffusers"), f"--compare {self.compare}: diffusers is the only peer.")
        check(not (self.compare and self.compile), "--compare with --compile would compile one side only.", "Leave one of them out.")
        check(self.train_batch_size >= 1, f"--train-batch-size must be at least 1, got {self.train_batch_size}.")
        files = [path for path in (self.export_json, self.export_csv, self.export_markdown, self.chart) if path]
        check(len(set(files)) == len(files), "two of --export-json, --export-csv, --export-markdown and --chart name the same file.")
        for path in files:
            check(self.overwrite or not path.exists(), f"{path} exists.", "Name another file, or add --overwrite.")
            check(not path.is_dir(), f"{path} is a folder.", "Name a file.")
