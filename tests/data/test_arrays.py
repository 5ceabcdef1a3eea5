""".npz files: what is read, and each thing that may be wrong with one."""

import numpy as np
import pytest

from classicnets import data
from classicnets.errors import UserError

RNG = np.random.default_rng(0)


def arrays(n=40, shape=(8, 6, 3), classes=4):
    return {
        "x_train": RNG.integers(0, 256, (n, *shape), np.uint8),
        "y_train": np.arange(n) % classes,
        "x_test": RNG.integers(0, 256, (n // 2, *shape), np.uint8),
        "y_test": np.arange(n // 2) % classes,
    }


@pytest.fixture
def save(tmp_path):
    def saved(**content):
        np.savez(tmp_path / "made.npz", **content)
        return tmp_path / "made.npz"

    return saved


def test_a_file_with_a_test_split_is_read_as_it_is(save):
    made = arrays()
    splits = data.load(save(**made), validation_fraction=0.25)
    assert splits.name == "made.npz"
    assert splits.class_names == ("0", "1", "2", "3")
    assert (len(splits.train), len(splits.validation)) == (28, 12)
    assert splits.train.inputs.shape == (28, 8, 6, 3)
    both = np.concatenate([splits.train.inputs, splits.validation.inputs])
    assert sorted(map(bytes, both)) == sorted(map(bytes, made["x_train"]))
    tested = splits.open_test()
    assert np.array_equal(tested.inputs, made["x_test"])
    assert np.array_equal(tested.labels, made["y_test"])


def test_a_file_without_a_test_split_gives_up_a_fifth(save):
    made = arrays()
    splits = data.load(save(x_train=made["x_train"], y_train=made["y_train"]))
    assert len(splits.open_test()) == 8
    assert len(splits.train) + len(splits.validation) == 32
    assert any("no test split" in note for note in splits.notes)


def test_a_validation_split_of_the_file_is_used(save):
    made = arrays()
    extra = {"x_val": made["x_test"][:7], "y_val": made["y_test"][:7]}
    splits = data.load(save(**made, **extra))
    assert np.array_equal(splits.validation.inputs, extra["x_val"])
    assert np.array_equal(splits.train.inputs, made["x_train"])


def test_class_names_of_the_file_are_used(save):
    names = np.array(["ant", "bee", "cat", "dog"])
    assert data.load(save(**arrays(), class_names=names)).class_names == tuple(names)


def test_the_test_images_are_not_read_before_open_test(save):
    # The images of the test are damaged in the file: loading does not notice,
    # opening does.
    path = save(**arrays(shape=(32, 32, 3)))
    intact = data.load(path)
    content = bytearray(path.read_bytes())
    needle = bytes(np.load(path)["x_test"].tobytes()[-32:])
    content[content.index(needle)] ^= 0xFF
    path.write_bytes(content)
    splits = data.load(path)
    assert splits.fingerprint == intact.fingerprint
    with pytest.raises(UserError, match="is broken: Bad CRC"):
        splits.open_test()


def test_grey_images_without_a_channel_axis_get_one(save):
    splits = data.load(save(**arrays(shape=(8, 6))))
    assert splits.train.inputs.shape[1:] == (8, 6, 1)
    assert splits.open_test().inputs.shape[1:] == (8, 6, 1)


def test_labels_may_be_a_column(save):
    made = arrays()
    flat = data.load(save(**made)).train.labels
    made["y_train"] = made["y_train"][:, None]
    assert np.array_equal(data.load(save(**made)).train.labels, flat)


@pytest.mark.parametrize(
    "kind", [np.float32, np.float64, np.float16, np.int64, np.bool_]
)
def test_other_number_types_become_the_same_uint8(save, kind):
    made = arrays()
    pixels = np.where(made["x_train"] > 127, 255, 0).astype(np.uint8)
    expected = data.load(save(**made | {"x_train": pixels})).train.inputs
    scale = 1 if kind == np.int64 else 255
    splits = data.load(save(**made | {"x_train": (pixels // scale).astype(kind)}))
    assert splits.train.inputs.dtype == np.uint8
    assert np.array_equal(splits.train.inputs, expected)
    assert any("made uint8" in note for note in splits.notes)


def test_floats_are_rounded_to_the_nearest_pixel(save):
    made = arrays()
    exact = made["x_train"]
    splits = data.load(save(**made | {"x_train": exact / 255}))
    assert np.array_equal(
        np.sort(splits.train.inputs[:], axis=None),
        np.sort(data.load(save(**made)).train.inputs[:], axis=None),
    )


def test_images_are_resized_in_every_split(save):
    made = arrays()
    extra = {"x_val": made["x_test"][:7], "y_val": made["y_test"][:7]}
    path = save(**made, **extra)
    splits = data.load(path, image_size=16, channels=1, resize="fit")
    for part in (splits.train, splits.validation, splits.open_test()):
        assert part.inputs.shape[1:] == (16, 16, 1)
    assert any("16x16x1 (fit) from 8x6x3" in note for note in splits.notes)


def test_the_fingerprint_is_of_the_content_alone(save):
    made = arrays()
    first = data.load(save(**made), split_seed=1).fingerprint
    assert data.load(save(**made), split_seed=2).fingerprint == first
    changed = made | {"x_train": made["x_train"] ^ np.uint8(1)}
    assert data.load(save(**changed)).fingerprint != first
    relabelled = made | {"y_train": made["y_train"][::-1]}
    assert data.load(save(**relabelled)).fingerprint != first


def test_a_changed_test_is_seen_without_opening_it(save):
    made = arrays()
    first = data.load(save(**made))
    images = made["x_test"] ^ np.uint8(1)
    others = [
        data.load(save(**made | changed))
        for changed in ({"x_test": images}, {"y_test": made["y_test"][::-1]}, {})
    ]
    assert {each.fingerprint for each in others} == {first.fingerprint}
    prints = [each.test_fingerprint for each in others]
    assert len({first.test_fingerprint, *prints[:2]}) == 3
    assert prints[2] == first.test_fingerprint != ""


def without(made, key):
    return {k: v for k, v in made.items() if k != key}


NAN = np.full((40, 8, 6, 3), np.nan)
WRONG = {
    "no x_train": (
        lambda made: without(made, "x_train"),
        "must hold x_train and y_train, it has no x_train",
    ),
    "no y_test": (lambda made: without(made, "y_test"), "has x_test but no y_test"),
    "no x_test": (lambda made: without(made, "x_test"), "has y_test but no x_test"),
    "channels of the test": (
        lambda made: made | {"x_test": made["x_test"][..., :1]},
        "x_test .* must have images of the size of x_train's, 8x6x3, got 8x6x1",
    ),
    "size of the test": (
        lambda made: made | {"x_test": made["x_test"][:, :4]},
        "got 4x6x3",
    ),
    "channels first": (
        lambda made: made | {"x_train": made["x_train"].transpose(0, 3, 1, 2)},
        "channels last, got shape .40, 3, 8, 6.; store x_train.transpose",
    ),
    "two channels": (
        lambda made: made | {"x_train": made["x_train"][..., :2]},
        "1 or 3 channels, got shape",
    ),
    "flat images": (
        lambda made: made | {"x_train": made["x_train"].reshape(40, -1)},
        "must be .n, height, width. or",
    ),
    "no examples": (
        lambda made: {"x_train": made["x_train"][:0], "y_train": made["y_train"][:0]},
        "x_train .* must not be empty",
    ),
    "NaN": (lambda made: made | {"x_train": NAN}, "free of NaN"),
    "floats of 0..255": (
        lambda made: made | {"x_train": made["x_train"].astype(np.float32)},
        "floats in 0..1, got float32 in 0..255",
    ),
    "negative pixels": (
        lambda made: made | {"x_train": made["x_train"].astype(int) - 1},
        "integers in 0..255 .* got int64 in -1..254",
    ),
    "complex pixels": (
        lambda made: made | {"x_train": made["x_train"] * 1j},
        "must be uint8 images, got complex128",
    ),
    "float labels": (
        lambda made: made | {"y_train": made["y_train"] * 1.0},
        "y_train .* must be integers .* got float64",
    ),
    "one-hot labels": (
        lambda made: made | {"y_train": np.eye(4, dtype=int)[made["y_train"]]},
        "use argmax",
    ),
    "negative labels": (
        lambda made: made | {"y_train": made["y_train"] - 1},
        "y_train .* must be 0 or more, got -1",
    ),
    "unknown test label": (
        lambda made: made | {"y_test": made["y_test"] + 1},
        r"y_test .* must be in 0\.\.3, got 4",
    ),
    "label beyond the names": (
        lambda made: made | {"class_names": np.array(["a", "b", "c"])},
        r"y_train .* must be in 0\.\.2, got 3",
    ),
    "names that are numbers": (
        lambda made: made | {"class_names": np.arange(4)},
        "class_names .* must be a list of texts",
    ),
    "a label too few": (
        lambda made: made | {"y_train": made["y_train"][1:]},
        "one label per image, got 39 labels for 40 images",
    ),
    "one class": (
        lambda made: made | {"y_train": made["y_train"] * 0, "y_test": [0] * 20},
        "at least 2 classes, got 1",
    ),
    "near-empty class": (
        lambda made: made | {"y_train": [1] + [0] * 39, "y_test": [0] * 20},
        "at least 2 examples to be split, class '1' .* has 1",
    ),
    "objects": (
        lambda made: made | {"y_train": np.array([None] * 40)},
        "holds Python objects",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_in_one_line(save, case):
    change, message = WRONG[case]
    path = save(**change(arrays()))
    with pytest.raises(UserError, match=message) as raised:
        data.load(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a .npz file, it is empty"),
        (b"no zip at all", "it is broken"),
    ],
)
def test_a_file_that_is_no_npz_is_refused(tmp_path, content, message):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=message):
        data.load(tmp_path / "a.npz")


def test_a_file_cut_short_is_refused(save):
    path = save(**arrays())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="it is broken"):
        data.load(path)


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "a.docx").write_text("1,2")
    with pytest.raises(UserError, match=r"or a folder of images or texts, got the"):
        data.load(tmp_path / "a.docx")


@pytest.mark.parametrize("name", ["cifar10o", "minst", "CIFAR100"])
def test_a_misspelt_name_is_answered_with_the_nearest(name):
    nearest = {"cifar10o": "cifar10", "minst": "mnist", "CIFAR100": "cifar100"}[name]
    with pytest.raises(UserError, match=f"is called '{name}'.*'{nearest}'"):
        data.load(name)
