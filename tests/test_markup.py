"""A stranger's text on a page is text: of classes, files, folders, reviews, runs."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from pages import Page
from PIL import Image

import classicnets as cn

SCRIPT = "<script>alert('1')</script>"
QUOTED = '"good" onclick="alert(2)" <u>&amp;'
TINY = {"epochs": 1, "batch_size": 4, "verbose": False}
LSTM = TINY | {"network_options": {"units": [4]}}
VAE = TINY | {"network_options": {"hidden_units": [16], "latent_size": 2}}
GAN = TINY | {"critic_steps": 1}
GAN |= {"network_options": {"filters": 4, "normalization": "layer"}}
REPORTS = Path(cn.__file__).parent / "reports"
TEMPLATES = [path.read_text() for path in REPORTS.glob("*.j2")]
CHART = {"svg", "line", "text", "polyline", "circle"}


def test_the_templates_mark_no_text_as_safe():
    assert len(TEMPLATES) == 10
    for template in TEMPLATES:
        assert not re.search(r"\|\s*safe|autoescape|Markup", template)


def test_texts_and_labels_are_never_markup(tmp_path):
    random = np.random.default_rng(0)
    with (tmp_path / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for number in range(40):
            name = (SCRIPT, QUOTED)[number % 2]
            rows.writerow([f"{name} word{random.integers(20)}", name])
    given = LSTM | {"data": str(tmp_path / "texts.csv"), "max_tokens": 8}
    run = cn.train("lstm-digits-rows", runs=tmp_path / "<i>runs", name="it's", **given)
    check(run, SCRIPT, QUOTED, f"{SCRIPT} word", "<i>runs/it's-0")


def test_class_folders_and_files_are_never_markup(tmp_path):
    names = ['<script> "a"', "b' onload='c", "<!--"]
    photos = tmp_path / "<u>photos"
    for name in names:
        draw(photos / name, 8)
    given = LSTM | {"data": str(photos), "image_size": 8}
    run = cn.train("lstm-digits-rows", runs=tmp_path / "<i>runs", name="it's", **given)
    check(run, *names, "<u>photos", "<i>runs")


@pytest.mark.parametrize(
    ("recipe", "given"), [("vae-digits", VAE), ("wgan_gp-digits", GAN)]
)
def test_the_data_of_a_generative_run_are_never_markup(recipe, given, tmp_path):
    draw(tmp_path / "<script>", 32)
    data = {"data": str(tmp_path / "<script>"), "image_size": 16}
    run = cn.train(recipe, runs=tmp_path / "<i>runs", name="it's", **given, **data)
    page = check(run, str(tmp_path / "<script>"), "<i>runs/it's-0")
    assert {"img", "svg"} <= set(page.tags)


def draw(folder, count):
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(256, size=(16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"<marquee>{number}.png")


def check(run, *texts):
    """Check that the texts stand in a run's page as they are, and made nothing else."""
    page = Page((run.path / "report.html").read_text("utf-8"))
    known = {tag for text in TEMPLATES for tag in re.findall(r"<([a-z]\w*)", text)}
    assert set(page.tags) <= known | CHART
    for text in texts:
        assert text in page.text
    return page
