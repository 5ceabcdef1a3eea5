"""What a fold of a cross-validation holds out, and what it leaves to learn from."""

import csv
import re
import warnings

import numpy as np
import pytest

from classicnets import data
from classicnets.errors import UserError


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Return a function that writes an .npz whose image k has the pixels k."""

    def write(labels, test=6):
        train = len(labels)
        path = tmp_path_factory.mktemp("numbered") / "numbered.npz"
        pixels = np.arange(train + test, dtype=np.uint8).reshape(-1, 1, 1, 1)
        images = np.broadcast_to(pixels, (train + test, 4, 4, 1))
        arrays = {"x_train": images[:train], "y_train": np.asarray(labels)}
        if test:
            arrays |= {"x_test": images[train:], "y_test": np.arange(test) % 2}
        np.savez(path, **arrays)
        return path

    return write


def numbers(examples):
    return np.asarray(examples.inputs)[:, 0, 0, 0].tolist()


def folds(path, count, **options):
    return [
        data.load(path, folds=count, fold=number, **options)
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("test", [0, 6])
def test_every_training_example_is_held_out_once_and_the_test_never(
    numbered, labelled, test
):
    path = numbered(np.arange(41) % 2, test=test)
    splits = data.load(path, labelled=labelled)
    closed = set(numbers(splits.open_test()))
    held = []
    for found in folds(path, 5, labelled=labelled):
        parts = [found.train, found.validation, found.open_test()]
        seen = [number for part in parts for number in numbers(part)]
        not_test = numbers(splits.train) + numbers(splits.validation)
        assert sorted(seen) == sorted(not_test)
        assert not closed & set(seen)
        held += numbers(found.open_test())
    assert sorted(held) == sorted(set(held))
    assert len(held) == len(splits.train) + len(splits.validation)


def test_classes_are_spread_evenly(numbered):
    path = numbered(np.arange(60) % 3)
    for found in folds(path, 4):
        counts = np.bincount(found.open_test().labels, minlength=3)
        assert counts.tolist() == [5, 5, 5]


def test_a_fold_is_the_same_every_time_and_another_with_another_seed(numbered):
    path = numbered(np.arange(40) % 2)
    first, again = (numbers(folds(path, 4)[1].open_test()) for _ in range(2))
    assert first == again
    assert numbers(folds(path, 4, split_seed=1)[1].open_test()) != first
    # Were they no more drawn than the file is sorted, these would be neighbours.
    assert np.diff(first).max() > 2


def test_a_group_stands_in_one_part_alone(numbered, tmp_path):
    path = numbered(np.arange(60) % 2)
    groups = [f"person {number % 12}" for number in range(60)]
    (tmp_path / "groups.txt").write_text("\n".join(groups) + "\n")
    held = []
    for found in folds(path, 3, groups=str(tmp_path / "groups.txt")):
        parts = [found.train, found.validation, found.open_test()]
        named = [{groups[number] for number in numbers(part)} for part in parts]
        assert all(named)
        assert sum(map(len, named)) == len(set.union(*named)) == 12
        held += numbers(found.open_test())
    assert sorted(held) == list(range(60))


def test_a_column_of_a_table_groups_its_texts(tmp_path):
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label", "film", "split"])
        for number in range(48):
            film, part = f"film{number % 8}", "test" if number >= 40 else "train"
            rows.writerow([f"{film} text{number}", number % 2, film, part])
    for number in (1, 2, 3):
        found = data.load(path, folds=3, fold=number, groups="film")
        held = {text.split()[0] for text in found.open_test().texts}
        learned = {text.split()[0] for text in found.train.texts}
        assert held
        assert not held & learned
        # The vocabulary knows nothing of what is held out.
        assert not held & set(found.tokenizer.get_vocab())
        assert learned <= set(found.tokenizer.get_vocab())


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (20, {"folds": 1}, "folds must be at least 2, got 1."),
        (20, {"folds": 3, "fold": 4}, "fold must lie in 1..3, got 4."),
        (20, {"folds": 3}, "fold must lie in 1..3, got 0."),
        (20, {"fold": 2}, "fold 2 needs to know of how many"),
        (20, {"folds": 11, "fold": 1}, "the smallest of numbered.npz has 10"),
        (
            20,
            {"folds": 21, "fold": 1, "labelled": False},
            "21 folds need as many examples, numbered.npz has 20.",
        ),
        (20, {"folds": 2, "fold": 1, "groups": "person"}, "groups must be a text file"),
    ],
)
def test_folds_that_cannot_be_are_refused(numbered, labels, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        data.load(numbered(np.arange(labels) % 2), **options)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (
            ["a"] * 19,
            "a line for each of the 20 examples of numbered.npz, they have 19",
        ),
        (["a", "b"] * 10, "3 folds need as many groups, numbered.npz has 2."),
        (["a", ""] * 10, "must name a group, line 2 is empty."),
        (["a"] * 18 + ["b", "c"], "examples to be split, class '0' of numbered.npz"),
    ],
)
def test_groups_that_cannot_be_are_refused(numbered, tmp_path, groups, message):
    path = tmp_path / "groups.txt"
    path.write_text("\n".join(groups))
    with pytest.raises(UserError, match=message):
        folds(numbered(np.arange(20) % 2), 3, groups=str(path))


def test_a_class_in_one_group_alone_is_refused(numbered, tmp_path):
    labels = [0] * 6 + [1] * 18
    path = tmp_path / "groups.txt"
    path.write_text("\n".join(["x"] * 6 + [f"g{k % 6}" for k in range(18)]))
    with pytest.raises(UserError, match=r"without fold . has 0"):
        folds(numbered(labels), 3, groups=str(path))


def test_folders_have_no_groups(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="groups are for files and named sets"):
        data.load(tmp_path / "photos", folds=2, fold=1, groups="g.txt")


def test_scikit_learn_has_nothing_to_warn_of(numbered, tmp_path):
    """The smallest class with the most folds, in the order of the file."""
    path = tmp_path / "groups.txt"
    path.write_text("\n".join(f"g{k % 10}" for k in range(40)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds(numbered(np.sort(np.arange(40) % 4)), 10)
        folds(numbered(np.sort(np.arange(40) % 4)), 4, groups=str(path))


def test_a_fold_names_what_it_holds_out(numbered, tmp_path):
    path, groups = numbered(np.arange(40) % 2), tmp_path / "groups.txt"

    def held_out(names):
        groups.write_text("\n".join(names))
        splits = data.load(path, folds=2, fold=1, groups=str(groups))
        return splits.fingerprint, splits.test_fingerprint

    first = held_out([f"g{row // 4}" for row in range(40)])
    other = held_out([f"g{row % 10}" for row in range(40)])
    # The data are the same, and the fold is another.
    assert first[0] == other[0]
    assert first[1] != other[1]
