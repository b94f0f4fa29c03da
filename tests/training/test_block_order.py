"""The order of pictures in shards: complete, repeatable, the same from any step on, and mixed as far as a block goes."""

import pytest
import torch

from ldmcli.training.block_order import BlockOrder

COUNTS = [5, 1, 7, 0, 4, 6, 3, 8]
"""34 pictures."""


@pytest.mark.parametrize("block", [1, 3, 8, 100])
def test_every_picture_once_an_epoch_in_blocks_of_shards(block):
    order = BlockOrder(COUNTS, 3, block)
    shard_of = torch.repeat_interleave(torch.arange(8), torch.tensor(COUNTS)).tolist()
    epochs = [order.places(34 * epoch, 34 * epoch + 34) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(34)) for epoch in epochs) and epochs[0] != epochs[1] != epochs[2]
    for epoch in epochs:
        seen: list[int] = []
        for number in epoch:
            if shard_of[number] not in seen:
                seen.append(shard_of[number])
            place = seen.index(shard_of[number])
            # of earlier blocks nothing comes again: shards without pictures are in some block too
            assert place >= len(seen) - block


@pytest.mark.parametrize("block", [2, 3])
def test_a_function_of_seed_and_step_alone(block):
    straight = [BlockOrder(COUNTS, 7, block).batch(step, 6).tolist() for step in range(20)]
    order = BlockOrder(COUNTS, 7, block)
    assert [order.batch(step, 6).tolist() for step in reversed(range(20))] == straight[::-1]
    assert order.places(9, 31) == sum(straight, [])[9:31]
    assert straight != [BlockOrder(COUNTS, 8, block).batch(step, 6).tolist() for step in range(20)]


def test_the_shards_of_the_next_block_are_known():
    order = BlockOrder([10] * 7, 1, 3)
    shards = [{number // 10 for number in order.places(first, last)} for first, last in ((0, 30), (30, 60), (60, 70), (70, 100))]
    for position, following in ((0, 1), (29, 1), (30, 2), (65, 3)):
        assert set(order.shards_after(position)) == shards[following]


def test_a_block_is_mixed_as_a_shuffle_is():
    """Of a block of 8 shards a batch of 64 holds as many of each as drawing without putting back would: 8 on average, and not in order."""
    order = BlockOrder([1000] * 80, 5, 8)
    shares = torch.stack([torch.bincount(order.batch(step, 64) // 1000, minlength=80) for step in range(10_00)])
    present = shares[shares.sum(1) == 64]
    blocks = (shares > 0).sum(1)
    assert blocks.max() <= 16 and blocks.float().mean() > 7.9  # at most two blocks meet in a batch
    variance = present[:100][present[:100] > 0].float().var().item()
    assert 5 < variance < 9  # 64 * 1/8 * 7/8 = 7 of a binomial
