"""Options are declared once: help, completion, files, the environment and the frozen list of flags follow from the declaration."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from ldmcli.commands.app import SUMMARIES, load_command
from ldmcli.commands.settings import Invocation
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.measuring import BenchConfig, CompareConfig
from ldmcli.config.option import Conflict, Option, option
from ldmcli.config.options import Options, declared, find_key
from ldmcli.config.reading import read_data
from ldmcli.config.shared import ModelOptions, ReportOptions
from ldmcli.engine.jobs import digest
from ldmcli.engine.requests import Request, RequestList
from ldmcli.errors import UsageError

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path[:0] = [str(SCRIPTS), str(SCRIPTS / "checks")]

import options as check  # noqa: E402
import shape  # noqa: E402

from flags import flag_lines  # noqa: E402

NAMES = list(SUMMARIES)


def test_every_flag_stands_in_the_frozen_list():
    """After a change that is meant: python scripts/flags.py > tests/commands/flags.txt"""
    assert list(flag_lines()) == (Path(__file__).parent / "flags.txt").read_text().splitlines()


def test_options_have_help_and_group_and_one_meaning(monkeypatch):
    assert list(check.problems()) == []
    monkeypatch.delitem(check.OTHERWISE, "--resume")
    (problem,) = check.problems()
    assert problem.startswith("--resume means different things in generate, train-") and "manifest" in problem


def test_the_shape_of_modules_is_watched(tmp_path, monkeypatch):
    monkeypatch.setattr(shape, "ROOT", tmp_path)
    bodies = {"_just": 44, "_over": 45}
    long = "".join(f'def {name}():\n    """Says\n    it."""\n    # why\n\n' + "    x = 1\n" * lines for name, lines in bodies.items())
    (tmp_path / "a.py").write_text("def one(a, b, c, d, e, f, g, h): pass\ndef _two(): pass\n" + long + "\n" * 220)
    found = ["a.py: more than 220 lines", "a.py: one has 8 parameters", "a.py: one has no docstring", "a.py: _over has 46 lines"]
    assert list(shape.found(tmp_path / "a.py")) == found


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_all_says_what_the_help_of_each_begins_with(ldm, name):
    summary = SUMMARIES[name].rstrip(".")
    assert f"{name} " in ldm("--help")[1] and SUMMARIES[name][:40] in ldm("--help")[1]
    assert " ".join(load_command(name).__doc__.split()).startswith(summary)


@pytest.mark.parametrize("name", NAMES)
def test_help_is_grouped_within_80_columns_and_shows_defaults_choices_and_examples(ldm, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = ldm(name, "--help")
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    command = load_command(name)
    for each in command.options:
        for flag in each.flags:
            assert all(f"{part}" in out for part in flag.split("/")), flag
        if each.kind.choices and not each.metavar:
            assert "|".join(each.kind.choices) in out
    examples = out.partition("Examples:\n")[2].splitlines()[:2]
    assert all(line.startswith(f"  ldm {name}") for line in examples)
    assert f"\n{next(each.group for each in command.options)}:\n" in out and "[default: " in out
    assert not [line for line in out.splitlines() if line.rstrip().endswith("-") and "--" in line]  # no name is broken


COMPLETED = {
    "--scheduler": (["generate"], "dpm++", {"dpm++2m", "dpm++2m-karras", "dpm++3m"}, {"ddim"}),
    "--dtype": (["generate"], "", {"auto", "fp32", "fp16", "bf16"}, set()),
    "--weighting": (["generate"], "", {"none", "a1111"}, set()),
    "--lr-schedule": (["train-unet"], "c", {"constant", "cosine"}, {"linear"}),
    "--schedulers": (["compare-schedulers", "x"], "ddim,eu", {"ddim,euler", "ddim,euler-a"}, {"euler"}),
}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("flag", COMPLETED)
def test_the_shell_completes_values(ldm, monkeypatch, shell, flag):
    before, typed, offered, hidden = COMPLETED[flag]
    words = ["ldm", *before, flag, typed]
    monkeypatch.setenv("_LDM_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", f"{len(words) - 1}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", " ".join(words))
    _, out, _ = ldm()
    found = {word.strip("\"'():") for word in out.replace("\\", "").split()} - {"_arguments", "*"}
    assert offered <= found and not hidden & found, out


@dataclass(frozen=True, kw_only=True)
class Tinting(Options, group="Picture"):
    """An option that is nowhere else."""

    tint: Literal["none", "sepia"] = option("none", "--tint", "--colour-cast", help="Of the picture.")
    strengths: tuple[float, ...] = option((0.5,), "--strengths", help="How much.", at_least=0, below=1)
    layer: tuple[str, ...] = option((), "--layer", help="Repeatable.", repeat=True)
    deep: bool = option(
        False, "--deep/--flat", help="All the way.", conflicts=(Conflict(lambda options: options.tint == "none", "--deep tints nothing."),)
    )


def invocation(tmp_path, toml="", **typed):
    (tmp_path / "x.toml").write_text(toml)
    return Invocation("draw", (Tinting, ReportOptions), {"config": f"{tmp_path / 'x.toml'}", **typed})


def test_flags_win_over_the_environment_over_the_file_over_the_default(tmp_path, monkeypatch):
    assert invocation(tmp_path).options(Tinting) == Tinting()
    toml = 'colour-cast = "sepia"\nstrengths = [0, 0.25]\nlayer = ["a", "b"]\ndeep = true\n'
    assert invocation(tmp_path, toml).options(Tinting) == Tinting(tint="sepia", strengths=(0.0, 0.25), layer=("a", "b"), deep=True)
    monkeypatch.setenv("LDM_STRENGTHS", "0.75")
    monkeypatch.setenv("LDM_LAYER", "c\nd e")
    monkeypatch.setenv("LDM_DEEP", "no")
    monkeypatch.setenv("LDM_TINT", "")
    assert invocation(tmp_path, toml).options(Tinting) == Tinting(tint="sepia", strengths=(0.75,), layer=("c", "d e"))
    typed = invocation(tmp_path, toml, strengths="0.1,0.2", deep=True)
    assert typed.options(Tinting) == Tinting(tint="sepia", strengths=(0.1, 0.2), layer=("c", "d e"), deep=True)
    sources = {"tint": "file", "strengths": "flag", "layer": "environment", "deep": "flag", "config": "flag", "json": "default"}
    assert sources.items() <= typed.settings_from().items()


WRONG = {
    "choice": ({"tint": "green"}, "", {}, "--tint green: none or sepia."),
    "choice in the environment": ({}, "", {"LDM_TINT": "green"}, "--tint green: none or sepia."),
    "bounds": ({"strengths": "0.5,1"}, "", {}, r"--strengths must be in \[0, 1\), got 1.0."),
    "no number": ({"strengths": "much"}, "", {}, "--strengths much: numbers with commas between are needed."),
    "neither true nor false": ({}, "", {"LDM_DEEP": "maybe"}, "LDM_DEEP.*'maybe' is not true or false"),
    "unknown key": ({}, "tinf = 1", {}, "'tinf' is not an option of draw"),
    "wrong type": ({}, "strengths = true", {}, "strengths = True has the wrong type"),
    "twice": ({}, 'tint = "none"\ncolour_cast = "none"', {}, "--tint is named twice"),
    "a file that names a file": ({}, 'config = "y.toml"', {}, "'config' is not an option"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_value_is_named_wherever_it_stands(tmp_path, monkeypatch, what):
    typed, toml, environment, words = WRONG[what]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=words):
        invocation(tmp_path, toml, **typed).options(Tinting)


def test_only_what_was_typed_can_be_senseless(tmp_path):
    for given in ({"toml": "deep = true"}, {"deep": False}, {"deep": True, "tint": "sepia"}):
        case = invocation(tmp_path, **given)
        case.refuse_conflicts(case.options(Tinting))
    case = invocation(tmp_path, deep=True)
    with pytest.raises(UsageError, match="--deep tints nothing"):
        case.refuse_conflicts(case.options(Tinting))
    case.refuse_conflicts(case.options(Tinting), swept={"tint": "sepia"})


def test_an_integer_beyond_floats_is_told():
    with pytest.raises(UsageError, match="cfg is too large"):
        read_data(declared(GenerateConfig)["cfg"], 10**400, "cfg")


def test_a_command_is_called_in_the_manifest_as_it_was_before_options_were_declared_so():
    """Old manifests stay readable: the digests are those of version 0.1.0, which drew eight at a time."""
    earlier = GenerateConfig(fuse=False, batch_size=8)
    assert digest(RequestList([Request("a dog", earlier)])) == "4b6432f361fa8822"
    config = replace(earlier, cfg=3.0, num_images=2, loras=("a:0.5",), cfg_interval=(0.2, 0.8), progressive="gif")
    assert digest(RequestList([Request("a dog", config, seed=4)])) == "3eb1bb64a5eb1a6c"
    assert digest(RequestList([Request("a dog", replace(earlier, offline=True, output="elsewhere/"))])) == "4b6432f361fa8822"
    for later in ({"prediction": "v"}, {"fuse": True}, {"batch_size": None}):
        assert digest(RequestList([Request("a dog", replace(earlier, **later))])) != "4b6432f361fa8822"


def test_every_command_that_opens_a_model_takes_the_same_options():
    wanted = set(declared(ModelOptions))
    for kind in (GenerateConfig, BenchConfig, CompareConfig):
        assert wanted <= set(declared(kind))
        given = {"model": "m", "vae": "v", "tokenizer": "t", "loras": ("l",), "prediction": "v", "variant": "fp16", "allow_pickle": True}
        config = kind(**given, offline=True)
        drawing = config if kind is GenerateConfig else config.drawing
        assert {name: getattr(drawing, name) for name in given} == given and drawing.offline


def test_settings_and_configs_are_hashable_and_every_name_finds_its_option():
    assert len({GenerateConfig(), GenerateConfig(cfg=2.0), GenerateConfig()}) == 2
    for name in ("cfg", "guidance-scale", "cfg_scale"):
        found = find_key(GenerateConfig, name)
        assert isinstance(found, Option) and found.field == "cfg"
