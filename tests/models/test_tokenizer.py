"""Our tokenizer against transformers' CLIPTokenizer on a tiny vocabulary, and on Stable Diffusion's own where it is at hand."""

import os
from pathlib import Path

import pytest
import torch
import transformers
from published import LENGTH, write_tokenizer

from ldmcli.errors import LdmError, NotFound
from ldmcli.models import tokenizer_files
from ldmcli.models.tokenizer import ClipTokenizer, load_tokenizer
from ldmcli.models.tokenizer_files import check_words
from ldmcli.readers.json_text import read_json

START, END = "<|startoftext|>", "<|endoftext|>"
PROMPTS = [
    "",
    "   \n\t ",
    "a cat",
    "A CAT\n\tand  a\u00a0Dog ",
    "it's I'LL don't we've 'd",
    "a_b -- !!! ... ?!",
    "wow! ! a cat!",
    "12 4½ ² Ⅷ",
    "naïve café cafe\u0301",
    "İstanbul ﬁ ĳ Ǆ straße ẞ",
    "日本語 テスト",
    "😀👍🏽 x",
    "\x00 \u200b \ufeff \u202e",
    END,
    f"a cat{END} and a dog",
    f"{START}{START} a {END}",
    "<|ENDOFTEXT|> a <|StartOfText|>",
    "<|endoftext| <| endoftext |>",
    "cat " * 10,
    "cat " * 11,
    "dog and cat " * 50,
    "x" * 100,
    "é" * 40,
]


def added(content: str, *, normalized: bool, **more) -> dict:
    return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False, **more}


def typed(content: str) -> dict:
    return added(content, normalized=True, __type="AddedToken")


STRINGS = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
FILES = {
    "no config": (None, None),
    "plain strings": (STRINGS, None),
    "SD 1.4": (
        {"bos_token": typed(START), "eos_token": typed(END), "unk_token": typed(END), "pad_token": END},
        {"bos_token": added(START, normalized=True), "eos_token": added(END, normalized=True), "pad_token": END},
    ),
    "SD 2.1, padded with !": (
        {"bos_token": typed(START), "eos_token": typed(END), "unk_token": typed(END), "pad_token": END},
        {"bos_token": added(START, normalized=True), "eos_token": added(END, normalized=True), "pad_token": "!"},
    ),
    "pad in the config": ({**STRINGS, "pad_token": "!"}, None),
    "transformers 4": (
        {**STRINGS, "pad_token": "!", "added_tokens_decoder": {"0": added("!", normalized=False), "520": added(END, normalized=True)}},
        {"pad_token": END},
    ),
}


def same(ours: ClipTokenizer, theirs: transformers.CLIPTokenizer, prompt: str) -> bool:
    wanted = theirs(prompt, padding="max_length", max_length=ours.length, truncation=True, return_tensors="pt").input_ids[0]
    return torch.equal(ours.encode(prompt).ids, wanted)


@pytest.mark.parametrize("again", [False, True], ids=["as it was", "saved again by transformers"])
@pytest.mark.parametrize("kind", FILES)
def test_every_prompt_gets_the_ids_of_transformers(kind, again, tmp_path):
    config, special = FILES[kind]
    write_tokenizer(tmp_path / "tokenizer", config and {**config, "model_max_length": LENGTH}, special)
    theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path / "tokenizer")
    model = tmp_path
    if again:  # transformers 5 writes tokenizer.json in place of vocab.json and merges.txt
        theirs.save_pretrained(tmp_path / "again" / "tokenizer")
        theirs, model = transformers.CLIPTokenizer.from_pretrained(tmp_path / "again" / "tokenizer"), tmp_path / "again"
        assert not (model / "tokenizer" / "vocab.json").exists()
    ours = load_tokenizer(model / "tokenizer", LENGTH)
    assert [prompt for prompt in PROMPTS if not same(ours, theirs, prompt)] == []
    assert ours.vocab_size == len(theirs)


@pytest.mark.skipif("LDM_SD14_CONFIG" not in os.environ, reason="LDM_SD14_CONFIG names no folder with Stable Diffusion's tokenizer")
def test_stable_diffusions_own_vocabulary_gives_the_ids_of_transformers():
    folder = Path(os.environ["LDM_SD14_CONFIG"])
    ours, theirs = load_tokenizer(folder / "tokenizer", 77), transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    assert [prompt for prompt in (*PROMPTS, "an astronaut riding a horse, 4k " * 20) if not same(ours, theirs, prompt)] == []


@pytest.fixture
def tokenizer(tmp_path) -> ClipTokenizer:
    write_tokenizer(tmp_path / "tokenizer")
    return load_tokenizer(tmp_path / "tokenizer", LENGTH)


def test_what_does_not_fit_is_named_and_counted(tokenizer):
    tokens = tokenizer.encode("cat dog " * 5 + "and Ça cat")
    assert (tokens.dropped, tokens.dropped_tokens, tokens.length) == ("and Ça cat", 5, LENGTH)
    assert tokens.ids[-1] == tokenizer.end


def test_the_dropped_text_is_right_where_normalising_changes_the_length(tokenizer):
    """Ten words fill the room; decomposed letters, ligatures and capitals before the cut must not shift it."""
    tokens = tokenizer.encode("Cat   CAT\n\n cat  Cat cat CAT cat cat cat cat   cafe\u0301 İ")
    assert tokens.dropped == "cafe\u0301 İ"


@pytest.mark.parametrize(("prompt", "length"), [("", 2), ("a cat", 4), ("cat " * 10, LENGTH)])
def test_what_fits_drops_nothing(tokenizer, prompt, length):
    tokens = tokenizer.encode(prompt)
    assert (tokens.dropped, tokens.dropped_tokens, tokens.length) == ("", 0, length)
    assert tokens.ids[0] == tokenizer.start and tokens.ids[length - 1] == tokenizer.end
    assert tokens.ids.shape == (LENGTH,) and (tokens.ids[length:] == tokenizer.pad).all()


def test_pieces_are_shown_as_text(tokenizer):
    assert tokenizer.words(tokenizer.encode("a cat").ids)[:4] == [START, "a", "cat", END]


@pytest.mark.parametrize("stated", [8, 77, None, 10**30])
def test_the_shorter_of_tokenizer_and_encoder_sets_the_length(tmp_path, stated):
    write_tokenizer(tmp_path / "tokenizer", {"model_max_length": stated})
    assert load_tokenizer(tmp_path / "tokenizer", LENGTH).length == min(stated or LENGTH, LENGTH)


@pytest.mark.parametrize("gone", [["vocab.json"], ["merges.txt"], ["vocab.json", "merges.txt"]])
def test_a_missing_file_is_named(tmp_path, gone):
    folder = write_tokenizer(tmp_path / "tokenizer")
    for name in gone:
        (folder / name).unlink()
    with pytest.raises(NotFound) as caught:
        load_tokenizer(tmp_path / "tokenizer", LENGTH)
    assert caught.value.exit_code == 6
    assert caught.value.message == f"{folder} lacks {' and '.join(gone)}."


OF_THE_LIBRARY = "not in_the_vocabulary\n"
"""What only the tokenizers library tells."""
DAMAGE = {
    "vocab.json": ["", "[1, 2]", '{"a": 0}', "\xff"],
    "merges.txt": ["a b c\n", OF_THE_LIBRARY],
    "tokenizer_config.json": ["{", '{"model_max_length": "long"}', '{"pad_token": "nowhere"}'],
    "tokenizer.json": ["{}x", '{"model": {}}'],
}


@pytest.mark.parametrize(("name", "body"), [(name, body) for name, bodies in DAMAGE.items() for body in bodies])
def test_a_damaged_file_is_refused(tmp_path, name, body):
    folder = write_tokenizer(tmp_path / "tokenizer")
    (folder / name).write_bytes(body.encode("latin-1"))
    with pytest.raises(LdmError, match=r"tokenizer/\w+\.json|does not hold a CLIP tokenizer") as caught:
        load_tokenizer(tmp_path / "tokenizer", LENGTH)
    assert caught.value.exit_code == 1
    if body != OF_THE_LIBRARY:
        with pytest.raises(LdmError) as early:
            check_words(folder)
        assert (early.value.message, early.value.exit_code) == (caught.value.message, caught.value.exit_code)


def test_what_was_looked_at_is_read_once_and_anew_where_it_changed(tmp_path, monkeypatch):
    folder, read = write_tokenizer(tmp_path / "tokenizer"), []
    monkeypatch.setattr(tokenizer_files, "read_json", lambda path, *rest, **more: read.append(path.name) or read_json(path, *rest, **more))
    check_words(folder)
    kept = load_tokenizer(folder, LENGTH)
    assert read == ["vocab.json"]
    assert load_tokenizer(folder, LENGTH).sha256 == kept.sha256 and read == ["vocab.json"] * 2  # nothing stays in memory
    check_words(folder)
    (folder / "vocab.json").write_text("{}")
    with pytest.raises(LdmError, match="the vocabulary lacks"):
        load_tokenizer(folder, LENGTH)


def test_line_ends_of_windows_are_no_part_of_a_merge(tmp_path):
    plain, windows = (write_tokenizer(tmp_path / name) for name in ("plain", "windows"))
    (windows / "merges.txt").write_bytes((windows / "merges.txt").read_bytes().replace(b"\n", b"\r\n"))
    assert load_tokenizer(windows, LENGTH).sha256 == load_tokenizer(plain, LENGTH).sha256
