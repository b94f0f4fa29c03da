"""--cfg-reuse: guidance whose direction is evaluated at every Nth call only, and used again between."""

import json

import numpy as np
import pytest
import torch
from outputs import spoil
from PIL import Image

from ldmcli.diffusion.guidance import guided_calls, rescale, reused_calls
from ldmcli.diffusion.loop import last
from ldmcli.diffusion.noise import StepNoise, noise_for
from ldmcli.diffusion.schedule import make_schedule
from ldmcli.diffusion.solver import make_solver
from ldmcli.diffusion.start import Start
from ldmcli.engine.session import open_session
from ldmcli.models.source import find_model
from ldmcli.networks.attention import TextContext
from ldmcli.runtime.device import select_runtime

SEEDS, SHAPE, CFG = [11, 12], (4, 8, 8), 7.5


@pytest.fixture
def draw(generate, tmp_path):
    """Draw into a folder of its own; returns (the files, the JSON, what was said)."""

    def run(*argv, into="out"):
        code, out, err = generate(*argv, "-s", "5", "-o", f"{tmp_path / into}/", "--json")
        assert code == 0, err
        return sorted((tmp_path / into).glob("*.png")), json.loads(out), err

    return run


def record(path):
    return json.loads(Image.open(path).text["ldm"])


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def contents(paths):
    return [path.read_bytes() for path in paths]


WALKS = {
    "every second": ("ddim", 6, 2, None, 0.0),
    "every third, several steps at once": ("dpm++3m", 8, 3, None, 0.0),
    "two calls a step": ("heun", 4, 2, None, 0.0),
    "noise at every step": ("euler-a", 5, 2, None, 0.0),
    "in an interval": ("ddim", 10, 3, (0.2, 0.8), 0.0),
    "walked by diffusers": ("deis", 5, 2, None, 0.0),
    "Karras' stops": ("dpm++2m-karras", 6, 2, None, 0.0),
    "rescaled": ("unipc", 6, 2, (0.3, 1.0), 0.7),
    "the first alone": ("ddim", 5, 100, None, 0.0),
}


@torch.no_grad()
def by_hand(session, context, solver, every, interval, phi):
    """The walk with the direction written out. Both halves of a guided call are rows of one call, as the loop asks for them: kernels
    round a row differently in batches of two and of four, and an untrained network's walk makes thousands of that."""
    walk = solver.walk(noise_for(SEEDS, SHAPE), StepNoise(SEEDS, SHAPE) if solver.stochastic else None)
    prompts = TextContext(context.states.chunk(2)[1])
    call, count, direction = next(walk), 0, None
    while True:
        t = torch.full((len(SEEDS),), float(call.timestep))
        guides = interval is None or interval[0] <= call.timestep / 1000 <= interval[1]
        share = 1 if solver.prediction == "epsilon" else (1 + call.sigma**2) ** -0.5  # v = signal eps - sigma x_0
        if guides and count % every == 0:
            uncond, cond = session.unet(call.model_input.repeat(2, 1, 1, 1), t.repeat(2), TextContext(context.states)).chunk(2)
            direction = share * (cond - uncond)
        else:
            cond = session.unet(call.model_input, t, prompts)
        answer = cond
        if guides:
            answer, count = cond + (CFG - 1) * direction / share, count + 1
            answer = rescale(answer, cond, phi) if phi else answer
        try:
            call = walk.send(answer)
        except StopIteration as end:
            return end.value


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "inference copy"])
def session(request, model):
    return open_session(find_model(str(model)), select_runtime("cpu", "fp32"), fuse=request.param)


@pytest.mark.parametrize("answers", ["v", "epsilon"])
@pytest.mark.parametrize("how", WALKS)
def test_the_walk_is_the_one_written_out(session, how, answers):
    name, steps, every, interval, phi = WALKS[how]
    schedule = session.schedule if answers == "v" else make_schedule("scaled-linear", "epsilon")
    solver = make_solver(name, schedule, steps, sigma_clip=name != "deis")
    context = session.encode_prompts(["a dog", "red"], ["blue", ""], guided=True)
    guided, reused = reused_calls(guided_calls(solver.timesteps, interval, 1000), every)
    rows = []
    hook = session.unet.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))

    def walk(**calls):
        start = noise_for(SEEDS, SHAPE), StepNoise(SEEDS, SHAPE) if solver.stochastic else None
        return last(session.denoise_from(context, Start(*start), solver, guidance=CFG, rescale=phi, **calls))

    try:
        mine = walk(guided_calls=guided, reused_calls=reused)
    finally:
        hook.remove()
    assert rows == [4 if both else 2 for both in guided] and any(reused)
    wanted = by_hand(session, context, solver, every, interval, phi)
    scale = max(1.0, wanted.abs().max().item())
    assert (mine - wanted).abs().max() <= 2e-5 * scale
    everywhere = walk(guided_calls=[a or b for a, b in zip(guided, reused, strict=True)])
    assert (mine - everywhere).abs().max() > 1e-3 * scale  # and it is no other


@pytest.mark.parametrize("fuse", ["--fuse", "--no-fuse"])
def test_one_is_the_run_without_byte_for_byte(draw, fuse):
    walk = ("a dog", "a cat", "--steps", "4", fuse)
    plain, report, _ = draw(*walk, into="plain")
    once = draw(*walk, "--cfg-reuse", "1", into="once")[0]
    assert contents(once) == contents(plain) and "cfg_reuse" not in record(once[0])
    assert "guided_calls" not in report["images"][0]


def test_between_the_network_sees_each_picture_once(draw, evaluations):
    _, report, _ = draw("a dog", "a cat", "--scheduler", "ddim", "--steps", "6", "--cfg-reuse", "2")
    assert evaluations == [2, 1] * 3  # rows halved
    assert [image["guided_calls"] for image in report["images"]] == [3, 3]


def test_in_an_interval_it_counts_from_its_first_call(draw, evaluations):
    draw("a dog", "a cat", "--scheduler", "ddim", "--steps", "10", "--cfg-interval", "0.4,0.8", "--cfg-reuse", "3")
    assert evaluations == [1, 1, 2, 1, 1, 2, 1, 1, 1, 1]  # t = 901, 801, 701, 601, 501, 401, ...


def test_it_stands_in_the_picture_and_the_manifest_and_is_drawn_again(draw, generate, tmp_path):
    (path,), _, _ = draw("a dog", "--steps", "5", "--guidance-reuse", "3", "--cfg-interval", "0.1,1", "--batch-size", "1")
    facts = record(path)
    assert (facts["cfg_reuse"], facts["num_unet_calls"]) == (3, 5) and 0 < facts["guided_calls"] < 5
    assert "Guidance reuse: 3" in Image.open(path).text["parameters"].split("\n")[-1].split(", ")
    rows = [json.loads(line) for line in (path.parent / "manifest.jsonl").read_text().splitlines()]
    assert [row["settings"]["cfg-reuse"] for row in rows if row.get("path") == path.name] == ["3"]
    code, out, err = generate("--from-image", path, "--verify", "--json")
    assert code == 0 and json.loads(out)["equal"], err
    assert generate("--from-image", path, "-o", tmp_path / "again.png", "-q")[0] == 0
    assert (tmp_path / "again.png").read_bytes() == path.read_bytes()
    assert generate("--from-image", path, "--cfg-reuse", "1", "-o", tmp_path / "other.png", "-q")[0] == 0
    assert "cfg_reuse" not in record(tmp_path / "other.png") and not np.array_equal(pixels(tmp_path / "other.png"), pixels(path))


@pytest.mark.parametrize("value", [0, 1.5, "2", True, 1001])
def test_a_damaged_record_of_it_is_refused(draw, generate, tmp_path, value):
    (path,), _, _ = draw("a dog", "--steps", "1")
    spoil(path, cfg_reuse=value)
    code, _, err = generate("--from-image", path, "-o", tmp_path / "again.png")
    assert code == 1 and "its record is damaged" in err and "cfg" in err


def test_lines_of_a_file_and_sweeps_have_it_and_do_not_touch_each_other(draw, evaluations, tmp_path):
    lines = [{"prompt": "a dog"}, {"prompt": "a dog", "cfg_reuse": 2}, {"prompt": "a cat"}, {"prompt": "a cat", "cfg-reuse": 2}]
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps({**line, "seed": 5}) for line in lines))
    walk = ("--scheduler", "ddim", "--steps", "4", "--batch-size", "8")
    together, report, _ = draw("-f", tmp_path / "p.jsonl", *walk, into="lines")
    assert evaluations == [2] * 4 + [2, 1] * 2  # two batches
    assert [image.get("guided_calls") for image in report["images"]] == [None, 2, None, 2]
    for kind, first in (((), 0), (("--cfg-reuse", "2"), 1)):
        alone = [draw(prompt, *walk, *kind, into=f"{prompt} {first}")[0][0] for prompt in ("a dog", "a cat")]
        for path, other in zip(together[first::2], alone, strict=True):
            assert abs(pixels(path) - pixels(other)).max() <= 1  # one picture at a time
    swept = draw("a dog", *walk, "--sweep", "cfg-reuse=1,2", "--batch-size", "1", into="swept")[0]
    assert all(abs(pixels(one) - pixels(two)).max() <= 1 for one, two in zip(swept, together[:2], strict=True))


def test_measure_prints_how_far_it_goes_from_the_run_without(draw):
    walk = ("a dog", "--scheduler", "ddim", "--steps", "8")
    near, report, err = draw(*walk, "--cfg-reuse", "2", "--cfg-interval", "0.3,1", "--measure", into="near")
    references = {"--cfg-interval 0.3,1": ("--cfg-reuse", "2"), "--cfg-reuse 2": ("--cfg-interval", "0.3,1"), "all of it": ()}
    assert [row["choice"] for row in report["measured"]] == list(references)
    for row in report["measured"]:
        exact, plain, _ = draw(*walk, *references[row["choice"]], into=row["choice"].split()[0])
        difference = pixels(near[0]) - pixels(exact[0])
        assert row["psnr"] == pytest.approx(10 * np.log10(255**2 / np.square(difference).mean()), abs=0.006)
        evaluated = 8 + plain["images"][0].get("guided_calls", 8)
        assert row["exact_unet_evaluations"] == evaluated and row["unet_evaluations"] == 8 + report["images"][0]["guided_calls"]
    assert f"{near[0]}, with and without --cfg-reuse 2: PSNR" in err


@pytest.mark.parametrize(
    "argv", [("--steps", "1"), ("--steps", "4", "--cfg-interval", "0.9,1"), ("--steps", "2", "--cfg-interval", "0,0.001")]
)
def test_where_nothing_can_be_used_again_it_says_so_and_changes_nothing(draw, argv):
    walk = ("a dog", "--scheduler", "ddim", *argv)
    with_it, report, err = draw(*walk, "--cfg-reuse", "2", "--measure", into="with")
    assert "fewer than two calls of this run are guided: --cfg-reuse has no effect" in err
    assert "--cfg-reuse 2" not in [row["choice"] for row in report["measured"]]
    assert np.array_equal(pixels(with_it[0]), pixels(draw(*walk, into="without")[0][0]))
