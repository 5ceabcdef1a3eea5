"""Folders of images: how they become splits."""

from pathlib import Path

import numpy as np

from classicnets.data.examples import Examples, Splits, split
from classicnets.data.folder_cache import Decoded, decode_folder
from classicnets.data.folder_layout import IMAGES, printable, scan, skipped_note
from classicnets.data.folds import Fold


def load_folder(
    root: Path,
    *,
    validation_fraction: float,
    split_seed: int,
    image_size: int,
    channels: int,
    resize: str,
    labelled: bool,
    allow_corrupt: bool,
    progress: bool,
    fold: Fold | None = None,
) -> Splits:
    """Decode a folder once, then open its splits from the cache; see `data.load`."""
    listing = scan(root, IMAGES, labelled=labelled)
    decoded = decode_folder(
        listing.root,
        listing.files,
        listing.labels,
        listing.parts,
        state=listing.state,
        labelled=labelled,
        image_size=image_size,
        channels=channels,
        resize=resize,
        progress=progress,
    )
    skipped = skipped_note(
        root, decoded.skipped, len(listing.files), allow_corrupt, IMAGES
    )
    height, width, depth = decoded.images.shape[1:]
    classes = f" of {len(listing.class_names)} classes" if labelled else ""
    made = (
        f"{root}: {len(decoded.labels):,} images{classes} "
        f"as {height}x{width}x{depth} ({resize})"
    )
    notes = [made, *listing.notes, *skipped]
    if decoded.copies:
        notes.append(
            f"{decoded.copies:,} files are exact copies of others: the same image may "
            "stand in two splits"
        )
    if "" in decoded.parts:
        images, labels = decoded.images, decoded.labels
        validation, open_test = None, None
    else:
        train = _part(decoded, "train")
        images, labels = np.asanyarray(train.inputs), train.labels
        validation = _part(decoded, "validation")
        tested = _part(decoded, "test")
        validation = validation if len(validation) else None
        open_test = (lambda: tested) if len(tested) else None
    return split(
        name=printable(root.resolve().name),
        class_names=listing.class_names,
        inputs=images,
        labels=labels,
        validation=validation,
        open_test=open_test,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        fingerprint=decoded.content,
        notes=notes,
        labelled=labelled,
        fold=fold,
    )


def _part(decoded: Decoded, part: str) -> Examples:
    """The examples of a part: neighbours in the cache, so that no copy is made."""
    rows = decoded.parts.get(part, (0, 0))
    return Examples(decoded.images[slice(*rows)], decoded.labels[slice(*rows)])
