"""--shard auto: what SLURM, AWS Batch and Kubernetes say."""

import pytest

from ldmcli.config.sharing import find_shard
from ldmcli.errors import UsageError


def slurm(number, count, least, most):
    return {
        f"SLURM_ARRAY_TASK_{name}": str(value)
        for name, value in zip(("ID", "COUNT", "MIN", "MAX"), (number, count, least, most), strict=True)
    }


@pytest.mark.parametrize(
    ("text", "environment", "part"),
    [
        ("2/7", {"SLURM_ARRAY_TASK_ID": "5"}, (2, 7)),
        ("auto", slurm(0, 7, 0, 6), (1, 7)),
        ("auto", slurm(7, 7, 1, 7), (7, 7)),
        ("auto", slurm(4, 4, 0, 6), (3, 4)),
        ("auto", slurm(9, 1, 9, 9), (1, 1)),
        ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, (1, 3)),
        ("auto/5", {"JOB_COMPLETION_INDEX": "4"}, (5, 5)),
    ],
)
def test_which_part_it_is(text, environment, part):
    shard = find_shard(text, environment)
    assert (shard.number, shard.count) == part


@pytest.mark.parametrize(
    ("text", "environment", "words"),
    [
        ("auto", {}, "no variable of an array of jobs is set"),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}, "JOB_COMPLETION_INDEX says which part this is, and nothing of how many"),
        ("auto", slurm(5, 3, 1, 6), "an array with gaps"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "x"}, "cannot be read"),
        ("auto/5", {"JOB_COMPLETION_INDEX": "5"}, "there is no part 6 of 5"),
        ("8/7", {}, "there is no part 8 of 7"),
        ("1", {}, "I/N or auto is needed"),
    ],
)
def test_what_says_no_part_is_refused(text, environment, words):
    with pytest.raises(UsageError, match=words):
        find_shard(text, environment)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_piece_belongs_to_one_part(count):
    shards = [find_shard(f"{number}/{count}") for number in range(1, count + 1)]
    assert all(sum(piece in shard for shard in shards) == 1 for piece in range(50))
