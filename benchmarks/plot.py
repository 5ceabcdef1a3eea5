"""A picture of all rows: how many times as fast as each peer our best was."""

import html
import math
import statistics

from benchmarks.table import Result, Row, ranked, speed
from classicnets.pictures import COLOURS

LEFT, WIDTH, RIGHT = 240, 480, 60  # pixels of names, bars and numbers
BAR, GAP, TOP, BOTTOM = 15, 34, 40, 24
TICKS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


def bars(measured: dict[Row, list[Result]]) -> str:
    """Return an SVG, one group per row and one bar per peer, on a logarithmic axis; ""
    where nothing was compared."""
    ratios = {row.name: _ratios(results) for row, results in measured.items()}
    groups = {name: pair for name, pair in ratios.items() if pair}
    every = [value for _, peers in groups.values() for _, value in peers]
    if not every:
        return ""
    low, high = min(TICKS[1], *every), max(TICKS[3], *every)
    size = sum(GAP + BAR * len(peers) for _, peers in groups.values())
    height = TOP + size + BOTTOM

    def across(value: float) -> float:
        return LEFT + WIDTH * math.log(value / low) / math.log(high / low)

    wide = LEFT + WIDTH + RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {height}"'
        f' width="{wide}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{wide}" height="{height}" fill="white"/>',
        _text(
            8, 20, "How many times as fast as each peer our best was; right of 1 ours"
        ),
    ]
    for tick in TICKS:
        if low <= tick <= high:
            x, ink = across(tick), "#5b6470" if tick == 1 else "#d9dde3"
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}"'
                f' y2="{height - BOTTOM}" stroke="{ink}"/>'
            )
            parts.append(_text(x, height - 8, f"{tick:g}", "middle"))
    y = TOP
    for name, (ours, peers) in groups.items():
        parts.append(_text(8, y + 12, f"{name}: {ours}", weight="bold"))
        y += GAP - 14
        for peer, value in peers:
            x, one = across(value), across(1.0)
            colour = "#{:02x}{:02x}{:02x}".format(*COLOURS[value < 1])
            parts.append(
                f'<rect x="{min(x, one):.1f}" y="{y}" width="{abs(x - one):.1f}"'
                f' height="{BAR - 3}" fill="{colour}"/>'
            )
            parts.append(_text(LEFT - 6, y + 11, peer, "end"))
            parts.append(_text(max(x, one) + 4, y + 11, f"{value:.2f}"))
            y += BAR
        y += 14
    return "".join([*parts, "</svg>\n"])


def _ratios(results: list[Result]) -> tuple[str, list[tuple[str, float]]] | None:
    """Return our best's name and the ratio to each peer, the smallest first, if any."""
    by_speed = ranked(results, "training")
    ours = next((r for r in by_speed if r.is_ours), None)
    peers = [r for r in by_speed if not r.is_ours]
    if not ours or not peers:
        return None
    ratios = [(peer.name, statistics.median(speed(ours, peer))) for peer in peers]
    return ours.name, sorted(ratios, key=lambda each: each[1])


def _text(
    x: float, y: float, words: str, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}"'
        f' fill="#1b1f24">{html.escape(words)}</text>'
    )
