"""A job for several processes, or for parts that know nothing of each other, and whether what they made is what one process makes."""

from outputs import pictures, rows_of

PROMPTS, EACH, BATCH = 7, 5, 4
"""Prompts, pictures of each and of a batch; scripts/bench/sharing.py takes more."""
COUNT = PROMPTS * EACH


def by_number(folder):
    """(how runs began, the rows by number, newest first, without how long each took)."""
    rows = {row["number"]: {**row, "seconds": None} for row in rows_of(folder) if row.get("status") == "ok"}
    return [row for row in rows_of(folder) if row.get("event") == "start"], [rows[number] for number in sorted(rows)]


def same(folder, whole):
    """Whether the same pictures and rows are there."""
    return pictures(folder) == pictures(whole) and by_number(folder) == by_number(whole)
