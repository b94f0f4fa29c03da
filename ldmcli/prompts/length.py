"""How much of a prompt is read."""

MOST_CHARACTERS = 100_000
"""What stands behind is not. A thousand windows of CLIP's hold no more."""


def length_note(characters: int) -> str:
    """A sentence about a prompt that is longer."""
    return f"the prompt has {characters:,} characters, of which the first {MOST_CHARACTERS:,} are read"
