"""Folders of texts: one subfolder per class, one `.txt` file per text."""

from collections import Counter
from pathlib import Path

from classicnets.data.folder_files import IMAGES, TEXTS, files_below, printable
from classicnets.data.folder_layout import scan, skipped_note
from classicnets.data.options import Options
from classicnets.data.reading import read_text
from classicnets.data.splitting import Source
from classicnets.data.texts.splits import text_source
from classicnets.errors import UserError


def holds_texts(root: Path) -> bool:
    """Return whether a folder has more text files than images."""
    others: Counter[str] = Counter()
    images = sum(1 for _ in files_below(root, IMAGES, others))
    return sum(others[ending] for ending in TEXTS.endings) > images


def open_text_folder(root: Path, options: Options) -> Source:
    """Read a folder of texts, laid out as a folder of images; see `data.load`.

    The folder `train/unsup` of the Large Movie Review Dataset is left out: its texts
    have no label.
    """
    listing = scan(root, TEXTS, lacks_classes=options.whole)
    texts: list[str] = []
    rows: list[int] = []
    failures: list[tuple[str, str]] = []
    for row, file in enumerate(listing.files):
        try:
            texts.append(read_text(root / file))
        except UserError as error:
            failures.append((printable(file), str(error)))
        else:
            rows.append(row)
    notes = skipped_note(
        root,
        failures,
        files=len(listing.files),
        allow_corrupt=options.allow_corrupt,
        kind=TEXTS,
    )
    return text_source(
        printable(root.resolve().name),
        listing.class_names,
        texts=texts,
        labels=listing.labels[rows],
        parts=listing.parts[rows],
        notes=[*listing.notes, *notes],
        files=[printable(listing.files[row]) for row in rows],
    )
