"""How numbers are said."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """3 and "picture" are "3 pictures", 1 is "1 picture"; plural: where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
