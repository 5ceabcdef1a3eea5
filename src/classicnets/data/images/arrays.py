"""Data sets in one `.npz` file: `x_train, y_train` and, if there, the other splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.data.examples import Examples, digest
from classicnets.data.images.decoding import resize_array
from classicnets.data.labels import ADVICE
from classicnets.data.npz import checksums, read_array, read_shapes
from classicnets.data.options import Options
from classicnets.data.splitting import Source
from classicnets.errors import UserError
from classicnets.kinds import NUMBERS, SETS

_PARTS = ("train", "val", "test")
_BLOCK = 4096  # rows converted at a time, to bound the memory of the conversion


def open_npz(
    path: Path, options: Options, *, name: str, class_names: Sequence[str] | None = None
) -> Source:
    """Open a `.npz`; `x_test` stays unread until the splits' `open_test()`.

    Args:
        path: The file.
        options: How it is read. Where the labels are not needed, the file may have
            none; those that it has are kept if nothing is wrong with them.
        name: How messages call it.
        class_names: The names of the classes where the file holds none itself; None:
            "0", "1", ...
    """
    shapes = read_shapes(path)
    _check_keys(path, shapes, options.labelled)
    _check_images(path, shapes)
    notes: list[str] = []
    # All labels are checked now, so that a wrong one does not cost a training run; the
    # images of the test are not read before the test.
    names, labels = _labels_of_parts(path, shapes, class_names, options, notes)
    inputs = _prepared(path, "x_train", options, notes)
    own, size = _image_shape(shapes["x_train"]), inputs.shape[1:]
    if size != own:
        notes.append(f"images made {_size(size)} ({options.resize}) from {_size(own)}")
    content = [inputs, labels["train"]]
    validation = None
    if "x_val" in shapes:
        images = _prepared(path, "x_val", options, notes)
        validation = Examples(images, labels["val"])
        content += [images, labels["val"]]

    def open_test() -> Examples:
        return Examples(_prepared(path, "x_test", options, []), labels["test"])

    return Source(
        name=name,
        class_names=names,
        examples=Examples(inputs, labels["train"]),
        validation=validation,
        open_test=open_test if "x_test" in shapes else None,
        fingerprint=digest(*content),
        test_fingerprint=checksums(path, "x_test", "y_test"),
        notes=notes,
    )


def _check_keys(path: Path, shapes: Mapping[str, Any], labelled: bool) -> None:
    keys = ("x_train", "y_train") if labelled else ("x_train",)
    for key in keys:
        if key not in shapes:
            hint = "; tasks without labels need none" if key == "y_train" else ""
            raise UserError(
                f"{path} must hold {' and '.join(keys)}, it has no {key} "
                f"(it has {', '.join(shapes) or 'nothing'}){hint}"
            )


def _check_images(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Refuse shapes that are not images of one size in every split."""
    for part in _PARTS:
        x = f"x_{part}"
        if x not in shapes:
            continue
        shape = shapes[x]
        if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
            raise UserError(
                f"{x} of {path} must have its channels last, got shape {shape}; "
                f"store {x}.transpose(0, 2, 3, 1)"
            )
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
            raise UserError(
                f"{x} of {path} must be (n, height, width) or (n, height, width, "
                f"channels) with 1 or 3 channels, got shape {shape}"
            )
        if 0 in shape:
            raise UserError(f"{x} of {path} must not be empty, got shape {shape}")
        train = _image_shape(shapes["x_train"])
        if _image_shape(shape) != train:
            raise UserError(
                f"{x} of {path} must have images of the size of x_train's, "
                f"{_size(train)}, got {_size(_image_shape(shape))}"
            )


def _image_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[1:] if len(shape) == 4 else (*shape[1:], 1)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(length) for length in shape)


def _labels_of_parts(
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    class_names: Sequence[str] | None,
    options: Options,
    notes: list[str],
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Return the names of the classes and the labels by part.

    There are no names, and zeros, where labels are not needed and the file's are wrong
    or not there.
    """
    try:
        return _all_labels(path, shapes, class_names, options)
    except UserError as error:
        if options.labelled:
            raise
        if any(f"y_{part}" in shapes for part in _PARTS):
            notes.append(f"labels are left out: {error}")
    counts = {part: shapes.get(f"x_{part}", (0,))[0] for part in _PARTS}
    return (), {part: np.zeros(n, np.int32) for part, n in counts.items()}


def _all_labels(
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    class_names: Sequence[str] | None,
    options: Options,
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Return the names of the classes, and the labels by part that is there."""
    for part in _PARTS:
        x, y = f"x_{part}", f"y_{part}"
        if (x in shapes) != (y in shapes):
            there, missing = (x, y) if x in shapes else (y, x)
            raise UserError(f"{path} has {there} but no {missing}")
    if "class_names" in shapes:
        class_names = _own_class_names(path)
    names = tuple(class_names or ())
    if options.labels == NUMBERS and not names:
        return (), {
            part: _checked(path, f"y_{part}", shapes[f"x_{part}"][0], "numbers")
            for part in _PARTS
            if f"x_{part}" in shapes
        }
    if options.labels == SETS and len(shapes["y_train"]) == 2:
        return _label_sets(path, shapes, names)
    classes = len(names) or None  # None: nothing says how many there are
    labels = {}
    for part in _PARTS:
        if f"x_{part}" in shapes:
            images = shapes[f"x_{part}"][0]
            labels[part] = _labels(path, f"y_{part}", images, classes)
            if classes is None:  # train comes first: the others have no more classes
                classes = int(labels[part].max()) + 1
                names = tuple(map(str, range(classes)))
    return names, labels


def _own_class_names(path: Path) -> list[str]:
    names = read_array(path, "class_names")
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise UserError(
            f"class_names of {path} must be a list of texts, got {names.dtype} of shape"
            f" {names.shape}"
        )
    return names.astype(str).tolist()


def _prepared(path: Path, key: str, options: Options, notes: list[str]) -> np.ndarray:
    """Return (n, size, size, channels) uint8, as the options say."""
    images = _images(path, key, notes)
    return resize_array(images, options.image_size, options.channels, options.resize)


def _images(path: Path, key: str, notes: list[str]) -> np.ndarray:
    """Return (n, height, width, channels) uint8, as the file holds them."""
    images = read_array(path, key)
    images = images if images.ndim == 4 else images[..., np.newaxis]
    if images.dtype == np.uint8:
        return images
    kind = images.dtype.kind
    if kind not in "fiub":
        raise UserError(f"{key} of {path} must be uint8 images, got {images.dtype}")
    low, high = images.min(), images.max()
    if np.isnan(low):
        raise UserError(f"{key} of {path} must be free of NaN")
    limit = 1 if kind in "fb" else 255
    if low < 0 or high > limit:
        raise UserError(
            f"{key} of {path} must be uint8, integers in 0..255 or floats in 0..1, "
            f"got {images.dtype} in {low:g}..{high:g}"
        )
    out = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        out[start : start + _BLOCK] = np.rint(block * (255.0 / limit))
    notes.append(f"{key}: {images.dtype} in 0..{limit} made uint8 in 0..255")
    return out


def _label_sets(
    path: Path, shapes: dict[str, tuple[int, ...]], names: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Return the names of the labels, and (n, classes) uint8 by part."""
    width = shapes["y_train"][1]
    names = names or tuple(map(str, range(width)))
    labels = {}
    for part in _PARTS:
        if f"x_{part}" not in shapes:
            continue
        key, expected = f"y_{part}", (shapes[f"x_{part}"][0], len(names))
        if shapes[key] != expected:
            raise UserError(
                f"{key} of {path} must be {expected}, a row of 0 and 1 per image, got"
                f" {shapes[key]}"
            )
        rows = read_array(path, key)
        if rows.dtype.kind not in "biuf" or not np.isin(rows, (0, 1)).all():
            raise UserError(f"{key} of {path} must be 0 and 1 alone")
        labels[part] = rows.astype(np.uint8)
    return names, labels


def _checked(path: Path, key: str, images: int, what: str) -> np.ndarray:
    """Return (n,) labels: "integers", or "numbers" as float64."""
    labels = read_array(path, key)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    kinds = "iu" if what == "integers" else "iuf"
    if labels.ndim != 1 or labels.dtype.kind not in kinds:
        hint = ""
        if labels.ndim == 2:
            hint = f"; use argmax(axis=1), or {ADVICE[SETS]}"
        elif labels.dtype.kind == "f":
            hint = f"; {ADVICE[NUMBERS]}"
        raise UserError(
            f"{key} of {path} must be {what} of shape (n,) or (n, 1), got "
            f"{labels.dtype} of shape {labels.shape}{hint}"
        )
    if len(labels) != images:
        raise UserError(
            f"{key} of {path} must hold one label per image, got {len(labels):,} labels"
            f" for {images:,} images"
        )
    if what == "integers":
        return labels
    if not np.isfinite(labels).all():
        raise UserError(f"{key} of {path} must be finite, it has NaN or infinity")
    return labels.astype(np.float64)


def _labels(path: Path, key: str, images: int, classes: int | None) -> np.ndarray:
    """Return (n,) int32 in 0..classes-1."""
    labels = _checked(path, key, images, "integers")
    low, high = int(labels.min()), int(labels.max())
    if classes is None and high >= images:  # names for them all could fill the memory
        raise UserError(
            f"{key} of {path} must number the classes 0, 1, ..., got {high:,} for "
            f"{images:,} images; {ADVICE[NUMBERS]}"
        )
    if low < 0 or (classes is not None and high >= classes):
        allowed = "0 or more" if classes is None else f"in 0..{classes - 1}"
        raise UserError(
            f"{key} of {path} must be {allowed}, got {low if low < 0 else high}"
        )
    return np.asarray(labels, np.int32)
