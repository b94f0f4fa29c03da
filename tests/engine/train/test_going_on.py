"""A run goes on by its own record, wherever it lies; what may not change is told."""

import shutil

import pytest
from runs import BASE, LOOKING, assert_same_bits, config_for, stop_after

from ldmcli.commands.settings import Invocation
from ldmcli.commands.training import resolve_config
from ldmcli.config.shared import ReportOptions
from ldmcli.config.training import TrainVAEConfig

pytestmark = pytest.mark.early


@pytest.fixture(scope="module")
def begun(straight, coco, model, tmp_path_factory):
    """(kind, folder of a run stopped at 3 of 6 steps, folder of one that ran through)."""
    kind, whole = straight
    output = tmp_path_factory.mktemp(kind) / "run"
    stop_after(config_for(kind, coco, model, output, force=True, **LOOKING), 3)
    return kind, output, whole


@pytest.fixture
def run(begun, tmp_path):
    """The same, the stopped run in a copy: it has been moved."""
    kind, stopped, straight = begun
    return kind, shutil.copytree(stopped, tmp_path / "moved"), straight


GOING_ON = {
    "its own file and auto": lambda run: ("--config", run / "config.toml", "--resume", "auto"),
    "its own file and latest": lambda run: ("--config", run / "config.toml", "--resume", "latest"),
    "its folder alone": lambda run: ("--resume", run),
    "-o and latest": lambda run: ("-o", run, "--resume", "latest"),
    "what may change": lambda run: ("--resume", run, "--keep", "9", "--max-hours", "9", "--save-every", "2", "--workers", "1"),
    "the same values": lambda run: ("--resume", run, "--lr", "0.001", "--batch-size", "8", "--max-steps", "6"),
    "one of its checkpoints": lambda run: ("--resume", run / "checkpoints" / "step-000003", "-o", run),
}


@pytest.mark.parametrize("way", GOING_ON)
def test_a_run_goes_on_by_its_own_record_wherever_it_lies(way, run, ldm):
    kind, moved, straight = run
    if kind == "unet" and way not in ("its own file and auto", "one of its checkpoints"):
        pytest.skip("the record is read before the kind of run matters")
    code, out, err = ldm(f"train-{kind}", *GOING_ON[way](moved))
    assert code == 0 and "resumed step-000003" in err and out.splitlines() == [str(moved / "model")], err
    assert_same_bits(straight, moved, step=6)


REFUSED = {
    "another width": ("--channels", {"vae": "16,16,16,16", "unet": "64,64"}, "channels: ", "--force"),
    "a setting": ("--lr", {"vae": "0.5", "unet": "0.5"}, "lr: 0.001 then, 0.5 now", "--force"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_change_is_still_refused(case, run, ldm):
    kind, moved, _ = run
    option, value, said, hint = REFUSED[case]
    code, _, err = ldm(f"train-{kind}", "--resume", moved, option, value[kind])
    assert code == 2 and said in err and hint in err, err


def test_other_shapes_are_told_as_shapes_even_by_force(run, ldm):
    kind, moved, _ = run
    code, _, err = ldm(f"train-{kind}", "--resume", moved, "--channels", "16,16,16,16" if kind == "vae" else "64,64", "--force")
    there, here = ("8x3x3x3", "16x3x3x3") if kind == "vae" else ("32x4x3x3", "64x4x3x3")
    assert code == 2 and "holds the weights of another network" in err and f"conv_in.weight is {there} there and {here} here" in err, err
    assert "torch" not in err and "size mismatch" not in err and "only " in err


MISTAKES = {
    "another command's run": (lambda run: ("--resume", run), 2, "is the record of another command's run"),
    "no such run": (lambda run: ("--resume", run / "nowhere"), 6, "no such run or checkpoint"),
    "no run at all": (lambda run: ("--resume", run / "samples"), 6, "neither a run nor a checkpoint"),
    "no -o": (lambda run: ("--resume", "auto"), 2, "--data is missing"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_cannot_go_on_is_told(case, run, ldm):
    kind, moved, _ = run
    (moved / "samples").mkdir(exist_ok=True)
    ways, code, said = MISTAKES[case]
    command = {"vae": "train-unet", "unet": "train-vae"}[kind] if case.startswith("another") else f"train-{kind}"
    got, _, err = ldm(command, *ways(moved))
    assert got == code and said in err, err


def test_flags_take_the_place_of_what_the_record_states(run):
    kind, moved, _ = run
    if kind == "unet":
        return

    def resolved(**flags):
        words = {name: value if isinstance(value, bool) else str(value) for name, value in {"resume": moved, **flags}.items()}
        return resolve_config(Invocation("train-vae", (TrainVAEConfig, ReportOptions), words), TrainVAEConfig)

    plain = resolved()
    assert (plain.max_steps, plain.output, plain.resume, plain.lr, plain.force) == (6, moved, "auto", BASE["lr"], False)
    assert resolved(epochs=3).max_steps is None and resolved(epochs=3).epochs == 3
    assert resolved(epochs=3, max_steps=4).max_steps == 4
    assert resolved(cache=moved / "cache").cache == moved / "cache" and resolved(no_cache=True).no_cache
    fork = resolved(resume=moved / "checkpoints" / "step-000003")
    assert fork.output != moved and fork.lr == BASE["lr"] and fork.resume.endswith("step-000003")
    (moved / "mine.toml").write_text("epochs = 7\nsave-every = 5\n")
    mine = resolved(config=moved / "mine.toml", keep=3)
    assert (mine.epochs, mine.max_steps, mine.save_every, mine.keep, mine.size) == (7, None, 5, 3, 16)
