"""`--from-image` of a picture that was drawn from a checkpoint file: model and tokenizer are found by their hashes."""

import hashlib
import os
import shutil

import pytest


@pytest.fixture(scope="module")
def single(stable_diffusion, tmp_path_factory):
    """A folder with dog.safetensors, Stable Diffusion in small, and the folder of its tokenizer."""
    folder, place = stable_diffusion(1), tmp_path_factory.mktemp("single")
    shutil.copy(folder / "single.safetensors", place / "dog.safetensors")
    shutil.copytree(folder / "configs" / "tokenizer", place / "words")
    return place


@pytest.fixture(scope="module")
def drawn(single, tmp_path_factory):
    """A picture that was drawn from it."""
    from ldmcli.cli import main

    path = tmp_path_factory.mktemp("drawn") / "picture.png"
    size = ["-W", "64", "-H", "64", "--steps", "2", "-s", "1", "--batch-size", "1", "--device", "cpu"]
    assert (
        main(["generate", "a dog", "-m", f"{single}/dog.safetensors", "--tokenizer", f"{single}/words", *size, "-o", str(path), "-q"]) == 0
    )
    return path


@pytest.fixture
def picture(drawn, tmp_path, monkeypatch):
    """A copy in a folder of its own, on a machine whose hub cache is empty, without a package that ships CLIP's vocabulary."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ldmcli.models.source.TOKENIZERS", (("no/such", ""),))
    monkeypatch.setattr("ldmcli.models.source.OPEN_CLIP_VOCABULARY", "none")
    (tmp_path / "out").mkdir()
    return shutil.copy(drawn, tmp_path / "out")


def cached(tmp_path, file, words):
    """The hub's cache as its client fills it: files are links to blobs that are named by their hashes."""
    repo = tmp_path / "cache" / "models--owner--dog"
    blob = repo / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
    blob.parent.mkdir(parents=True)
    (repo / "snapshots" / "1").mkdir(parents=True)
    shutil.copy(file, blob)
    os.symlink(blob, repo / "snapshots" / "1" / "renamed.safetensors")
    shutil.copytree(words, repo / "snapshots" / "1" / "tokenizer")


PLACES = {
    "beside the picture": lambda tmp_path, single: (
        shutil.copy(single / "dog.safetensors", tmp_path / "out" / "renamed.safetensors"),
        shutil.copytree(single / "words", tmp_path / "out" / "tokenizer"),
    ),
    "in the hub cache": lambda tmp_path, single: cached(tmp_path, single / "dog.safetensors", single / "words"),
    "in the folder of -m": lambda tmp_path, single: (
        (tmp_path / "many").mkdir(),
        (tmp_path / "many" / "broken.safetensors").write_bytes(b"not one"),
        shutil.copy(single / "dog.safetensors", tmp_path / "many" / "other.safetensors"),
        shutil.copytree(single / "words", tmp_path / "many" / "tokenizer"),
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_model_and_tokenizer_are_found_by_hash(place, picture, single, ldm, tmp_path):
    PLACES[place](tmp_path, single)
    named = ("-m", tmp_path / "many") if "-m" in place else ()
    code, out, err = ldm("generate", "--from-image", picture, "--verify", "--device", "cpu", "-q", *named)
    assert (code, out) == (0, f"equal: {picture}\n"), err
    code, _, err = ldm("generate", "--from-image", picture, "-o", tmp_path / "again.png", "--device", "cpu", "-q", *named)
    assert code == 0 and (tmp_path / "again.png").read_bytes() == open(picture, "rb").read(), err


MISSING = {  # what is given, what is named as missing
    "both": ((), ["'dog'", "its tokenizer"], "-m MODEL and --tokenizer DIR"),
    "the tokenizer": (("-m", "dog.safetensors"), ["its tokenizer"], "--tokenizer DIR"),
    "the model": (("--tokenizer", "words"), ["'dog'"], "-m MODEL"),
}


@pytest.mark.parametrize("what", MISSING)
def test_all_that_is_missing_is_named(what, picture, single, ldm):
    given, names, hint = MISSING[what]
    given = [text if text.startswith("-") else str(single / text) for text in given]
    code, out, err = ldm("generate", "--from-image", picture, "--verify", *given)
    assert (code, out) == (6, "") and err.startswith(f"error: {picture} was drawn with ")
    assert [name for name in ("'dog'", "its tokenizer") if name in err] == names and err.rstrip().endswith(f"{hint}.")


def test_another_tokenizer_is_told(picture, single, ldm, tmp_path):
    words = shutil.copytree(single / "words", tmp_path / "other")
    merges = (words / "merges.txt").read_text().splitlines()
    (words / "merges.txt").write_text("\n".join(merges[:-1]) + "\n")
    code, _, err = ldm("generate", "--from-image", picture, "--verify", "-m", single / "dog.safetensors", "--tokenizer", words)
    assert code == 1 and "another tokenizer" in err
