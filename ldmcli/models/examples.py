"""Prompts that a model is known to draw well, for those who have none yet. Imports no torch."""

from pathlib import Path

from ldmcli.models.layout import ldm_settings

MOST = 6
ANY_MODEL = ("a dog", "a red car", "a bowl of fruit on a table", "a house by a lake")
"""What every text-to-image model has seen."""

UNSAFE_IN_QUOTES = set('"$`\\!')
"""A shell reads these even between double quotes."""


def example_prompts(model: Path) -> tuple[str, ...]:
    """What model_index.json lists under `_ldm.examples`, at most MOST; those that cannot stand between double quotes are left out."""
    listed = ldm_settings(model).get("examples")
    usable = [text.strip() for text in listed if isinstance(text, str) and text.isprintable()] if isinstance(listed, list) else []
    usable = [text for text in usable if text and not UNSAFE_IN_QUOTES & set(text)]
    return tuple(usable[:MOST]) or ANY_MODEL
