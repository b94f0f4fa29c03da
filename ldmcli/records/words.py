"""How numbers and settings are said."""

from typing import Any


def counted(count: int, noun: str, plural: str = "") -> str:
    """3 and "picture" are "3 pictures", 1 is "1 picture"; plural: where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def plain(value: Any) -> str:
    """A setting as people write it: yes or no, 7.5 and not 7.500, several with commas, - for nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return "-" if value is None or value == "" else str(value)
