"""What -m, --vae and --text-encoder may name, and what is said when it is not there."""

import os
import sys
from pathlib import Path

import pytest
from published import write_tokenizer
from running import finished

from ldmcli.errors import NotFound
from ldmcli.models.layout import PARTS
from ldmcli.models.source import BUNDLED, find_component, find_model


def make(folder: Path, *parts: str) -> Path:
    for part in parts:
        if part.endswith(".json"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / part).write_text("{}")
        elif part == "tokenizer":
            write_tokenizer(folder / part)
        else:
            (folder / part).mkdir(parents=True)
            (folder / part / "config.json").write_text("{}")
    return folder


def not_found(look, *arguments: str) -> NotFound:
    with pytest.raises(NotFound) as caught:
        look(*arguments)
    assert caught.value.exit_code == 6
    assert caught.value.hint
    return caught.value


def test_a_diffusers_folder_is_a_model(tmp_path):
    folder = make(tmp_path / "sd", *PARTS)
    source = find_model(str(folder))
    assert (source.name, source.path) == ("sd", folder)


def test_a_training_run_is_a_model_of_its_own_name(tmp_path):
    folder = make(tmp_path / "my-run" / "model", *PARTS)
    source = find_model(str(tmp_path / "my-run"))
    assert (source.name, source.path) == ("my-run", folder)


def test_the_name_holds_no_path(tmp_path, monkeypatch):
    make(tmp_path / "sd", *PARTS)
    monkeypatch.chdir(tmp_path / "sd")
    assert find_model(".").name == find_model("../sd/").name == "sd"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_model("~/sd").path == tmp_path / "sd"


@pytest.mark.parametrize("text", ["nowhere", "", "./nowhere/sd", "a/b/c", "a\0b", "x" * 5000, "~no-such-user/sd"])
def test_what_is_not_there_is_shown_as_typed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = not_found(find_model, text)
    assert repr(text) in error.message or not text
    assert "`bundled`" in error.hint


def test_a_file_of_another_kind_is_not_a_model(tmp_path):
    (tmp_path / "sd.png").touch()
    assert "sd.png is a file, and not a .safetensors one" in not_found(find_model, str(tmp_path / "sd.png")).message


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(tmp_path, part):
    folder = make(tmp_path / "sd", *(other for other in PARTS if other not in (part, "vae")))
    message = not_found(find_model, str(folder)).message
    assert "vae" in message and part in message and str(folder) in message


def test_a_trained_vae_alone_asks_for_the_unet(tmp_path):
    make(tmp_path / "run" / "model", "vae")
    error = not_found(find_model, str(tmp_path / "run"))
    assert "holds a VAE but no U-Net yet" in error.message
    assert f"ldm train-unet --data DIR --vae {tmp_path / 'run'}" in error.hint


def test_a_component_is_found_in_a_run_a_model_and_by_its_own_folder(tmp_path, monkeypatch):
    model = make(tmp_path / "run" / "model", "vae")
    monkeypatch.chdir(model / "vae")
    for text in (tmp_path / "run", model, model / "vae", f"{model}/vae/"):
        assert find_component(str(text), "vae") == model
    assert find_component(".", "vae").resolve() == model


@pytest.mark.parametrize("where", [".", "run", "run/model", "run/model/vae"])
def test_a_missing_component_is_named(tmp_path, where):
    make(tmp_path / "run" / "model", "vae")
    error = not_found(find_component, str(tmp_path / where), "text_encoder")
    assert "has no text_encoder/" in error.message


def test_bundled_is_the_model_in_the_package():
    assert BUNDLED == Path(find_model.__code__.co_filename).parent / "bundled"
    if (BUNDLED / "model_index.json").is_file():
        assert find_model("bundled").name == "bundled"
    else:
        assert str(BUNDLED) in not_found(find_model, "bundled").message


def test_looking_imports_no_torch():
    probe = "import sys; sys.modules['torch'] = None; from ldmcli.models.source import find_model; find_model('nowhere')"
    done = finished([sys.executable, "-c", probe], env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert "NotFound: no model at 'nowhere'" in done.stderr
    assert "ModuleNotFoundError" not in done.stderr
