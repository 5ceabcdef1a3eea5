"""Splits and orders: complete, disjoint, stratified and always the same."""

import numpy as np
import pytest

from classicnets import data, streams
from classicnets.data.examples import Examples, Rows, digest
from classicnets.data.splitting import Source, split, take
from classicnets.errors import UserError


def carved(labels, fraction=0.1, seed=0, names=None):
    labels = np.asarray(labels, np.int32)
    examples = Examples(np.arange(len(labels)).reshape(-1, 1, 1, 1), labels)
    class_names = names or [str(k) for k in range(int(labels.max()) + 1)]
    source = Source("made", class_names, examples, fingerprint="")
    return split(source, data.Options(validation_fraction=fraction, split_seed=seed))


def numbers(examples):
    return set(np.asarray(examples.inputs).ravel().tolist())


def test_every_example_is_in_exactly_one_split():
    splits = carved(np.repeat([0, 1, 2], [50, 30, 20]))
    parts = [splits.train, splits.validation, splits.open_test()]
    assert sum(len(part) for part in parts) == 100
    assert set.union(*map(numbers, parts)) == set(range(100))


def test_every_class_gives_its_share_to_every_split():
    splits = carved(np.repeat([0, 1, 2], [50, 100, 20]), fraction=0.25)
    # A fifth to the test, a quarter of the rest to the validation.
    assert np.bincount(splits.open_test().labels).tolist() == [10, 20, 4]
    assert np.bincount(splits.validation.labels).tolist() == [10, 20, 4]
    assert np.bincount(splits.train.labels).tolist() == [30, 60, 12]


def test_labels_stay_with_their_inputs():
    labels = np.random.default_rng(0).integers(0, 4, 200)
    splits = carved(labels)
    for part in (splits.train, splits.validation, splits.open_test()):
        rows = np.asarray(part.inputs).ravel()
        assert part.labels.tolist() == labels[rows].tolist()
        assert part.labels.dtype == np.int32


def test_split_seed_moves_the_validation_and_never_the_test():
    labels = np.repeat([0, 1], 50)
    first, same, other = (carved(labels, seed=seed) for seed in (3, 3, 4))
    assert numbers(first.validation) == numbers(same.validation)
    assert numbers(first.validation) != numbers(other.validation)
    assert numbers(first.open_test()) == numbers(other.open_test())


def test_three_examples_of_a_class_are_enough_for_three_splits():
    splits = carved([0, 0, 0, 1, 1, 1], fraction=0.9)
    for part in (splits.train, splits.validation, splits.open_test()):
        assert np.bincount(part.labels).tolist() == [1, 1]


def test_two_examples_of_a_class_cannot_be_split_in_three():
    with pytest.raises(UserError, match=r"at least 3 examples.*'rare' of made has 2"):
        carved([0, 0, 0, 1, 1], names=["often", "rare"])


def test_an_empty_class_is_refused_by_name():
    with pytest.raises(UserError, match="'b' of made has 0"):
        carved([0, 0, 0, 2, 2, 2], names=["a", "b", "c"])


def test_one_class_is_refused():
    with pytest.raises(UserError, match=r"at least 2 classes, got 1 \('0'\)"):
        carved([0, 0, 0, 0])


def test_notes_count_what_was_carved():
    notes = " ".join(carved(np.repeat([0, 1], 50), seed=7).notes)
    assert "20 of its 100 examples" in notes
    assert "8 of 80 training examples" in notes
    assert "split_seed 7" in notes


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_validation_fraction_outside_0_and_1_is_refused(fraction):
    with pytest.raises(UserError, match=r"above 0 and below 1|must be finite"):
        data.load("digits", validation_fraction=fraction)


def test_a_negative_split_seed_is_refused():
    with pytest.raises(UserError, match=r"split_seed must be at least 0 .*got -1"):
        data.load("digits", split_seed=-1)


def test_epoch_order_is_a_permutation():
    order = data.epoch_order(1000, seed=1, epoch=2)
    assert sorted(order.tolist()) == list(range(1000))


def test_epoch_order_depends_on_seed_and_epoch_alone():
    first = data.epoch_order(100, seed=1, epoch=2).tolist()
    assert first == data.epoch_order(100, seed=1, epoch=2).tolist()
    assert first != data.epoch_order(100, seed=2, epoch=2).tolist()
    assert first != data.epoch_order(100, seed=1, epoch=3).tolist()
    assert first != data.epoch_order(100, seed=2, epoch=1).tolist()


def test_a_balanced_order_visits_classes_equally_often_and_all_their_examples():
    labels = np.repeat([4, 0, 7], [900, 90, 10])  # class numbers without examples, too
    orders = [
        data.epoch_order(1000, seed=2, epoch=epoch, labels=labels)
        for epoch in range(30)
    ]
    assert all(order.shape == (1000,) for order in orders)
    drawn = np.concatenate(orders)
    for label in (4, 0, 7):  # binomial: 10,000 of 30,000, deviation 82
        assert abs((labels[drawn] == label).sum() - 10_000) < 4 * 82
    times = np.bincount(drawn, minlength=1000)
    for members in (labels == 0, labels == 7):
        mean = 10_000 / members.sum()
        assert abs(times[members] - mean).max() < 5 * mean**0.5
    assert (times[labels == 4] > 0).all()  # 11 times on average
    # No pattern is left of the order of the classes.
    assert abs((labels[orders[0][:500]] == 7).sum() - 167) < 4 * 11


def test_a_balanced_order_depends_on_labels_seed_and_epoch_alone():
    labels = np.arange(100) // 90

    def order(seed, epoch):
        return data.epoch_order(100, seed=seed, epoch=epoch, labels=labels).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(*key)) for key in ((1, 2), (2, 2), (1, 3), (2, 1))}) == 4
    # Half of the first class's words are below 2^63.
    words = streams.words(100, 1, streams.Stream.BALANCE + 2)
    np.testing.assert_array_equal(labels[order(1, 2)], words >= 2**63)


def test_epoch_order_puts_an_example_anywhere_equally_often():
    places = [
        int(np.flatnonzero(data.epoch_order(10, seed=0, epoch=e) == 0)[0])
        for e in range(2000)
    ]
    counts = np.bincount(places, minlength=10)
    chi_squared = ((counts - 200) ** 2 / 200).sum()
    assert chi_squared < 27.9  # 9 degrees of freedom, p = 0.001


def test_rows_read_as_the_array_they_stand_for():
    array = np.random.default_rng(0).integers(0, 256, (20, 4, 3, 1), np.uint8)
    indices = np.array([1, 4, 5, 19])
    rows = Rows(array, indices)
    expected = array[indices]
    assert (rows.shape, rows.dtype, rows.ndim) == ((4, 4, 3, 1), np.uint8, 4)
    assert (rows.nbytes, rows.size, len(rows)) == (48, 48, 4)
    assert np.array_equal(np.asarray(rows), expected)
    assert np.array_equal(rows[np.array([3, 0, 0])], expected[[3, 0, 0]])
    assert np.array_equal(rows[1:3], expected[1:3])
    assert np.array_equal(rows[-1], expected[-1])
    assert np.asarray(rows, np.float32).dtype == np.float32


def test_rows_refuse_several_indices():
    with pytest.raises(IndexError, match="row only"):
        Rows(np.zeros((3, 2)), np.array([0]))[0, 1]


def test_neighbouring_rows_are_a_view_of_the_array():
    array = np.zeros((10, 2, 2, 1), np.uint8)
    rows = take(Examples(array, np.zeros(10)), np.arange(3, 7))
    assert np.shares_memory(rows.inputs, array)


def test_digest_tells_values_shapes_and_types_apart():
    a = np.zeros((2, 3), np.uint8)
    others = [a + np.uint8(1), a.reshape(3, 2), a.view(np.int8), a[:0]]
    assert len({digest(a), *map(digest, others)}) == 5
    assert digest(a) == digest(a.copy(order="F"))
