"""Fails on an option without help or group, and on one name that means different things in different commands."""

import sys
from collections import defaultdict
from collections.abc import Iterator

from ldmcli.commands.app import SUMMARIES, load_command
from ldmcli.config.option import GROUPS, Option

OTHERWISE = {
    "--size": "the side of square training pictures; WIDTHxHEIGHT where pictures are drawn",
    "--steps": "several where step counts are compared",
    "--dtype": "several in bench",
    "--batch-size": "several in bench, auto in training",
    "--scheduler": "several in bench",
    "--seed": "what it decides differs; see each help",
    "--output": "a file, a folder or a run",
    "--resume": "skips pictures in generate, names a checkpoint in training",
    "--captions": "one caption a picture to score; a captions file beside --images to train on",
    "--compare": "another tool in bench, another folder in clipscore",
    "--clip-model": "may be none in compare-schedulers, whose scores are an extra",
    "--vae": "the one to train between in train-unet, where --init may have one",
    "--init": "the VAE or the U-Net of a model",
    "--prediction": "what to learn in train-unet, what to believe elsewhere",
    "--channels": "of the VAE or the U-Net",
    "--layers": "of the VAE or the U-Net",
    "--compile": "the U-Net once in bench, the network in training",
    "--warmup": "runs in bench, steps in training",
    "--force": "with too little memory in generate, with other settings or data in training",
    "--prompt": "the one prompt of bench, another one elsewhere",
}
"""Names that commands share on purpose with another meaning, and why."""


def problems() -> Iterator[str]:
    """A sentence each."""
    meanings: dict[str, dict[str, str]] = defaultdict(dict)
    for command in map(load_command, SUMMARIES):
        for each in command.options:
            if not each.help.strip():
                yield f"{command.__name__} {each.name} has no help"
            if each.group not in GROUPS:
                yield f"{command.__name__} {each.name} has no group of config/option.py ({each.group!r})"
            meanings[each.name][meaning(each)] = command.__name__
    for name, found in meanings.items():
        if len(found) > 1 and name not in OTHERWISE:
            yield f"{name} means different things in {', '.join(found.values())}: {' / '.join(found)}"
        if len(found) == 1 and name in OTHERWISE:
            yield f"{name} means the same everywhere; take it out of OTHERWISE"
    yield from (f"{name} of OTHERWISE is no option" for name in OTHERWISE.keys() - meanings.keys())


def meaning(each: Option) -> str:
    """Two options with the same are one."""
    return f"{each.help} ({each.kind.scalar.__name__}{', several' if each.kind.many else ''})"


if __name__ == "__main__":
    said = list(problems())
    print("\n".join(said), file=sys.stderr, end="\n" * bool(said))
    sys.exit(bool(said))
