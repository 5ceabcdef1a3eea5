"""Drawings in SVG, and the figures of docs/networks that are drawn by hand, in code."""

import html
import math
from collections.abc import Sequence

BLUE, RED, GREY, LIGHT = "#0072b2", "#d55e00", "#555555", "#d8e6f0"
GREEN, INK = "#009e73", "#222222"


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

    def words(
        self,
        x: float,
        y: float,
        text: str,
        *,
        colour: str = INK,
        anchor: str = "middle",
        bold: bool = False,
    ) -> None:
        """Write a line."""
        weight = ' font-weight="bold"' if bold else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}"'
            f"{weight}>{html.escape(text)}</text>"
        )

    def line(
        self,
        points: Sequence[tuple[float, float]],
        *,
        colour: str = GREY,
        tip: bool = False,
        dashed: bool = False,
        wide: float = 1.5,
    ) -> None:
        """Join points, with an arrow's tip at the end or not."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        end = ' marker-end="url(#tip)"' if tip else ""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}"'
            f' stroke-width="{wide}"{dashes}{end}/>'
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        text: str = "",
        *,
        fill: str = LIGHT,
        corner: int = 4,
    ) -> None:
        """Draw a box around (x, y)."""
        self._parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}"'
            f' width="{width:.1f}" height="{height:.1f}" rx="{corner}" fill="{fill}"'
            ' stroke="#33333380"/>'
        )
        if text:
            self.words(x, y + 4.5, text)

    def slab(self, x: float, y: float, width: float, side: float) -> None:
        """Draw feature maps: as high and as deep as their side, as wide as many."""
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

    def circle(
        self, x: float, y: float, radius: int, text: str = "", *, fill: str = "white"
    ) -> None:
        """Draw a circle around (x, y)."""
        self._parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}"'
            ' stroke="#333333"/>'
        )
        if text:
            self.words(x, y + 4.5, text)

    @property
    def text(self) -> str:
        """The SVG, complete."""
        return "\n".join([*self._parts, "</svg>"]) + "\n"


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
    for x, name, task in (
        (150, "f", "what to keep"),
        (280, "i", "what to write"),
        (400, "g", "what is new"),
        (540, "o", "what to show"),
    ):
        drawing.line([(x, 270), (x, 238)], tip=True)
        drawing.box(x, 220, 84, 32, "tanh" if name == "g" else "sigmoid")
        drawing.words(x, 312, task, colour=GREY)
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
    """Draw the best discriminator and the best critic of two far clusters on a line.

    Real examples are N(-2, 0.5), generated ones N(2, 0.5). The discriminator is the
    sigmoid of the log of the ratio of both densities; the critic of slope at most 1
    that sets their means farthest apart is the line -x.
    """
    drawing = Drawing(700, 300, "A discriminator is flat where a critic has a slope")

    def at(x: float, y: float) -> tuple[float, float]:
        return 350 + 80 * x, 250 - 180 * y

    xs = [step / 20 for step in range(-80, 81)]

    def density(x: float, mean: float) -> float:
        return 0.75 * math.exp(-((x - mean) ** 2) / 0.5)

    drawing.line([at(-4, 0), at(4, 0)])
    for mean, colour, name in ((-2, BLUE, "real"), (2, RED, "generated")):
        drawing.line([at(x, density(x, mean)) for x in xs], colour=colour, wide=2)
        drawing.words(*at(mean, -0.12), name, colour=colour)
    # The log of the ratio of the densities: 0.5 ((x - 2)² - (x + 2)²) / 0.25.
    drawing.line([at(x, 1 / (1 + math.exp(16 * x))) for x in xs], colour=INK)
    drawing.words(*at(-3.4, 1.06), "discriminator: flat here", anchor="middle")
    drawing.line([at(x, 0.5 - x / 8) for x in xs], colour=GREEN, wide=2.5)
    drawing.words(
        *at(2.2, 0.84), "critic: slope 1 everywhere", colour=GREEN, anchor="middle"
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
        drawing.circle(x, y, 7, fill=GREEN)
        drawing.words(x, y - 12, f"mix = {mix}", colour=GREEN)
    drawing.words(310, 224, "at each place: how far is the slope from 1?", colour=GREY)
    return drawing.text
