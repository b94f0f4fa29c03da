"""Tokens beside CLIP's vocabulary, from all the files in which versions of transformers have noted them: special ones, and those
that textual inversion taught the text encoder (Gal et al. 2022)."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken

START, END = "<|startoftext|>", "<|endoftext|>"
_ROLES = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")

Json = Mapping[str, Any]


def special_tokens(config: Json, legacy: Json, saved: Sequence[Json]) -> tuple[list[AddedToken], str]:
    """The special tokens and the content of the pad token, as transformers 5 works them out from all the places that state them.

    config: tokenizer_config.json; legacy: special_tokens_map.json; saved: `added_tokens` of tokenizer.json. A token that is "normalized"
    is also found in other capitals. SD 2.x pads with "!", which so becomes special in prompts too.
    """
    stated = [*config.get("added_tokens_decoder", {}).values(), *saved]
    known = {token["content"]: added(token) for token in stated if token.get("special", True)}
    roles = {**_ROLES, **{key: value for key, value in config.items() if key in _ROLES}}
    if "added_tokens_decoder" not in config:
        roles |= {key: value for key, value in legacy.items() if key in _ROLES}
    named = [added(value) for value in roles.values() if value is not None]
    special = {token.content: token for token in (*known.values(), *(known.get(token.content, token) for token in named))}
    pad = roles["pad_token"]
    return list(special.values()), END if pad is None else added(pad).content


def learned_tokens(config: Json, saved: Sequence[Json], numbers: Mapping[str, int], vocab: Mapping[str, int]) -> dict[int, AddedToken]:
    """The tokens that the vocabulary does not have, by their number. numbers: added_tokens.json, of transformers before 4.34."""
    plain = {"normalized": True, "special": False}
    stated = {
        **{number: {"content": content, **plain} for content, number in numbers.items()},
        **{int(number): token for number, token in config.get("added_tokens_decoder", {}).items()},
        **{token["id"]: token for token in saved},
    }
    return {number: added(token, special=False) for number, token in sorted(stated.items()) if token["content"] not in vocab}


def vectors(contents: Sequence[str]) -> dict[str, str]:
    """What a token with several vectors stands for, as diffusers notes it: with `<cat>_1` and `<cat>_2` there, `<cat>` is all three."""
    joined = {}
    for content in contents:
        row = [content]
        while (following := f"{content}_{len(row)}") in contents:
            row.append(following)
        if len(row) > 1:
            joined[content] = " ".join(row)
    return joined


def added(token: str | Json, *, special: bool = True) -> AddedToken:
    """A token as the `tokenizers` library wants it. special: unless the token itself says."""
    if isinstance(token, str):
        return AddedToken(token, normalized=False, special=special)
    flags = {key: bool(token.get(key, False)) for key in _FLAGS}
    return AddedToken(token["content"], special=bool(token.get("special", special)), **flags)
