"""Which picture comes when: a pure function of (seed, step)."""

import pytest
import torch

from ldmcli.training.order import SampleOrder, generator_for, pick


def ids(count, seed, steps, size):
    order = SampleOrder(count, seed)
    return torch.cat([order.batch(step, size) for step in steps])


def test_every_picture_comes_once_in_every_epoch():
    seen = ids(10, seed=3, steps=range(15), size=2).view(3, 10)
    for epoch in seen:
        assert sorted(epoch.tolist()) == list(range(10))
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])


def test_batches_run_on_over_the_end_of_an_epoch():
    seen = ids(10, seed=3, steps=range(5), size=4)  # 20 places: two epochs, the third batch in both
    assert len(seen) == 20
    assert sorted(seen[:10].tolist()) == sorted(seen[10:].tolist()) == list(range(10))


def test_the_order_does_not_depend_on_the_batch_size():
    assert torch.equal(ids(10, 3, range(6), 5), ids(10, 3, range(10), 3))


@pytest.mark.parametrize("first", [0, 1, 2, 3, 9])
def test_a_run_that_starts_at_any_step_sees_the_same_ids_as_one_that_ran_through(first):
    through = ids(10, seed=3, steps=range(12), size=4)
    assert torch.equal(ids(10, seed=3, steps=range(first, 12), size=4), through[4 * first :])


def test_asking_twice_or_backwards_gives_the_same_batch():
    order = SampleOrder(10, 3)
    later, earlier = order.batch(7, 4), order.batch(1, 4)
    assert torch.equal(order.batch(7, 4), later)
    assert torch.equal(order.batch(1, 4), earlier)


def test_another_seed_gives_another_order():
    assert not torch.equal(ids(100, 1, range(1), 100), ids(100, 2, range(1), 100))


def test_a_generator_is_a_function_of_seed_purpose_and_number_alone():
    def draw(*arguments):
        torch.randn(3)  # the global state must not matter
        return torch.randn(64, generator=generator_for(*arguments))

    reference = draw(1, "noise", 2)
    assert torch.equal(reference, draw(1, "noise", 2))
    for other in [(2, "noise", 2), (1, "order", 2), (1, "noise", 3), (12, "noise", 2), (1, "noise/2", 0)]:
        assert not torch.equal(reference, draw(*other))


def test_generators_of_neighbouring_steps_are_not_correlated():
    draws = torch.stack([torch.randn(4096, generator=generator_for(0, "unet", step)) for step in range(8)])
    between = torch.corrcoef(draws) - torch.eye(8)
    assert between.abs().max() < 0.08  # five standard deviations of 1 / sqrt(4096)


def test_a_seed_of_64_bits_is_accepted():
    assert torch.rand(1, generator=generator_for(2**64 - 1, "order", 10**9)).isfinite()


def test_pick_reaches_every_caption_of_a_picture_equally_often_and_none_beyond():
    counts = torch.tensor([1, 2, 5]).repeat(6000)
    chosen = pick(counts, generator_for(0, "pick"))
    assert (chosen >= 0).all() and (chosen < counts).all()
    for count in (1, 2, 5):
        shares = torch.bincount(chosen[counts == count], minlength=count) / 6000
        torch.testing.assert_close(shares, torch.full((count,), 1 / count), atol=0.02, rtol=0)
