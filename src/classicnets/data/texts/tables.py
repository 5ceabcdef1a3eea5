"""Tables of texts."""

from collections.abc import Sequence
from pathlib import Path

from classicnets.data import labels as label_kinds
from classicnets.data.options import Options
from classicnets.data.splitting import Source
from classicnets.data.table_files import Table
from classicnets.data.tables import read_table
from classicnets.data.texts.splits import text_source


def open_table(
    path: Path,
    options: Options,
    *,
    name: str,
    class_names: Sequence[str] = (),
    table: Table | None = None,
) -> Source:
    """Read a table of texts and labels; see `data.load`.

    Args:
        path: The file.
        options: Which columns are read.
        name: How messages call it.
        class_names: What the labels 0, 1, ... are called where the file does not say.
        table: The file, where it is open already.
    """
    texts, labels, parts, notes = read_table(
        path,
        options.text_column,
        options.label_column,
        options.labels,
        table=table,
    )
    names, numbers = label_kinds.encode(labels, options.labels, notes)
    if class_names and names == tuple(str(i) for i in range(len(class_names))):
        names = tuple(class_names)
    return text_source(
        name, names, texts=texts, labels=numbers, parts=parts, notes=notes
    )
