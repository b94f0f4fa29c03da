"""What is public, what an import costs, and what is said of every argument that cannot be."""

import inspect
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import environment

import ldmcli
from ldmcli.api.arguments import DRAWING, MODEL
from ldmcli.api.wording import in_python
from ldmcli.config.generation import BackendOptions, GenerateConfig
from ldmcli.config.options import declared, find_key
from ldmcli.config.sampling import SamplingOptions
from ldmcli.config.shared import ModelOptions, RuntimeOptions
from ldmcli.config.starting import StartOptions
from ldmcli.diffusion.catalogue import SCHEDULERS

PUBLIC = {
    "Pipeline": {
        "add_noise", "decode", "embed", "encode_image", "noise", "notes", "parts", "predict", "sample", "schedule", "score", "tokens",
    },
    "Step": {
        "cond", "denoised", "denoised_latents", "final", "guided", "index", "latents", "picture", "sigma", "timestep", "total", "uncond",
    },
}  # fmt: skip


def test_all_that_is_public_is_there_and_explained():
    for name in set(ldmcli.__all__) - {"__version__"}:
        assert inspect.getdoc(getattr(ldmcli, name)), name
    for name, members in PUBLIC.items():
        kind = getattr(ldmcli, name)
        assert {member for member in vars(kind) if not member.startswith("_")} == members
        assert all(inspect.getdoc(inspect.getattr_static(kind, member)) for member in members)
    assert dir(ldmcli) == sorted(ldmcli.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'lod'; it has .*load"):
        ldmcli.lod  # noqa: B018


def test_arguments_are_the_declared_options():
    def fields(*kinds):
        return {name for kind in kinds for name in declared(kind)}

    def meant(names):
        return {find_key(GenerateConfig, name).field for name in names}

    assert len(meant(MODEL)) == len(MODEL) and len(meant(DRAWING)) == len(DRAWING)
    assert fields(ModelOptions, RuntimeOptions, BackendOptions) <= meant(MODEL)
    assert fields(SamplingOptions, StartOptions) - {"frames", "frames_as"} <= meant(DRAWING)  # frames are several pictures


PROCESS = """
import json, os, sys
import ldmcli
from ldmcli import LdmError, load
told = []
heavy = lambda: sorted({"torch", "numpy", "PIL", "typer", "rich"} & set(sys.modules))
told.append(heavy())
for wrong in (lambda: load("no/such/model"), lambda: load(steps=3), lambda: load(dtype="fp8")):
    try:
        wrong()
    except LdmError as error:
        told.append([type(error).__name__, heavy()])
ldmcli.schedulers(), repr(ldmcli.load)
told.append([heavy(), "GOMP_SPINCOUNT" in os.environ])
load(sys.argv[1], device="cpu")
import torch
told.append([torch.get_num_threads(), os.environ["GOMP_SPINCOUNT"], os.environ["KMP_BLOCKTIME"]])
print(json.dumps(told))
"""


def test_an_import_is_light_and_so_is_a_mistake_and_load_keeps_the_users_threads(model):
    env = {name: value for name, value in environment().items() if name != "OMP_WAIT_POLICY"}
    env |= {"OMP_NUM_THREADS": "1", "KMP_BLOCKTIME": "7"}
    done = subprocess.run([sys.executable, "-c", PROCESS, str(model)], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    light, absent, unknown, precision, before, after = json.loads(done.stdout)
    assert light == [] and absent == ["NotFound", []] and unknown == ["UsageError", []] and precision == ["UsageError", []]
    assert before == [[], False] and after == [1, "1000", "7"]


def test_load_leaves_a_torch_that_is_there_as_it_is(model):
    variables, threads = dict(os.environ), torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        pipe = ldmcli.load(model, device=torch.device("cpu"), dtype=torch.bfloat16, offline=True)
        assert torch.get_num_threads() == threads + 1 and dict(os.environ) == variables
        record = pipe("dog", seed=1, steps=1).record
    finally:
        torch.set_num_threads(threads)
    assert (record["dtype"], record["device"], record["threads"]) == ("bf16", "cpu", threads + 1)


def test_options_of_a_model_are_those_of_the_command(model, ldm, tmp_path):
    saved, typed = tmp_path / "saved.png", tmp_path / "typed.png"
    ldmcli.load(model, device="cpu", vae=model, prediction="epsilon", tokenizer=model / "tokenizer", lora=[]).__call__(
        "dog", seed=1, steps=1
    ).save(saved)
    given = ("--vae", model, "--prediction", "epsilon", "--tokenizer", model / "tokenizer", "-s", 1, "--steps", 1)
    assert ldm("generate", "dog", "-m", model, "--device", "cpu", "-o", typed, *given)[0] == 0
    assert saved.read_bytes() == typed.read_bytes()


def test_names(pipe):
    assert ldmcli.schedulers() == tuple(row.name for row in SCHEDULERS)
    assert torch.equal(ldmcli.schedule("cosine").alphas_cumprod, pipe.schedule.alphas_cumprod)
    assert ldmcli.schedule("scaled-linear", prediction="epsilon").prediction == "epsilon"


def latents(*shape):
    return torch.zeros(shape)


WRONG = {
    "an unknown argument": (lambda pipe: pipe("a", stepz=3), "pipe() takes no 'stepz'.", "Did you mean steps? It takes seed, "),
    "an option of something else": (lambda pipe: pipe("a", output="x"), "pipe() takes no 'output'.", "It takes seed, "),
    "an option of load": (lambda pipe: pipe("a", vae="x"), "pipe() takes no 'vae'.", "It takes"),
    "several prompts": (lambda pipe: pipe(["a"]), "one prompt as text, got list", "once for each prompt"),
    "no text": (lambda pipe: pipe("\ud800"), "takes text", "such as"),
    "no steps": (lambda pipe: pipe("a", steps=0), "takes 1 to 999 steps, got 0", "Try steps 30"),
    "half a step": (lambda pipe: pipe("a", steps=2.5), "steps = 2.5 has the wrong type", ""),
    "a truth for a number": (lambda pipe: pipe("a", steps=True), "steps = True has the wrong type", ""),
    "negative guidance": (lambda pipe: pipe("a", cfg=-1), "cfg must be a number of at least 0, got -1", ""),
    "guidance without a number": (lambda pipe: pipe("a", cfg=float("nan")), "cfg must be", ""),
    "half an interval": (lambda pipe: pipe("a", cfg_interval=(0.2,)), "cfg_interval = [0.2]", ""),
    "one number for an interval": (lambda pipe: pipe("a", cfg_interval=0.2), "two numbers are needed", ""),
    "a scheduler": (lambda pipe: pipe.sample("a", scheduler="dddim"), "No scheduler is called 'dddim'", "ddim"),
    "a picture to start from": (
        lambda pipe: pipe("a", init_image=Image.new("RGB", (64, 64))), "init_image takes the path of a file", 'picture.save("start.png")',
    ),
    "no picture to start from": (lambda pipe: pipe("a", init_image="no.png"), "no.png: no such picture", ""),
    "a strength of nothing": (lambda pipe: pipe("a", strength=0.5), "there is none", "Add init_image"),
    "a variation": (lambda pipe: pipe("a", variation="x"), "variation x: SEED:AMOUNT", ""),
    "a spacing": (lambda pipe: pipe("a", spacing="wide"), "spacing wide", ""),
    "a size": (lambda pipe: pipe("a", size="wide"), "size wide: WIDTHxHEIGHT", ""),
    "a width": (lambda pipe: pipe("a", width=60), "width must be a multiple of 8", ""),
    "a seed in words": (lambda pipe: pipe("a", seed="x"), "seed = 'x' has the wrong type", ""),
    "a seed below all": (lambda pipe: pipe("a", seed=-2), "seed must be between", "-1 draws one"),
    "noise without a seed": (lambda pipe: pipe.noise(None), "noise needs the seed", "Pass seed=1"),
    "noise to add without a seed": (lambda pipe: pipe.add_noise(latents(1, 4, 8, 8), 1, seed=-1), "add_noise needs the seed", "seed=1"),
    "a path for a picture": (lambda pipe: pipe.encode_image("a.png"), "takes a Pillow picture, got str", "PIL.Image.open(path)"),
    "an array for a picture": (lambda pipe: pipe.score(np.zeros((8, 8, 3)), "a"), "takes a Pillow picture, got ndarray", "fromarray"),
    "an odd picture": (lambda pipe: pipe.encode_image(Image.new("RGB", (60, 33))), "multiples of 8", "picture.resize((64, 32))"),
    "floats for a picture": (lambda pipe: pipe.encode_image(Image.new("F", (64, 64))), "floating-point pixels", ""),
    "several latents": (lambda pipe: pipe.decode(latents(2, 4, 8, 8)), "(1, 4, h, w), got (2, 4, 8, 8)", "latents[:1]"),
    "latents of another model": (lambda pipe: pipe.decode(latents(1, 16, 8, 8)), "(1, 4, h, w), got (1, 16, 8, 8)", ""),
    "whole numbers for latents": (lambda pipe: pipe.decode(latents(1, 4, 8, 8).int()), "torch.int32", ""),
    "a picture for latents": (lambda pipe: pipe.decode(Image.new("RGB", (8, 8))), "latents as a tensor", "encode_image"),
    "latents that are NaN": (lambda pipe: pipe.decode(latents(1, 4, 8, 8) / 0), "NaN or infinity", "Try dtype fp32"),
    "a timestep beyond": (lambda pipe: pipe.add_noise(latents(1, 4, 8, 8), 1000, seed=1), "from 0, the least noisy, to 999, got 1000", ""),
    "half a timestep": (lambda pipe: pipe.add_noise(latents(1, 4, 8, 8), 0.5, seed=1), "got 0.5", ""),
    "a timestep in words": (lambda pipe: pipe.add_noise(latents(1, 4, 8, 8), "x", seed=1), "got 'x'", ""),
    "a schedule": (lambda pipe: pipe.add_noise(latents(1, 4, 8, 8), 1, seed=1, schedule="cos"), "no schedule", "cosine"),
    "a number for text": (lambda pipe: pipe.embed(3), "embed takes text, got 3", "such as"),
    "no texts": (lambda pipe: pipe.embed([]), "embed takes text, got []", "such as"),
    "a prompt for vectors": (lambda pipe: pipe.predict(latents(2, 4, 8, 8), 1, "a dog"), "vectors (2, L, 32)", "*pipe.embed(text)"),
    "a mask of another length": (
        lambda pipe: pipe.predict(latents(1, 4, 8, 8), 1, latents(1, 24, 32), torch.ones(1, 7)), "a mask (1, L)", "embed",
    ),
    "a model": (lambda pipe: ldmcli.load("no/such/model", offline=True), "no/such/model", ""),
    "an option of load itself": (lambda pipe: ldmcli.load(cfg=3), "load() takes no 'cfg'.", "It takes model, device, dtype"),
    "a device": (lambda pipe: ldmcli.load(device="tpu"), "device tpu: auto, cpu", ""),
    "a precision": (lambda pipe: ldmcli.load(dtype="fp8"), "dtype fp8: auto, fp32", ""),
    "a scorer": (lambda pipe: pipe.score(Image.new("RGB", (8, 8)), "a", clip_model="no such"), "no CLIP model at", "bundled"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_says_what_to_pass(pipe, what):
    call, message, hint = WRONG[what]
    with pytest.raises(ldmcli.LdmError) as told:
        call(pipe)
    assert message in str(told.value) and hint in told.value.hint
    assert "--" not in str(told.value) + told.value.hint.replace("--revision", "")
    assert getattr(told.value, "__notes__", []) == [told.value.hint] * bool(told.value.hint)  # Python prints notes under a traceback


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("-n/--num-images must be", "num_images must be"),
        ("--cfg-interval 1: LO,HI", "cfg_interval 1: LO,HI"),
        ("dpm++2m; a--b, well-known --", "dpm++2m; a--b, well-known --"),
    ],
)
def test_options_are_called_as_python_calls_them(typed, read):
    assert in_python(typed) == read
