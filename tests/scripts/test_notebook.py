"""The notebook runs from top to bottom, with the bundled model and with one in the shape of Stable Diffusion, by the public face alone."""

import ast
import copy
import json
import re
from pathlib import Path

import pytest
from forks import fork

import ldmcli

pytestmark = pytest.mark.early

NOTEBOOK = Path(__file__).parents[2] / "scripts" / "notebooks" / "walk.ipynb"
SMALL = """import functools
STEPS, CONVERGED, COUNTS = 3, 4, [1, 2]
ldmcli.Pipeline.__call__ = functools.partialmethod(ldmcli.Pipeline.__call__, steps=STEPS)"""
"""Runs after the cell that takes these from the model, which draws with as many steps as a reader sees."""
LARGEST_BYTES, MOST_LINES, FEWEST_PICTURES = 1_000_000, 10, 18

EARLY = 6
"""Cells of code whose text does not depend on SMALL, nor on the processor."""


@pytest.fixture(scope="module")
def notebook():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed(cell):
    """What it says, without pictures and warnings."""
    shown = [each for each in cell["outputs"] if each.get("name") != "stderr" and "image/png" not in each.get("data", {})]
    return "".join("".join(each.get("text") or each["data"]["text/plain"]) for each in shown)


def pictures(notebook):
    return sum("image/png" in each.get("data", {}) for cell in code(notebook) for each in cell["outputs"])


def test_it_is_kept_as_it_ran_and_small(notebook):
    assert NOTEBOOK.stat().st_size < LARGEST_BYTES
    assert [cell["execution_count"] for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert pictures(notebook) >= FEWEST_PICTURES
    assert not [
        each for cell in code(notebook) for each in cell["outputs"] if each["output_type"] == "error" or each.get("name") == "stderr"
    ]
    assert all(len([line for line in cell["source"] if line.strip()]) <= MOST_LINES for cell in code(notebook))


def test_it_uses_what_is_public(notebook):
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in code(notebook)))
    imported = {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"time", "matplotlib.pyplot", "torch", "PIL", "ldmcli"}
    asked = [(node.value.id, node.attr) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    assert {attribute for name, attribute in asked if name == "ldmcli"} <= set(ldmcli.__all__)
    methods = {attribute for name, attribute in asked if name == "pipe"}
    assert all(hasattr(ldmcli.Pipeline, name) for name in methods)
    assert {"encode_image", "decode", "add_noise", "embed", "score", "sample", "predict"} <= methods


def with_small_settings(notebook):
    """Its cells, and SMALL where it belongs."""
    made = copy.deepcopy(notebook)
    place = next(number for number, cell in enumerate(made["cells"]) if "settings" in cell["metadata"].get("tags", ()))
    small = {"cell_type": "code", "id": "small", "metadata": {}, "source": [SMALL], "outputs": [], "execution_count": None}
    made["cells"].insert(place + 1, small)
    return made


def is_as_kept(done, kept):
    """done, kept: cells of code, without SMALL."""
    assert sum("image/png" in each.get("data", {}) for cell in done for each in cell["outputs"]) == pictures(kept)
    texts = list(map(printed, done))
    assert texts[:EARLY] == list(map(printed, code(kept)[:EARLY]))
    everything = "\n".join(texts)
    assert re.search(r"^largest difference: [01] of 255$", everything, re.MULTILINE)
    own, floor = map(float, re.search(r"^own prompt (\S+), floor (\S+)$", everything, re.MULTILINE).groups())
    assert own > floor + 10


def run_cells(cells, target):
    """As Jupyter's kernel runs them, and what it would be sent into `target`."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    class Answer(DisplayHook):
        def write_output_prompt(self) -> None:
            """Beside the cell, not in it."""

        def write_format_data(self, format_dict, md_dict=None) -> None:
            print(format_dict["text/plain"], end="")

    class Shell(InteractiveShell):
        displayhook_class = Answer

        def enable_gui(self, gui: str | None = None) -> None:
            """Pictures are sent, and nothing is shown."""

    shell, done = Shell.instance(), []
    shell.run_line_magic("matplotlib", "inline")
    for number, cell in enumerate(cells):
        with capture_output() as captured:
            result = shell.run_cell("".join(cell["source"]), store_history=True)
        assert result.success, f"cell {number}: {captured.stdout} {captured.stderr}"
        shown = [{"data": {kind: str(body) for kind, body in each.data.items()}} for each in captured.outputs]
        done.append({"id": cell["id"], "outputs": [{"text": captured.stdout}, *shown] if captured.stdout else shown})
    target.write_text(json.dumps(done))
    return 0


def test_it_runs_from_top_to_bottom(notebook, tmp_path):
    pytest.importorskip("IPython", reason="the test extra is not installed: ipykernel")
    import matplotlib_inline.backend_inline  # noqa: F401  # like the next one, for the fork
    import torch  # noqa: F401
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer  # noqa: F401

    made, target = code(with_small_settings(notebook)), tmp_path / "done.json"
    process = fork(lambda: run_cells(made, target), tmp_path / "talk")
    assert process.wait() == 0, process.said()
    is_as_kept([cell for cell in json.loads(target.read_text()) if cell["id"] != "small"], notebook)


@pytest.mark.slow
def test_it_runs_in_a_kernel(notebook, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="the test extra is not installed: nbclient")
    pytest.importorskip("ipykernel", reason="the test extra is not installed: ipykernel")
    import nbformat

    made = nbformat.reads(json.dumps(with_small_settings(notebook)), as_version=4)
    for cell in code(made):
        cell["outputs"] = []
    nbformat.validate(made)
    place = {"metadata": {"path": str(tmp_path)}}
    done = nbclient.NotebookClient(made, timeout=100, startup_timeout=100, kernel_name="python3", resources=place).execute()
    is_as_kept([cell for cell in code(done) if cell["id"] != "small"], notebook)


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_another_model_is_one_line(notebook, published, monkeypatch, capsys):
    """As a user would change it; here the cells run without a kernel, which takes seconds to start."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda: pyplot.close("all"))
    monkeypatch.setattr(ldmcli.Pipeline, "__call__", ldmcli.Pipeline.__call__)  # SMALL changes it
    changes = {'MODEL = "bundled"': f"MODEL = {str(published)!r}", "CLIP = None": 'CLIP = "bundled"'}
    names = {}
    for number, cell in enumerate(code(with_small_settings(notebook))):
        source = "".join(cell["source"])
        for here, there in changes.items() if number == 0 else ():
            assert here in source
            source = source.replace(here, there)
        exec(compile(source, f"cell {number}", "exec"), names)
    assert re.search(r"^largest difference: [01] of 255$", capsys.readouterr().out, re.MULTILINE)
    assert names["pipe"].schedule.prediction == "epsilon" and names["pipe"].schedule.name == "scaled-linear"
