"""Folders of images: how they become splits."""

from pathlib import Path

from classicnets.data.examples import Examples
from classicnets.data.folder_files import IMAGES, printable
from classicnets.data.folder_layout import Listing, scan, skipped_note
from classicnets.data.images.cache import decode_folder
from classicnets.data.images.entries import DecodedFolder
from classicnets.data.options import Options
from classicnets.data.splitting import Source


def open_image_folder(root: Path, options: Options) -> Source:
    """Decode a folder once, then open it from the cache; see `data.load`."""
    listing = scan(root, IMAGES, labelled=options.labelled, lacks_classes=options.whole)
    return open_listing(listing, options)


def open_listing(listing: Listing, options: Options) -> Source:
    """Decode the files of a listing once, then open them from the cache."""
    decoded = decode_folder(listing, options)
    validation, open_test = None, None
    if "" in decoded.parts:
        examples = Examples(decoded.images, decoded.labels)
    else:
        examples = _part(decoded, "train")
        validation, test = _part(decoded, "validation"), _part(decoded, "test")
        validation = validation if len(validation) else None
        open_test = (lambda: test) if len(test) else None
    return Source(
        name=printable(listing.root.resolve().name),
        class_names=listing.class_names,
        examples=examples,
        validation=validation,
        open_test=open_test,
        files=_files(listing, decoded, ("", "train")),
        own_files={
            part: _files(listing, decoded, (part,)) for part in ("validation", "test")
        },
        fingerprint=decoded.content,
        notes=_notes(listing, decoded, options),
    )


def _files(
    listing: Listing, decoded: DecodedFolder, parts: tuple[str, ...]
) -> list[str]:
    """Return the paths of the examples of some parts."""
    broken = {file for file, _ in decoded.failures}
    pairs = zip(map(printable, listing.files), listing.parts, strict=True)
    return [f for f, part in pairs if part in parts and f not in broken]


def _notes(listing: Listing, decoded: DecodedFolder, options: Options) -> list[str]:
    root = listing.root
    size = "x".join(map(str, decoded.images.shape[1:]))
    classes = f" of {len(listing.class_names)} classes" if options.labelled else ""
    notes = [
        *decoded.notes,
        f"{root}: {len(decoded.labels):,} images{classes} as {size} ({options.resize})",
        *listing.notes,
        *skipped_note(
            root,
            decoded.failures,
            files=len(listing.files),
            allow_corrupt=options.allow_corrupt,
            kind=IMAGES,
        ),
    ]
    if decoded.copies:
        notes.append(
            f"{decoded.copies:,} files are exact copies of others: the same image may "
            "stand in two splits"
        )
    return notes


def _part(decoded: DecodedFolder, part: str) -> Examples:
    """Return the examples of a part: neighbours in the cache, so no copy is made."""
    rows = slice(*decoded.parts.get(part, (0, 0)))
    return Examples(decoded.images[rows], decoded.labels[rows])
