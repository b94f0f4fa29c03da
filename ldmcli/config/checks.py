"""What the configs check their values with. Knows no torch."""

from ldmcli.errors import UsageError

MAX_SEED = 2**64 - 1


def check(condition: bool, message: str, hint: str = "") -> None:
    """Raise UsageError unless the condition holds."""
    if not condition:
        raise UsageError(message, hint=hint)


def is_text(text: str) -> bool:
    """No lone surrogates, which is how Python shows undecodable bytes of the command line."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
