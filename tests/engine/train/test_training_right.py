"""What a training run says and does where it was once silent or wrong: a row for each, against closed forms, one pass over all, peers."""

import json
import math
import shutil

import pytest
import torch
from PIL import Image, ImageDraw
from runs import BASE, KINDS, argv_for, assert_same_bits, config_for, events_of, log_of, newest, saved, stop_after
from transformers import CLIPTokenizer

from ldmcli.commands.settings import Invocation
from ldmcli.commands.training import resolve_config
from ldmcli.config.shared import ReportOptions
from ldmcli.config.training import TrainVAEConfig
from ldmcli.engine.train import batch_size as fit_batch
from ldmcli.engine.train import unet as train_unet
from ldmcli.engine.train import unet_run, vae_run
from ldmcli.engine.train import vae as train_vae
from ldmcli.engine.train.batch_size import Trial, fit_by_counting
from ldmcli.engine.train.training_loop import LAUNCHERS_PARTS, make_accelerator
from ldmcli.errors import UsageError
from ldmcli.records.notes import Note, Saved
from ldmcli.records.training import RunPlan, TrainStep
from ldmcli.runtime.live_bytes import peak_bytes

STILL = {"max_steps": 1, "lr": 1e-12, "warmup": 0, "ema": 0.0}
"""A run whose weights stay those it began with."""


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """12 pictures three times as wide as high, other at every place, with captions that are short but for two."""
    folder = tmp_path_factory.mktemp("wide")
    for number in range(12):
        picture = Image.new("RGB", (192, 64), (20 * number, 30, 200))
        draw = ImageDraw.Draw(picture)
        for column in range(12):
            draw.rectangle((16 * column, 5 * column, 16 * column + 9, 63), fill=(20 * column, 255 - 20 * column, 11 * number))
        picture.save(folder / f"{number:02}.png")
        text = "a dog " + "and a dog " * number if number > 9 else f"dog {number}"
        (folder / f"{number:02}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module", autouse=True)
def short_samples():
    """What is drawn has its look from two steps as well as from 25."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(unet_run, "SAMPLE_STEPS", 2)
        yield


def texts(events, warning=None):
    return [event.text for event in events if isinstance(event, Note) and warning in (None, event.warning)]


@pytest.fixture(scope="module", params=KINDS)
def straight(request, coco, model, tmp_path_factory):
    """(kind, folder) of 6 steps in one go, validated and sampled after 3 and 6."""
    output = tmp_path_factory.mktemp(request.param) / "straight"
    list(events_of(config_for(request.param, coco, model, output, **LOOKING)))
    return request.param, output


LOOKING = {"max_steps": 6, "val_every": 3, "sample_every": 3, "save_every": 3}


def caught_run(kind, monkeypatch, config):
    """The run from the inside, and its state, once it has ended."""
    runs, states = [], []
    module, name = (train_vae, "VAERun") if kind == "vae" else (train_unet, "UNetRun")
    original, made = getattr(module, name), train_vae.make_state

    class Caught(original):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            runs.append(self)

    def caught_state(*arguments):
        states.append(made(*arguments))
        return states[-1]

    monkeypatch.setattr(module, name, Caught)
    monkeypatch.setattr(module, "make_state", caught_state)
    list(events_of(config))
    return runs[-1], states[-1][0]


@pytest.mark.parametrize("kind", KINDS)
def test_figures_in_batches_are_those_of_one_pass_over_all(kind, wide, model, tmp_path, monkeypatch):
    run, state = caught_run(kind, monkeypatch, config_for(kind, wide, model, tmp_path, **{**STILL, "batch_size": 3, "held_out": 0.4}))
    rows = []
    if kind == "unet":
        original = unet_run.predict
        monkeypatch.setattr(unet_run, "predict", lambda *given: rows.append(len(given[2].t)) or original(*given))
    else:
        original = vae_run.VAE.encode
        monkeypatch.setattr(vae_run.VAE, "encode", lambda self, pictures: rows.append(len(pictures)) or original(self, pictures))

    def figures(batch_size):
        object.__setattr__(run.config, "batch_size", batch_size)
        run.validated = (-1, {})
        rows.clear()
        found = dict(run.validate(state))
        if kind == "vae":
            mean, found["scale"] = run.measure_latents(state)
            found |= {f"mean {channel}": value for channel, value in enumerate(mean.tolist())}
        return found, max(rows)

    few = 3 if kind == "vae" else 32
    (small, most), (whole, all_at_once) = figures(few), figures(256)
    assert most == few and all_at_once == (256 if kind == "unet" else 7)
    assert small.keys() == whole.keys() and len(small) >= 4
    for name, value in whole.items():
        assert small[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name


def test_samples_are_drawn_two_rows_at_a_time_where_a_step_has_two_pictures(wide, model, tmp_path, monkeypatch):
    run, state = caught_run("unet", monkeypatch, config_for("unet", wide, model, tmp_path, **{**STILL, "batch_size": 2, "held_out": 0.0}))
    rows, original = [], unet_run.Session.denoise
    monkeypatch.setattr(
        unet_run.Session, "denoise", lambda self, context, *a, **b: rows.append(len(context.states)) or original(self, context, *a, **b)
    )
    (sheet,) = run.sample(state)
    assert rows == [2] * 8 and isinstance(sheet, Saved)
    few = Image.open(sheet.path).convert("RGB")
    object.__setattr__(run.config, "batch_size", 64)
    (sheet,) = run.sample(state)
    assert rows[8:] == [16]
    apart = (torch.tensor(list(few.getdata())) - torch.tensor(list(Image.open(sheet.path).convert("RGB").getdata()))).abs().max()
    assert apart <= 1  # the same pictures, but for the rounding of other batches


def test_a_step_is_saved_before_it_is_looked_at(straight, coco, model, tmp_path):
    kind, _ = straight
    seen = []
    for event in events_of(config_for(kind, coco, model, tmp_path / "run", **LOOKING)):
        if isinstance(event, Saved):
            seen.append(event.what)
        elif isinstance(event, TrainStep):
            seen.append(event.step)
    assert seen == [1, 2, "checkpoint", "model", "samples", 3, 4, 5, "checkpoint", "model", "samples", 6]


@pytest.mark.parametrize("save_every", [3, 100])
def test_a_validation_that_fails_costs_no_step_and_is_made_up_for(straight, save_every, coco, model, tmp_path, monkeypatch):
    kind, reference = straight
    config = config_for(kind, coco, model, tmp_path / "run", **{**LOOKING, "save_every": save_every})
    owner = vae_run.VAERun if kind == "vae" else unet_run.UNetRun

    def fails(*arguments):
        raise RuntimeError("not enough memory: you tried to allocate 63 GiB.")

    with monkeypatch.context() as patched:
        patched.setattr(owner, "_figures", fails)
        with pytest.raises(RuntimeError, match="63 GiB"):
            list(events_of(config))
    assert saved(tmp_path / "run") == [3] and log_of(tmp_path / "run")[-1]["step"] == 2
    list(events_of(config_for(kind, coco, model, tmp_path / "run", **LOOKING, resume="auto")))
    assert_same_bits(reference, tmp_path / "run", step=6)


@pytest.mark.parametrize("at", ["checkpoint", "samples"])
def test_what_a_kill_left_undone_after_a_save_is_done_when_the_run_goes_on(straight, at, coco, model, tmp_path):
    kind, reference = straight
    events = events_of(config_for(kind, coco, model, tmp_path / "run", **LOOKING))
    next(event for event in events if isinstance(event, Saved) and event.what == at)
    events.close()
    assert log_of(tmp_path / "run")[-1]["step"] == 2
    list(events_of(config_for(kind, coco, model, tmp_path / "run", **LOOKING, resume="auto")))
    assert_same_bits(reference, tmp_path / "run", step=6)
    sheets = [sorted((run / "samples").iterdir()) for run in (reference, tmp_path / "run")]
    assert [path.read_bytes() for path in sheets[0]] == [path.read_bytes() for path in sheets[1]]
    assert not (tmp_path / "run" / ".owed.json").exists()


def test_live_bytes_are_those_that_are_alive_together():
    given = torch.ones(1000)

    def work():
        doubled = given * 2  # 4,000 bytes
        del doubled
        kept = given + 1  # 4,000
        given.mul_(1)
        return torch.cat([kept, kept])  # and 8,000

    assert peak_bytes(work) == 12_000 and peak_bytes(lambda: given.view(10, 100).t()) == 0


@pytest.mark.parametrize(("room", "size"), [(80 + 32_000, 8), (80 + 32_000 - 1, 4), (80 + 2**30, 16)])
def test_auto_counts_what_is_done_between_the_steps(room, size, tmp_path, monkeypatch):
    """One weight in five copies, and steps that keep next to nothing; looking makes 4,000 bytes a picture."""
    monkeypatch.setattr(fit_batch, "total_bytes", lambda: 2 * room)
    network = torch.nn.Linear(1, 4, bias=False)

    def trial(config, network):
        return Trial(lambda step, part: {"loss": network.weight.sum()}, looks=[lambda: torch.ones(config.batch_size, 1000)])

    config = TrainVAEConfig(data=tmp_path, output=tmp_path, auto_batch=True)
    accelerator, _ = make_accelerator(TrainVAEConfig(data=tmp_path, output=tmp_path, device="cpu"))
    assert fit_by_counting(config, [16, 8, 4, 2, 1], network, accelerator, trial)[0] == size


def test_trying_looks_too(tmp_path):
    def trial(config, network):
        def look():
            if config.batch_size > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        return Trial(lambda step, part: {"loss": network.weight.sum()}, looks=[look])

    config = TrainVAEConfig(data=tmp_path, output=tmp_path, auto_batch=True)
    accelerator, _ = make_accelerator(TrainVAEConfig(data=tmp_path, output=tmp_path, device="cpu"))
    assert fit_batch.fit_by_trying(config, [8, 4, 2, 1], torch.nn.Linear(1, 1), accelerator, trial)[0] == 2


def test_a_dry_run_counts_validations_and_samples_into_its_time(coco, model, tmp_path):
    config = config_for("unet", coco, model, tmp_path, dry_run=True, max_steps=100, val_every=10, sample_every=30)
    plan = list(events_of(config))[-1]
    assert isinstance(plan, RunPlan) and plan.validate_s > 0 and plan.sample_s > 0
    assert plan.eta_s == pytest.approx(plan.prepare_s + 100 * plan.seconds_per_step + 10 * plan.validate_s + 4 * plan.sample_s)


ONE, FEW = 1, 5
TOO_FEW = {
    "one picture": (ONE, {"batch_size": 1}, "0 pictures do not fill one batch of 1, and 1 held out", ["--held-out 0"], ["--batch-size"]),
    "one picture, auto": (ONE, {"batch_size": "auto"}, "0 pictures do not fill", ["--held-out 0"], ["--batch-size"]),
    "one picture, tried": (ONE, {"batch_size": 1, "dry_run": True}, "0 pictures do not fill", ["--held-out 0"], ["--batch-size"]),
    "one picture, a batch of 8": (ONE, {}, "0 pictures do not fill", ["--held-out 0 --batch-size 1"], []),
    "a batch but for the held-out one": (FEW, {"batch_size": 5}, "4 pictures do not fill", ["--batch-size 4", "--held-out 0,"], []),
    "fewer than a batch": (FEW, {}, "4 pictures do not fill", ["--batch-size 4", "--held-out 0 --batch-size 5"], []),
    "none held out": (FEW, {"held_out": 0.0}, "5 pictures do not fill one batch of 8.", ["--batch-size 5"], ["--held-out"]),
    "none held out, tried": (FEW, {"held_out": 0.0, "dry_run": True}, "5 pictures do not fill", ["--batch-size 5"], ["--held-out"]),
    "one for two parts": (ONE, {"batch_size": 1, "held_out": 0.0, "grad_accum": 2}, "1 picture does not", ["--grad-accum"], ["--batch"]),
}  # fmt: skip


@pytest.mark.parametrize("case", TOO_FEW)
@pytest.mark.parametrize("kind", KINDS)
def test_too_few_pictures_are_told_with_the_way_out(kind, case, coco, model, tmp_path, ldm):
    count, options, said, hints, silent = TOO_FEW[case]
    code, _, err = ldm(*argv_for(kind, coco, model, tmp_path / "run", **{"limit": count, **options}))
    assert code == 2 and said in err, err
    hint = err.split("not fill", 1)[1]
    assert all(words in hint for words in hints) and not any(words in hint for words in silent), err


@pytest.mark.parametrize("kind", KINDS)
def test_the_way_out_of_one_picture_is_one(kind, coco, model, tmp_path):
    config = config_for(kind, coco, model, tmp_path, limit=1, held_out=0.0, batch_size=1, max_steps=2, val_every=1, sample_every=1)
    list(events_of(config))
    assert newest(tmp_path).step == 2


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
    assert (mine.epochs, mine.max_steps, mine.save_every, mine.keep, mine.size) == (7, None, 5, 3, 32)


def test_captions_that_the_window_cuts_are_counted_and_the_longest_is_told(wide, model, tmp_path):
    events = list(events_of(config_for("unet", wide, model, tmp_path, **{**STILL, "batch_size": 4})))
    tokenizer = CLIPTokenizer.from_pretrained(model / "tokenizer")
    lengths = {path.read_text(): len(tokenizer(path.read_text().strip()).input_ids) for path in wide.glob("*.txt")}
    longest = max(lengths, key=lengths.get)
    (said,) = [text for text in texts(events, warning=True) if "captions are longer" in text]
    cut = sum(length > 24 for length in lengths.values())
    assert cut == 2 and said.startswith(f"{cut} of 12 different captions are longer than the 24 tokens")
    assert f"The longest has {lengths[longest]}: '{longest[:40]}" in said


def test_nothing_is_said_where_every_caption_fits(coco, model, tmp_path):
    assert not any("captions are longer" in text for text in texts(events_of(config_for("unet", coco, model, tmp_path, **STILL))))


RATES = {
    "cosine": ({"lr_schedule": "cosine"}, lambda done: 0.5 * (1 + math.cos(math.pi * done))),
    "linear": ({"lr_schedule": "linear"}, lambda done: 1 - done),
    "constant": ({"lr_schedule": "constant"}, None),
}


@pytest.mark.parametrize("change", [{"max_steps": 20}, {"max_steps": None, "epochs": 3}])
@pytest.mark.parametrize("schedule", RATES)
def test_a_learning_rate_that_another_length_changes_is_told_with_both(schedule, change, coco, model, tmp_path):
    """3 epochs of 22 pictures in batches of 8 are 8 steps."""
    options, factor = RATES[schedule]
    options = {"warmup": 2, "lr": 1e-3, **options}
    stop_after(config_for("vae", coco, model, tmp_path, max_steps=12, **options), 5)
    events = events_of(config_for("vae", coco, model, tmp_path, resume="auto", **options, **change))
    said = []
    for event in events:  # until the first step
        if isinstance(event, TrainStep):
            break
        said.append(event)
    events.close()
    notes = [text for text in texts(said, warning=True) if "--lr-schedule" in text]
    if factor is None:
        assert notes == []
        return
    end = change["max_steps"] or 8
    now, then = (1e-3 * factor((5 - 2) / (steps - 2)) for steps in (end, 12))
    (note,) = notes
    assert f"ended at step 12 and now ends at {end}" in note
    assert f"of step 6 is {now:.4g}, and would have been {then:.4g}" in note and event.lr == pytest.approx(now)


def test_what_a_launcher_says_of_parts_does_not_divide_the_loss_again(coco, model, tmp_path, monkeypatch):
    options = {"max_steps": 2, "batch_size": 4, "grad_accum": 2, "max_grad_norm": 0.0}
    list(events_of(config_for("vae", coco, model, tmp_path / "plain", **options)))
    monkeypatch.setenv(LAUNCHERS_PARTS, "2")
    silent = texts(events_of(config_for("vae", coco, model, tmp_path / "same", **options)))
    assert log_of(tmp_path / "plain") == log_of(tmp_path / "same") and not any(LAUNCHERS_PARTS in text for text in silent)
    monkeypatch.setenv(LAUNCHERS_PARTS, "4")
    spoken = texts(events_of(config_for("vae", coco, model, tmp_path / "other", **options)))
    assert log_of(tmp_path / "plain") == log_of(tmp_path / "other")
    assert sum(f"{LAUNCHERS_PARTS}=4 is not used: see --grad-accum" in text for text in spoken) == 1


@pytest.mark.parametrize("no_cache", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_random_crops_are_validated_and_measured_by_the_centre(kind, no_cache, wide, model, tmp_path):
    """As with --crop center, whose weights they share where nothing is learned."""
    figures = {}
    for crop in ("center", "random"):
        config = config_for(kind, wide, model, tmp_path / crop, **{**STILL, "batch_size": 4}, crop=crop, flip=True, no_cache=no_cache)
        figures[crop] = list(events_of(config))[-1].figures
        sheet = tmp_path / crop / "samples" / "step-000001.png"
        figures[crop]["sheet"] = sum(sheet.read_bytes()) if kind == "vae" else 0
    assert len(figures["center"]) > 4
    for name, value in figures["center"].items():
        assert figures["random"][name] == pytest.approx(value, rel=1e-5), name
    records = [json.loads((tmp_path / crop / "model" / kind / "config.json").read_text()).get("scaling_factor", 0) for crop in figures]
    assert records[0] == pytest.approx(records[1], rel=1e-6)


def test_a_number_that_is_no_batch_is_still_refused(tmp_path):
    with pytest.raises(UsageError, match="--batch-size"):
        TrainVAEConfig(data=tmp_path, output=tmp_path, batch_size=0)
