"""Readers bear broken files; `make fuzz` feeds them many more."""

import importlib
import io
import sys
import zipfile
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from classicnets import data, recipe
from classicnets.errors import UserError

# As Python does for the command; the names are no others'.
sys.path.append(str(Path(__file__).parent))
fuzzing = importlib.import_module("fuzzing")
sys.path.pop()


@pytest.mark.parametrize("name", fuzzing.READERS)
def test_a_reader_takes_intact_files_and_takes_or_refuses_others(name, tmp_path):
    reader = fuzzing.READERS[name]
    for content in reader.intact():
        assert fuzzing.accepts(reader, content, tmp_path)

    examples = max(5, round(30 * reader.share))

    @hypothesis.settings(fuzzing.QUIET, derandomize=True, max_examples=examples)
    @hypothesis.given(fuzzing.inputs_of(reader))
    def bears(content):
        fuzzing.accepts(reader, content, tmp_path)

    bears()


@pytest.mark.parametrize(
    "shape, reason",
    [
        ((10**6, 28, 28), r"x_train.npy must have 784,000,000 bytes"),
        ((24, 2**40, 8), r"x_train.npy must have [\d,]+ bytes"),
        ((2**62, 8, 8), r"x_train.npy must have [\d,]+ bytes"),
        ((-2, 2**62 - 1, 3), r"x_train.npy cannot have the shape"),
    ],
)
def test_an_array_that_promises_more_than_its_file_holds_is_refused(
    shape, reason, tmp_path
):
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    array, path = io.BytesIO(), tmp_path / "promise.npz"
    np.lib.format.write_array_header_1_0(array, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", array.getvalue() + bytes(100))
    with pytest.raises(UserError, match=reason):
        data.load(path)


def test_a_label_beyond_the_number_of_images_names_no_classes(tiny_set, tmp_path):
    with np.load(tiny_set()) as arrays:
        changed = dict(arrays)
    changed["y_train"] = changed["y_train"].astype(np.int64)
    changed["y_train"][0] = 2**40  # so many names would fill the memory
    np.savez(tmp_path / "far.npz", **changed)
    with pytest.raises(UserError, match=r"must number the classes 0, 1, \.\.\., got"):
        data.load(tmp_path / "far.npz")


def test_a_model_larger_than_its_weights_is_refused(tmp_path):
    inputs = importlib.import_module("fuzzing_inputs")
    reader = fuzzing.READERS["model.keras"]
    files = inputs.unzipped(reader.intact()[0])
    config = files["config.json"].replace(b'"units": 3', b'"units": 300000000')
    assert config != files["config.json"]
    path = tmp_path / reader.file
    path.parent.mkdir()
    path.write_bytes(inputs.zipped(files | {"config.json": config}))
    with pytest.raises(UserError, match="units of 300,000,000 is too large"):
        reader.read(path)


def test_a_recipe_is_read_as_it_was_written_whatever_its_texts_hold(tmp_path):
    odd = 'a "quoted" \\ path\nof\ttwo lines\x00\x1f\x7f, 中文 👍'
    options = {"depth": 34, "a b": odd, "deep": [[1.5, True], {"day": "1"}]}
    values = {"network": "vgg16", "data": odd, "epochs": 1, "network_options": options}
    built = recipe.build(values)
    (tmp_path / "odd.toml").write_text(recipe.to_toml(built), encoding="utf-8")
    assert recipe.load(tmp_path / "odd.toml") == built


def test_characters_that_do_not_exist_are_refused(tiny_set, tmp_path):
    with np.load(tiny_set()) as arrays:
        changed = dict(arrays)
    names = np.array(["cat", "dog", "cow"])
    names.view(np.uint32)[1] = 0x110000  # one beyond the last of Unicode
    np.savez(tmp_path / "odd.npz", **changed, class_names=names)
    with pytest.raises(UserError, match=r"it is broken: .*utf-32"):
        data.load(tmp_path / "odd.npz")


def test_half_a_surrogate_pair_in_a_label_becomes_a_sign(tmp_path):
    rows = [f'{{"text": "film {n}", "label": "{n % 2}\\ud800"}}' for n in range(20)]
    (tmp_path / "odd.jsonl").write_text("\n".join(rows))
    splits = data.load(tmp_path / "odd.jsonl")
    assert splits.class_names == ("0\ufffd", "1\ufffd")


def test_a_tokenizer_with_a_gap_in_its_numbers_is_refused(tmp_path):
    reader = fuzzing.READERS["tokenizer.json"]
    content = reader.intact()[0].replace(b'"film":2', b'"film":2147483648')
    assert content != reader.intact()[0]
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UserError, match=r"0, 1, 2, \.\.\. without a gap"):
        data.load_tokenizer(tmp_path / "tokenizer.json")
