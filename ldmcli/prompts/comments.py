"""Lines of a prompts file that are no prompts."""

from collections.abc import Sequence


def comment_note(name: str, comments: Sequence[int]) -> str:
    """What becomes of lines that begin with #, which some would like drawn. comments: their numbers, at least one."""
    if len(comments) == 1:
        return f"{name}: line {comments[0]} begins with # and is a comment, not a prompt"
    return f"{name}: {len(comments)} lines begin with # and are comments, not prompts, line {comments[0]} for one"
