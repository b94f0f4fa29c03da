"""`auto` stays fp32 and says what bf16 would bring: from a table, once, and only where it helps."""

import json
from dataclasses import replace

import pytest
import torch

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.sampling.bf16_gain import GAINS, MEASURED_WITH, WORTH_SAYING, Gain, bf16_note, gain_of
from ldmcli.models.hashes import weights_hash
from ldmcli.models.source import BUNDLED, find_model
from ldmcli.runtime.device import cpu_bf16_unit, select_runtime


def have(monkeypatch, *units):
    known = {"architecture": "x86_64", **dict.fromkeys(units, True)}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)


def test_the_rows_are_of_the_model_that_ships():
    assert weights_hash(BUNDLED, "unet") == MEASURED_WITH, "measure the rows anew: ldm bench --dtype fp32,bf16 --batch-size 1,4,8"


@pytest.mark.parametrize(("units", "unit"), [(("amx_bf16", "avx512_bf16"), "amx_bf16"), (("avx512_bf16",), "avx512_bf16"), ((), None)])
def test_the_kind_of_processor_is_its_fastest_unit(units, unit, monkeypatch):
    have(monkeypatch, *units)
    assert cpu_bf16_unit() == unit


def test_the_row_is_that_of_the_most_pictures_that_are_drawn_at_once(monkeypatch):
    rows = (Gain("amx_bf16", 1, 1.0, 50.0), Gain("amx_bf16", 8, 1.5, 51.0), Gain("avx512_bf16", 1, 1.2, 52.0))
    monkeypatch.setattr("ldmcli.engine.sampling.bf16_gain.GAINS", rows)
    found = [gain_of(unit, count) for unit, count in (("amx_bf16", 7), ("amx_bf16", 8), ("amx_bf16", 99), ("avx512_bf16", 8), (None, 8))]
    assert found == [rows[0], rows[1], rows[1], rows[2], None]


@pytest.mark.parametrize("changed", [{}, {"dtype": "fp32"}, {"dtype": "bf16"}, {"backend": "openvino"}, {"pictures": 1}, {"unit": False}])
def test_it_is_said_only_where_it_helps_and_was_not_asked_for(changed, monkeypatch):
    have(monkeypatch, *(["amx_bf16"] if changed.pop("unit", True) else ()))
    said = changed == {} and cpu_bf16_unit() is not None
    pictures = changed.pop("pictures", 8)
    config = replace(GenerateConfig(device="cpu"), **changed)
    notes = list(bf16_note(config, find_model("bundled"), select_runtime("cpu", config.dtype), pictures))
    assert len(notes) == said and all("--dtype bf16" in note.text and not note.warning for note in notes)


def test_another_model_has_no_row(monkeypatch, model):
    have(monkeypatch, "amx_bf16")
    assert not list(bf16_note(GenerateConfig(), find_model(str(model)), select_runtime("cpu", "auto"), 8))


def test_it_is_a_line_of_talk_and_no_part_of_results(ldm, monkeypatch, tmp_path):
    have(monkeypatch, "amx_bf16")
    arguments = ("generate", "a dog", "--steps", 1, "-s", 1, "-n", 8, "--batch-size", 8, "--device", "cpu")
    gain = gain_of("amx_bf16", 8)
    assert gain is not None and gain in GAINS and gain.factor > WORTH_SAYING
    line = f"bf16 would be {gain.factor:.1f} times as fast here, the pictures {gain.psnr:.0f} dB"
    code, out, err = ldm(*arguments, "-o", f"{tmp_path}/a/")
    assert code == 0 and err.count(line) == 1 and line not in out
    code, out, err = ldm(*arguments, "-q", "-o", f"{tmp_path}/b/")
    assert code == 0 and "bf16" not in out + err
    code, out, err = ldm(*arguments, "--json", "-o", f"{tmp_path}/c/")
    assert code == 0 and "bf16 would be" not in out and json.loads(out)["dtype"] == "fp32"
