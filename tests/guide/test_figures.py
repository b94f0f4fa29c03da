"""The numbers and defaults in the README are those of the code, the bundled model and its card."""

import json
import math
import re
import tomllib

from blocks import ROOT
from safetensors import safe_open

from ldmcli.commands.guide_pages import pages
from ldmcli.config.option import Option
from ldmcli.config.options import declared
from ldmcli.config.training import TrainUNetConfig, TrainVAEConfig
from ldmcli.diffusion.catalogue import SCHEDULERS
from ldmcli.models.source import BUNDLED

README = (ROOT / "README.md").read_text(encoding="utf-8")
CARD = (BUNDLED / "README.md").read_text(encoding="utf-8")
DEFAULTS = json.loads((BUNDLED / "model_index.json").read_text())["_ldm"]["defaults"]
UNET, VAE = (json.loads((BUNDLED / part / "config.json").read_text()) for part in ("unet", "vae"))


def row(start: str) -> str:
    """Of the table of figures."""
    return next(line for line in README.splitlines() if line.startswith(f"| {start}"))


def test_the_drawing_has_the_sizes_and_defaults_of_the_bundled_model():
    side, channels = UNET["sample_size"], UNET["in_channels"]
    pixels = side * 2 ** (len(VAE["block_out_channels"]) - 1)
    assert f"{side} x {side} x {channels} latents" in README and f"{pixels} x {pixels} pixels" in README
    assert f"{DEFAULTS['steps']} times" in README and f"uncond + {DEFAULTS['cfg']:g} * (cond - uncond)" in README
    assert f"`{DEFAULTS['scheduler']}` with {DEFAULTS['steps']} steps" in pages()["schedulers"].text
    assert f"{side} x {side} x {channels}\nlatents in the bundled model" in pages()["glossary"].text
    assert f"own value is {DEFAULTS['cfg']:g}" in pages()["prompts"].text


def test_figures_are_those_of_the_card_and_the_tests():
    for start, card in {
        "bundled model, 300": "300 concepts", "bundled model, both": "- both things are the nearest", "its VAE": "autoencoder, emoji",
    }.items():  # fmt: skip
        line = next(line for line in CARD.splitlines() if line.startswith(f"| {card}"))
        shown = re.search(r"(\d+\.\d) (?:%|dB)", row(start)) or re.search(r"PSNR (\d+\.\d)", row(start))
        assert shown, start
        there = [float(number) for number in re.findall(r"(\d+\.\d) (?:%|dB)", line)] + [
            float(n) for n in re.findall(r"(\d+\.\d) %;", line)
        ]
        mean = sum(there[:2]) / 2 if "; " in line and "both" in start else there[0]
        assert abs(mean - float(shown[1])) < 0.1, (start, there)
    ours = sum(scheduler.ours for scheduler in SCHEDULERS)
    assert row(f"{ours} samplers")
    for test, bound in {"test_networks": "1e-5", "test_solvers": "1e-4"}.items():
        assert bound in row("networks" if test == "test_networks" else f"{ours} samplers")
        assert bound in (ROOT / f"tests/reference/{test}.py").read_text()


def test_cells_of_tables_are_short():
    for line in README.splitlines():
        if line.startswith("| "):
            assert all(len(cell.split()) <= 12 for cell in line.split("|")), line


def test_pages_with_pictures_name_the_scripts_that_make_them():
    for page in (README, *(page.text for page in pages().values())):
        assert "![" not in page or "`scripts/" in page, page[:40]


def test_versions_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"].startswith(">=3.11") and "Python 3.11, 3.12 or 3.13" in README
    torch = re.search(r"^torch==(\S+?)(?:\+\w+)?$", (ROOT / "scripts/constraints.txt").read_text(), re.MULTILINE)
    assert torch and f"torch=={torch[1]}" in README
    for extra in re.findall(r"`(\w+)` \(", README[README.index("Extras:") :].partition("\n\n")[0]):
        assert extra in project["optional-dependencies"]


def test_every_page_of_the_guide_is_linked():
    for topic in pages():
        assert f"(ldmcli/guide/{topic}.md)" in README, topic


def test_parameters_of_the_bundled_model_are_those_that_are_told():
    for part, told in {"unet": r"channels 128-192.*\| ([\d.]+) M", "vae": r"channels 32-64-128-128 \| ([\d.]+) M"}.items():
        with safe_open(BUNDLED / part / "diffusion_pytorch_model.safetensors", "pt") as file:
            counted = sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())
        found = re.search(told, CARD)
        assert found and math.isclose(counted / 1e6, float(found[1]), rel_tol=0.01)


def option(name: str) -> Option:
    """Of either trainer."""
    found = {each.name: each for kind in (TrainVAEConfig, TrainUNetConfig) for each in declared(kind).values() if each.flags}
    return found[name]


def test_defaults_in_the_guide_are_those_of_the_options():
    """`--name` (value), as the guide writes defaults."""
    seen = 0
    for topic in ("training", "data"):
        for name, value in re.findall(r"`(--[a-z-]+)`\s\(([\d.]+)\)", pages()[topic].text):
            seen += 1
            assert float(value) == option(name).default, f"{topic}: {name}"
    assert seen >= 5
