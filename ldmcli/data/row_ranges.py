"""Which rows of an entry are written."""

from collections.abc import Iterable


class RowRanges:
    """A set of whole numbers as half-open ranges, ascending and apart."""

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self.pairs: list[tuple[int, int]] = []
        for first, last in pairs:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Numbers first..last-1."""
        apart = [pair for pair in self.pairs if pair[1] < first or pair[0] > last]
        touching = [pair for pair in self.pairs if pair not in apart]
        merged = (min([first, *(a for a, _ in touching)]), max([last, *(b for _, b in touching)]))
        self.pairs = sorted([*apart, merged])

    def __contains__(self, span: tuple[int, int]) -> bool:
        """Whether all of first..last-1 is in here."""
        return any(a <= span[0] and span[1] <= b for a, b in self.pairs)
