"""Draw the figures of docs/networks: `python tools/figures.py`.

The pictures of whole networks are drawn from the networks themselves, as their
functions build them: a block for each size of the maps between the layers, with the
layers that lead to it. The others (a residual block, the cell of an LSTM, slopes of
critics) are drawn by hand, in code. A test compares the files with what this draws.
"""

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import keras
from keras import layers

from classicnets.networks import create, create_pair

FOLDER = Path(__file__).parents[1] / "docs" / "pictures" / "networks"
BLUE, RED, GREY, LIGHT = "#0072b2", "#d55e00", "#555555", "#d8e6f0"
COLUMN, MIDDLE, HIGH = 100, 145, 150  # of a row of blocks


@dataclass
class Stage:
    """A block: the layers that lead to maps of one size."""

    shape: tuple[int, ...]
    operations: list[str] = field(default_factory=list)
    sums: int = 0  # shortcuts that end here


def stages(model: keras.Model) -> list[Stage]:
    """Return the stages of a network, in the order it computes them."""
    found: list[Stage] = []
    for layer in _flat(model):
        shape = tuple(layer.output.shape[1:])
        if isinstance(layer, layers.InputLayer):
            if not found:
                found.append(Stage(shape, ["input"]))
        elif isinstance(layer, layers.Reshape) and len(shape) == 3:
            found[-1].shape = shape  # a dense layer's output, seen as maps
        elif isinstance(layer, layers.Add):
            found[-1].sums += 1
        elif not _is_shortcut(layer) and (words := _operation(layer)):
            last = found[-1]
            same = (
                last.shape[:-1] == shape[:-1] if len(shape) > 1 else last.shape == shape
            )
            if not same or last.operations == ["input"]:
                found.append(Stage(shape))
            found[-1].shape = shape
            found[-1].operations.append(words)
    return found


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


def counted(operations: list[str]) -> list[str]:
    """Join repeated operations: "conv 3×3" twice is "2 × conv 3×3"."""
    lines: list[list] = []
    for words in operations:
        if lines and lines[-1][0] == words:
            lines[-1][1] += 1
        else:
            lines.append([words, 1])
    return [words if count == 1 else f"{count} × {words}" for words, count in lines]


class Drawing:
    """An SVG that grows by shapes; `text` is its last word."""

    def __init__(self, width: float, height: float, title: str):
        size = f"0 0 {width:.0f} {height:.0f}"
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}"'
            f' width="{width:.0f}" height="{height:.0f}" font-family="sans-serif"'
            f' font-size="13" role="img"><title>{html.escape(title)}</title>',
            '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="6"'
            ' refY="3" orient="auto"><path d="M0,0 L7,3 L0,6 z" fill="#555555"/>'
            "</marker></defs>",
            '<rect width="100%" height="100%" rx="8" fill="white"/>',
        ]

    def words(self, x, y, text, *, colour="#222222", anchor="middle", bold=False):
        weight = ' font-weight="bold"' if bold else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}"'
            f"{weight}>{html.escape(text)}</text>"
        )

    def line(self, points, *, colour=GREY, tip=False, dashed=False, wide=1.5):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        end = ' marker-end="url(#tip)"' if tip else ""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}"'
            f' stroke-width="{wide}"{dashes}{end}/>'
        )

    def box(self, x, y, width, height, text="", *, fill=LIGHT, round_=4):
        """A box around (x, y)."""
        self._parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}"'
            f' width="{width:.1f}" height="{height:.1f}" rx="{round_}" fill="{fill}"'
            ' stroke="#33333380"/>'
        )
        if text:
            self.words(x, y + 4.5, text)

    def slab(self, x, y, width, side):
        """Maps of features: as high and as deep as their side, as wide as many."""
        deep = side * 0.28
        left, top = x - width / 2 - deep / 2, y - side / 2 + deep / 2
        faces = (
            (BLUE, [(0, 0), (width, 0), (width, side - deep), (0, side - deep)]),
            ("#56a3d0", [(0, 0), (deep, -deep), (width + deep, -deep), (width, 0)]),
            (
                "#004e7c",
                [
                    *((width, 0), (width + deep, -deep)),
                    *((width + deep, side - 2 * deep), (width, side - deep)),
                ],
            ),
        )
        for colour, corners in faces:
            points = " ".join(f"{left + a:.1f},{top + b:.1f}" for a, b in corners)
            self._parts.append(f'<polygon points="{points}" fill="{colour}"/>')

    def circle(self, x, y, radius, text="", *, fill="white"):
        self._parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}"'
            ' stroke="#333333"/>'
        )
        if text:
            self.words(x, y + 4.5, text)

    @property
    def text(self) -> str:
        return "\n".join([*self._parts, "</svg>"]) + "\n"


def network(title: str, *rows: tuple[str, list[Stage]]) -> str:
    """Draw networks, one below the other, as rows of blocks."""
    columns = max(len(row) for _, row in rows)
    below = 245
    drawing = Drawing(COLUMN * columns + 20, below * len(rows) + 10, title)
    for number, (name, row) in enumerate(rows):
        _row(drawing, name, row, number * below)
    return drawing.text


def _row(drawing: Drawing, name: str, row: list[Stage], top: float) -> None:
    largest = max([stage.shape[0] for stage in row if len(stage.shape) == 3] or [1])
    middle = top + MIDDLE - 5
    drawing.words(14, top + 22, name, anchor="start", bold=True)
    for place, stage in enumerate(row):
        x = 10 + COLUMN * (place + 0.5)
        if place:
            drawing.line([(x - COLUMN + 32, middle), (x - 34, middle)], tip=True)
        if len(stage.shape) == 3:
            # By the root: else the last maps of a deep network are too small to see.
            side = HIGH * math.sqrt(stage.shape[0] / largest)
            wide = 2.2 * math.log2(2 * stage.shape[2])
            drawing.slab(x, middle, wide, max(side, 8) * 0.72)
        elif len(stage.shape) == 2:
            _steps(drawing, x, middle, stage.shape[1])
        else:
            bar = 12 + 8 * math.log2(stage.shape[0] + 1)
            drawing.box(x, middle, 9, bar, fill=RED, round_=2)
        if stage.sums:
            drawing.line(
                [
                    *((x - 30, middle - 6), (x - 30, middle - 74)),
                    *((x + 30, middle - 74), (x + 30, middle - 8)),
                ],
                tip=True,
            )
            drawing.words(x, middle - 78, f"{stage.sums} ×" if stage.sums > 1 else "+")
        said = counted(stage.operations)
        for line, words in enumerate(said):
            drawing.words(x, top + 225 + 16 * (line - len(said) + 1), words)
        size = "×".join(map(str, stage.shape))
        drawing.words(x, top + 44, size, colour=BLUE if len(stage.shape) > 1 else RED)


def _steps(drawing: Drawing, x: float, y: float, features: int) -> None:
    """Draw a sequence of vectors as bars side by side."""
    high = 12 + 8 * math.log2(features + 1)
    for step in range(6):
        drawing.box(x - 20 + 8 * step, y, 6, high, fill=BLUE, round_=2)


def residual_blocks() -> str:
    """Draw the two blocks and the two shortcuts of ResNet."""
    drawing = Drawing(760, 330, "A basic block, a bottleneck, a shortcut of option A")
    columns = (
        (130, "basic: 18, 34 layers", ["conv 3×3", "conv 3×3"], "x"),
        (380, "bottleneck: 50 up", ["conv 1×1", "conv 3×3", "conv 1×1, 4 ×"], "x"),
        (
            630,
            "for CIFAR, where it widens",
            ["conv 3×3 /2", "conv 3×3"],
            "every 2nd / pixel, zeros",
        ),
    )
    for x, title, convolutions, shortcut in columns:
        drawing.words(x, 26, title, bold=True)
        drawing.words(x, 52, "x")
        drawing.line([(x, 58), (x, 78)], tip=True)
        gap = 150 / len(convolutions)
        for number, words in enumerate(convolutions):
            y = 95 + gap * number
            drawing.box(x, y, 120, 30, words)
            drawing.line([(x, y + 15), (x, y + gap - 17)], tip=True)
            then = "norm" if number == len(convolutions) - 1 else "norm, ReLU"
            drawing.words(x + 6, y + 28, then, anchor="start")
        y = 95 + gap * len(convolutions)
        drawing.circle(x, y, 13, "+")
        side = x - 92
        drawing.line(
            [(x, 64), (side, 64), (side, y), (x - 15, y)], colour=RED, tip=True
        )
        for line, words in enumerate(shortcut.split(" / ")):
            drawing.words(side, y + 20 + 16 * line, words, colour=RED, anchor="start")
        drawing.line([(x, y + 13), (x, y + 48)], tip=True)
        drawing.words(x + 6, y + 40, "ReLU", anchor="start")
        drawing.words(x, y + 64, "F(x) + x")
    return drawing.text


def lstm_cell() -> str:
    """Draw one step of an LSTM: its three gates, its cell and its output."""
    drawing = Drawing(700, 330, "One step of an LSTM")
    drawing.line([(20, 60), (680, 60)], tip=True, colour=BLUE, wide=3)
    drawing.words(30, 48, "c", colour=BLUE, anchor="start", bold=True)
    drawing.words(672, 48, "c′", colour=BLUE, anchor="end", bold=True)
    drawing.line([(20, 270), (560, 270)])
    drawing.words(30, 290, "h and x", anchor="start", bold=True)
    for x, name, said in (
        (150, "f", "what to keep"),
        (280, "i", "what to write"),
        (400, "g", "what is new"),
        (540, "o", "what to show"),
    ):
        drawing.line([(x, 270), (x, 238)], tip=True)
        drawing.box(x, 220, 84, 32, "tanh" if name == "g" else "sigmoid")
        drawing.words(x, 312, said, colour=GREY)
        drawing.words(x + 12, 196, name, bold=True, anchor="start")
    drawing.circle(150, 60, 14, "×")
    drawing.line([(150, 204), (150, 76)], tip=True)
    drawing.circle(340, 140, 14, "×")
    drawing.line([(280, 204), (280, 140), (324, 140)], tip=True)
    drawing.line([(400, 204), (400, 140), (356, 140)], tip=True)
    drawing.line([(340, 126), (340, 76)], tip=True)
    drawing.circle(340, 60, 14, "+")
    drawing.line([(600, 60), (600, 84)], tip=True)
    drawing.box(600, 100, 60, 30, "tanh")
    drawing.line([(600, 115), (600, 150)], tip=True)
    drawing.circle(600, 166, 14, "×")
    drawing.line([(540, 204), (540, 166), (584, 166)], tip=True)
    drawing.line([(614, 166), (680, 166)], tip=True, colour=RED, wide=3)
    drawing.words(672, 154, "h′", colour=RED, anchor="end", bold=True)
    return drawing.text


def slopes() -> str:
    """Draw the best discriminator and the best critic of two far piles on a line.

    Real examples are N(-2, 0.5), generated ones N(2, 0.5). The discriminator is the
    sigmoid of the log of the ratio of both densities; the critic of slope at most 1
    that parts their means most is the line -x.
    """
    drawing = Drawing(700, 300, "A discriminator is flat where a critic has a slope")

    def at(x: float, y: float) -> tuple[float, float]:
        return 350 + 80 * x, 250 - 180 * y

    xs = [step / 20 for step in range(-80, 81)]

    def pile(x: float, mean: float) -> float:
        return 0.75 * math.exp(-((x - mean) ** 2) / 0.5)

    drawing.line([at(-4, 0), at(4, 0)])
    for mean, colour, name in ((-2, BLUE, "real"), (2, RED, "generated")):
        drawing.line([at(x, pile(x, mean)) for x in xs], colour=colour, wide=2)
        drawing.words(*at(mean, -0.12), name, colour=colour)
    # The log of the ratio of the densities: 0.5 ((x - 2)² - (x + 2)²) / 0.25.
    drawing.line([at(x, 1 / (1 + math.exp(16 * x))) for x in xs], colour="#222222")
    drawing.words(*at(-3.4, 1.06), "discriminator: flat here", anchor="middle")
    drawing.line([at(x, 0.5 - x / 8) for x in xs], colour="#009e73", wide=2.5)
    drawing.words(
        *at(2.2, 0.84), "critic: slope 1 everywhere", colour="#009e73", anchor="middle"
    )
    return drawing.text


def posterior() -> str:
    """Draw how a VAE draws its code."""
    drawing = Drawing(760, 206, "How a code is drawn")
    drawing.box(70, 100, 100, 40, "encoder")
    drawing.line([(120, 92), (190, 55)], tip=True)
    drawing.line([(120, 108), (190, 145)], tip=True)
    drawing.box(250, 50, 120, 34, "mean")
    drawing.box(250, 150, 120, 34, "log variance")
    drawing.line([(310, 150), (350, 150)], tip=True)
    drawing.words(380, 155, "exp(½ ·)")
    drawing.line([(412, 150), (446, 150)], tip=True)
    drawing.circle(462, 150, 14, "×")
    drawing.words(462, 193, "noise from N(0, 1)", colour=RED)
    drawing.line([(462, 180), (462, 166)], tip=True, colour=RED)
    drawing.line([(462, 136), (462, 66)], tip=True)
    drawing.circle(462, 50, 14, "+")
    drawing.line([(310, 50), (446, 50)], tip=True)
    drawing.line([(476, 50), (546, 50)], tip=True)
    drawing.words(510, 42, "code")
    drawing.box(600, 50, 100, 40, "decoder")
    drawing.line([(650, 50), (700, 50)], tip=True)
    drawing.words(752, 55, "pixels", anchor="end")
    return drawing.text


def between() -> str:
    """Draw where the gradient penalty looks: a place of its own for each pair."""
    drawing = Drawing(620, 230, "Places between real and generated images")
    mixes = (0.15, 0.8, 0.45, 0.62)
    drawing.words(90, 26, "real", colour=BLUE, bold=True)
    drawing.words(530, 26, "generated", colour=RED, bold=True)
    for number, mix in enumerate(mixes):
        y = 60 + 44 * number
        x = 530 - 440 * mix
        drawing.line([(90, y), (530, y)], dashed=True)
        drawing.box(90, y, 26, 26, fill=BLUE)
        drawing.box(530, y, 26, 26, fill=RED)
        drawing.circle(x, y, 7, fill="#009e73")
        drawing.words(x, y - 12, f"mix = {mix}", colour="#009e73")
    drawing.words(310, 224, "at each place: how far is the slope from 1?", colour=GREY)
    return drawing.text


def sequence() -> list[Stage]:
    """The stages of `lstm-imdb-400`, by the layers' names."""
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
    """The stages of an autoencoder, whose middle is called `code`."""
    first, second = (stages(built.get_layer(name)) for name in ("encoder", "decoder"))
    first[-1].operations = [code]
    return first + second[1:]


def figures() -> dict[str, str]:
    """Return the SVG of every figure, by the name of its file."""
    with keras.StatelessScope(initialize_variables=False):  # shapes alone
        drawn = _figures()
    keras.utils.clear_session(free_memory=False)
    return drawn


def _figures() -> dict[str, str]:
    def classifier(name: str, shape: tuple[int, ...], classes: int, **options) -> str:
        return network(name, (name, stages(create(name, shape, classes, **options))))

    def pair(name: str, shape: tuple[int, ...], critic: str, **options) -> str:
        generator, judge = (stages(m) for m in create_pair(name, shape, **options))
        generator[0].operations = ["noise"]
        return network(name, ("generator", generator), (critic, judge))

    digit = (28, 28, 1)
    return {
        "vgg.svg": classifier("vgg16", (224, 224, 3), 1000),
        "resnet.svg": classifier("resnet18", (224, 224, 3), 1000),
        "resnet_cifar.svg": classifier("resnet20", (32, 32, 3), 10),
        "resnet_blocks.svg": residual_blocks(),
        "lstm.svg": network("lstm", ("lstm-imdb-400", sequence())),
        "lstm_cell.svg": lstm_cell(),
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
        "vae_code.svg": posterior(),
        "gan.svg": pair("gan", digit, "discriminator"),
        "dcgan.svg": pair("dcgan", (64, 64, 3), "discriminator"),
        "wgan_slopes.svg": slopes(),
        "wgan_gp.svg": pair("wgan_gp", (64, 64, 3), "critic"),
        "wgan_gp_between.svg": between(),
        "wgan_gp_resnet.svg": pair("wgan_gp_resnet", (32, 32, 3), "critic"),
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in figures().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER / name)
