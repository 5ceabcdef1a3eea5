"""Draw the figures of docs/networks: `python tools/figures.py`.

The pictures of whole networks are drawn from the networks themselves, as their
functions build them: a block for each size of the maps between the layers, with the
layers that lead to it. The others (a residual block, the cell of an LSTM, slopes of
critics) are drawn by hand, in drawing.py. A test compares the files with all of them.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import drawing
import keras
from drawing import BLUE, RED, Drawing
from keras import layers

from classicnets.networks import create, create_pair

FOLDER = Path(__file__).parents[1] / "docs" / "pictures" / "networks"
COLUMN, MIDDLE, HIGH = 100, 145, 150  # of a row of blocks


@dataclass
class Stage:
    """A block: the layers that lead to maps of one size."""

    shape: tuple[int, ...]
    operations: list[str] = field(default_factory=list)
    sums: int = 0  # shortcuts that end here


def stages(model: keras.Model) -> list[Stage]:
    """Return the stages of a network, in the order it computes them."""
    result: list[Stage] = []
    for layer in _flat(model):
        shape = tuple(layer.output.shape[1:])
        if isinstance(layer, layers.InputLayer):
            if not result:
                result.append(Stage(shape, ["input"]))
        elif isinstance(layer, layers.Reshape) and len(shape) == 3:
            result[-1].shape = shape  # a dense layer's output, as maps
        elif isinstance(layer, layers.Add):
            result[-1].sums += 1
        elif not _is_shortcut(layer) and (words := _operation(layer)):
            last = result[-1].shape
            same = last[:-1] == shape[:-1] if len(shape) > 1 else last == shape
            if not same or result[-1].operations == ["input"]:
                result.append(Stage(shape))
            result[-1].shape = shape
            result[-1].operations.append(words)
    return result


def _is_shortcut(layer: layers.Layer) -> bool:
    return "shortcut" in layer.name or "subsample" in layer.name


def _flat(model: keras.Model) -> Iterable[layers.Layer]:
    """Yield the layers of a model and of the models in it, those in order."""
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if not inner:
        yield from model.layers
    for part in inner:
        yield from _flat(part)


def _operation(layer: layers.Layer) -> str:
    """Say what a layer does to its maps, or nothing where it only changes values."""
    stride = "" if getattr(layer, "strides", (1,))[0] == 1 else f" /{layer.strides[0]}"
    match layer:
        case layers.Conv2DTranspose():
            return f"conv {layer.kernel_size[0]}×{layer.kernel_size[0]} ×{stride[2:]}"
        case layers.Conv2D():
            return f"conv {layer.kernel_size[0]}×{layer.kernel_size[0]}{stride}"
        case layers.Dense():
            return "dense"
        case layers.MaxPooling2D():
            return "max pool"
        case layers.AveragePooling2D():
            return "mean of 2×2"
        case layers.GlobalAveragePooling2D():
            return "mean"
        case layers.UpSampling2D():
            return "copy to 2×2"
    return ""


def joined(operations: list[str]) -> list[str]:
    """Join repeated operations: "conv 3×3" twice is "2 × conv 3×3"."""
    lines: list[list[Any]] = []
    for words in operations:
        if lines and lines[-1][0] == words:
            lines[-1][1] += 1
        else:
            lines.append([words, 1])
    return [words if count == 1 else f"{count} × {words}" for words, count in lines]


def network(title: str, *rows: tuple[str, list[Stage]]) -> str:
    """Draw networks, one below the other, as rows of blocks."""
    columns = max(len(row) for _, row in rows)
    below = 245
    sheet = Drawing(COLUMN * columns + 20, below * len(rows) + 10, title)
    for number, (name, row) in enumerate(rows):
        _row(sheet, name, row, number * below)
    return sheet.text


def _row(sheet: Drawing, name: str, row: list[Stage], top: float) -> None:
    largest = max([stage.shape[0] for stage in row if len(stage.shape) == 3] or [1])
    middle = top + MIDDLE - 5
    sheet.words(14, top + 22, name, anchor="start", bold=True)
    for place, stage in enumerate(row):
        x = 10 + COLUMN * (place + 0.5)
        if place:
            sheet.line([(x - COLUMN + 32, middle), (x - 34, middle)], tip=True)
        if len(stage.shape) == 3:
            # By the root: else the last maps of a deep network are too small to see.
            side = HIGH * math.sqrt(stage.shape[0] / largest)
            wide = 2.2 * math.log2(2 * stage.shape[2])
            sheet.slab(x, middle, wide, max(side, 8) * 0.72)
        elif len(stage.shape) == 2:
            _steps(sheet, x, middle, stage.shape[1])
        else:
            bar = 12 + 8 * math.log2(stage.shape[0] + 1)
            sheet.box(x, middle, 9, bar, fill=RED, corner=2)
        if stage.sums:
            sheet.line(
                [
                    *((x - 30, middle - 6), (x - 30, middle - 74)),
                    *((x + 30, middle - 74), (x + 30, middle - 8)),
                ],
                tip=True,
            )
            sheet.words(x, middle - 78, f"{stage.sums} ×" if stage.sums > 1 else "+")
        lines = joined(stage.operations)
        for line, words in enumerate(lines):
            sheet.words(x, top + 225 + 16 * (line - len(lines) + 1), words)
        size = "×".join(map(str, stage.shape))
        sheet.words(x, top + 44, size, colour=BLUE if len(stage.shape) > 1 else RED)


def _steps(sheet: Drawing, x: float, y: float, features: int) -> None:
    """Draw a sequence of vectors as bars side by side."""
    high = 12 + 8 * math.log2(features + 1)
    for step in range(6):
        sheet.box(x - 20 + 8 * step, y, 6, high, fill=BLUE, corner=2)


def sequence() -> list[Stage]:
    """Return the stages of `lstm-imdb-400`, by the layers' names."""
    built = create(
        "lstm",
        (400,),
        2,
        units=(64,),
        bidirectional=True,
        pooling="max",
        embedding_size=200,
    )

    def shape(name: str) -> tuple[int, ...]:
        return tuple(built.get_layer(name).output.shape[1:])

    return [
        Stage((400,), ["tokens"]),
        Stage(shape("embedding"), ["embedding"]),
        Stage(shape("both1"), ["LSTM", "both ways"]),
        Stage(shape("both1")[1:], ["max over", "the steps"]),
        Stage(shape("logits"), ["dense"]),
    ]


def with_code(built: keras.Model, code: str) -> list[Stage]:
    """Return the stages of an autoencoder, whose middle is called `code`."""
    first, second = (stages(built.get_layer(name)) for name in ("encoder", "decoder"))
    first[-1].operations = [code]
    return first + second[1:]


def figures() -> dict[str, str]:
    """Return the SVG of every figure, by the name of its file."""
    with keras.StatelessScope(initialize_variables=False):  # shapes alone
        texts = _figures()
    keras.utils.clear_session(free_memory=False)
    return texts


def _figures() -> dict[str, str]:
    def classifier(name: str, shape: tuple[int, ...], classes: int) -> str:
        return network(name, (name, stages(create(name, shape, classes))))

    def pair(name: str, shape: tuple[int, ...], critic: str) -> str:
        generator, judge = (stages(m) for m in create_pair(name, shape))
        generator[0].operations = ["noise"]
        return network(name, ("generator", generator), (critic, judge))

    digit = (28, 28, 1)
    return {
        "vgg.svg": classifier("vgg16", (224, 224, 3), 1000),
        "resnet.svg": classifier("resnet18", (224, 224, 3), 1000),
        "resnet_cifar.svg": classifier("resnet20", (32, 32, 3), 10),
        "resnet_blocks.svg": drawing.residual_blocks(),
        "lstm.svg": network("lstm", ("lstm-imdb-400", sequence())),
        "lstm_cell.svg": drawing.lstm_cell(),
        "autoencoder.svg": network(
            "autoencoder",
            ("autoencoder", with_code(create("autoencoder", digit), "code")),
            ("conv_autoencoder", with_code(create("conv_autoencoder", digit), "code")),
        ),
        "vae.svg": network(
            "vae",
            ("vae", with_code(create("vae", digit), "posterior")),
            ("conv_vae", with_code(create("conv_vae", digit), "posterior")),
        ),
        "vae_code.svg": drawing.posterior(),
        "gan.svg": pair("gan", digit, "discriminator"),
        "dcgan.svg": pair("dcgan", (64, 64, 3), "discriminator"),
        "wgan_slopes.svg": drawing.slopes(),
        "wgan_gp.svg": pair("wgan_gp", (64, 64, 3), "critic"),
        "wgan_gp_between.svg": drawing.between(),
        "wgan_gp_resnet.svg": pair("wgan_gp_resnet", (32, 32, 3), "critic"),
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in figures().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER / name)
