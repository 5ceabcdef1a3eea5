"""Growth is measured on what is made for it, and reported as it is."""

import csv
import math
import re

import pytest
from PIL import Image

from benchmarks import growth, growth_page
from benchmarks.growth_page import MIB, Point, Series

SERIES = Series("pixels", "pixels per image", "squares", (1, 10, 100))


def point(x, seconds, memory=100 * MIB):
    return Point("pixels", x, 10 * x, seconds, memory, 50 * MIB, 1.0, 2.0, 0.0)


def test_a_line_and_an_exponent_are_found():
    xs = [1.0, 10.0, 100.0]
    a, b, deviation = growth_page.line(xs, [3 + 2 * x for x in xs])
    assert (a, b, deviation) == pytest.approx((3, 2, 0), abs=1e-9)
    assert growth_page.line(xs, [1.0, 100.0, 1.0])[2] > 0.3  # no line passes there
    assert growth_page.exponent(xs, [5 * x**1.5 for x in xs]) == pytest.approx(1.5)


def test_a_cliff_is_the_steepest_growth_for_the_same_work():
    straight = [point(x, 0.5 * x) for x in SERIES.xs]
    assert growth_page.steepest(straight) == pytest.approx(1)
    shared = [point(x, 1 + 0.5 * x) for x in SERIES.xs]
    assert growth_page.steepest(shared) < 1
    cliff = [point(1, 0.5), point(10, 5.0), point(100, 150.0)]
    assert growth_page.steepest(cliff) == pytest.approx(3)


def test_a_page_of_growth_has_its_table_its_points_and_its_picture(tmp_path):
    points = [point(1, 0.5), point(10, 5.0), point(100, 150.0, memory=1000 * MIB)]
    out, picture = tmp_path / "growth.md", tmp_path / "pictures" / "growth.svg"
    growth_page.write(out, picture, points, {"pixels": SERIES})
    text = out.read_text("utf-8")
    assert "](pictures/growth.svg)" in text
    assert "| 100 | 150 | 3.00 | 1.5e+11 | 1,000 | 50 | 1.00 | 2.00 |" in text
    slope = math.log10(150 / 0.5) / 2
    assert re.search(rf"\| pixels per image \| {slope:.2f} \|", text)
    with out.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["x"] for row in rows] == ["1", "10", "100"]
    drawn = picture.read_text("utf-8")
    # Two charts of three points each, at the same places across.
    places = re.findall(r'circle cx="([\d.]+)"', drawn)
    assert len(places) == 6
    assert places[:3] == places[3:]


def test_a_made_folder_has_so_many_images_of_so_many_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "SOURCES", 7)
    growth.make_folder(tmp_path / "images", 25)
    files = sorted((tmp_path / "images").rglob("*.jpg"))
    assert len(files) == 25
    assert len({file.parent for file in files}) == growth.FOLDER_CLASSES
    assert len({file.stat().st_ino for file in files}) == 7
    with Image.open(files[0]) as image:
        assert image.size == (growth.EXAMPLES_SIDE, growth.EXAMPLES_SIDE)


@pytest.mark.parametrize("name", growth.SERIES)
def test_every_series_grows(name):
    xs = growth.SERIES[name].xs
    assert name == growth.SERIES[name].name
    assert list(xs) == sorted(set(xs))
    assert len(xs) >= 4
