"""Why a picture could not be made again, in words."""

from ldmcli.records.pictures import Otherwise, Verified

UNCHANGED = (
    "Weights, versions, threads, processor, device and precision are those of its record: its pixels were changed after it was drawn, "
    "or a library chose otherwise by what is not recorded."
)


def reasons(found: Verified) -> str:
    """A sentence: what is not as it was when the picture was drawn, the likeliest first; or that nothing recorded is."""
    if not found.differs_in:
        return UNCHANGED
    return f"Not as it was drawn: {', '.join(map(_one, found.differs_in))}."


def _one(each: Otherwise) -> str:
    return f"{each.what} ({'not recorded' if each.then is None else each.then} then, {'none' if each.now is None else each.now} now)"
