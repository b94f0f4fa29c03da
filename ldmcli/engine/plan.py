"""The pictures of a command in order, with their seeds. Each is made when it is asked for. Imports no torch."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ldmcli.config.checks import MAX_SEED, check
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.starting import OF_A_JOB, parse_variation
from ldmcli.engine.jobs import Job, Towards
from ldmcli.engine.requests import Request, RequestList
from ldmcli.records.words import counted
from ldmcli.runtime.long_lists import MadeWhenAsked


class JobList(MadeWhenAsked[Job]):
    """Every job of the requests, numbered from 0.

    before: for each request, how many pictures the same prompt was asked for until then.
    """

    def __init__(self, requests: RequestList, seed: int, settings: list[GenerateConfig], before: Sequence[int]) -> None:
        self._requests, self._seed, self._before = requests, seed, before
        self._settings = settings  # by the place of a config
        self._starts, self._count = _starts([config.pictures for config in requests.configs], requests.config_numbers)

    @property
    def configs(self) -> list[GenerateConfig]:
        """The settings that jobs have, in the order in which they first appear."""
        return list(dict.fromkeys(self._settings))

    def __len__(self) -> int:
        return self._count

    def item(self, number: int) -> Job:
        """Raises LdmError for a disk that does not read."""
        row = bisect_right(self._starts, number) - 1
        request, settings = self._requests[row], self._settings[self._requests.config_numbers[row]]
        seed = self._seed if request.seed is None else request.seed
        if request.config.frames is not None:
            return _frame(request, seed, settings, number, self._starts[row])
        i = self._before[row] + number - self._starts[row]
        config = request.config
        towards = None if config.share is None else Towards(config.seed_to, config.prompt_to, config.share)
        if config.variation is None:
            return Job(number, request.prompt, seed + i, settings, request.line, None, towards)
        other, amount = parse_variation(config.variation)  # as in A1111, the seed itself stays where there is another
        return Job(number, request.prompt, seed, settings, request.line, (other + i, amount), towards)


def plan_jobs(requests: Iterable[Request], seed: int) -> JobList:
    """Request by request. Picture i of a prompt has seed + i; the same prompt asked for again with the same settings goes on counting.

    Raises UsageError where that goes beyond the largest seed.
    """
    asked = RequestList.of(requests)
    uncounted = [replace(config, prompts=(), num_images=1, seed=None) for config in asked.configs]
    same = {config: place for place, config in reversed([*enumerate(uncounted)])}
    alike = [same[config] for config in uncounted]  # the first place of equal settings: a config is too large to compare a million times
    plain = {config: config for config in (replace(config, **OF_A_JOB) for config in uncounted)}
    settings = [plain[replace(config, **OF_A_JOB)] for config in uncounted]
    variations = [None if config.variation is None else parse_variation(config.variation)[0] for config in asked.configs]
    before, latest = array("Q"), _LatestRows(len(asked))
    for row, place in enumerate(asked.config_numbers):
        config, own = asked.configs[place], asked.seed(row)
        if config.frames is not None:
            before.append(0)
            continue
        first, prompt = seed if own is None else own, asked.prompts[row]

        def equals(other: int, key: tuple[int, int, str] = (alike[place], first, prompt)) -> bool:
            seed_of_other = seed if (its := asked.seed(other)) is None else its
            return (alike[asked.config_numbers[other]], seed_of_other, asked.prompts[other]) == key

        last = latest.swap(hash((alike[place], first, prompt)), row, equals)
        before.append(0 if last is None else before[last] + asked.configs[asked.config_numbers[last]].num_images)
        counted_up = first if (other := variations[place]) is None else other
        after = before[row] + config.num_images
        check(counted_up + after - 1 <= MAX_SEED, f"--seed {counted_up} with {counted(after, 'picture')} goes beyond 2**64 - 1.")
    return JobList(asked, seed, settings, before)


class _LatestRows:
    """For each key the last row that had it, in 16 to 32 bytes a row: a dict of a million prompts takes ten times as much.

    A table with open addressing, whose slots hold 32 bits of a key's hash and the row; 0 is an empty slot.
    """

    def __init__(self, rows: int) -> None:
        self._slots = array("Q", [0]) * (1 << (2 * rows).bit_length())

    def swap(self, hashed: int, row: int, equals: Callable[[int], bool]) -> int | None:
        """The last row before with this key, whose place this one takes. equals: whether a row has the key, asked where hashes agree."""
        slots, mark = self._slots, hashed & 0xFFFFFFFF
        last, place = len(slots) - 1, mark & (len(slots) - 1)
        while slot := slots[place]:
            if slot >> 32 == mark and equals(found := (slot & 0xFFFFFFFF) - 1):
                slots[place] = mark << 32 | row + 1
                return found
            place = (place + 1) & last
        slots[place] = mark << 32 | row + 1
        return None


def _starts(pictures: Sequence[int], config_numbers: Sequence[int]) -> tuple[Sequence[int], int]:
    """The number of each request's first job, and how many jobs there are."""
    if set(pictures) <= {1}:
        return range(len(config_numbers)), len(config_numbers)
    starts, count = array("Q"), 0
    for place in config_numbers:
        starts.append(count)
        count += pictures[place]
    return starts, count


def _frame(request: Request, seed: int, settings: GenerateConfig, number: int, start: int) -> Job:
    """From the picture of the prompt and seed to that of --prompt-to and --seed-to: both ends are those pictures themselves."""
    config = request.config
    assert config.frames is not None
    last, i = config.frames - 1, number - start
    first = Job(number, request.prompt, seed, settings, request.line, sequence=start)
    if i == 0:
        return first
    if i < last:
        return replace(first, towards=Towards(config.seed_to, config.prompt_to, i / last))
    prompt = request.prompt if config.prompt_to is None else config.prompt_to
    return replace(first, seed=seed if config.seed_to is None else config.seed_to, prompt=prompt)
