"""The cost of saving is measured and written at its place; nothing is said of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = "# Reliability\n\n## Tested by killing\n\nText.\n\n## More\n"


def measure(*arguments):
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.checkpoints", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.thorough
def test_the_costs_are_written_once_and_at_their_place(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    options = ["--recipes", "vae-digits", "--saves", 2, "--folder", tmp_path]
    for _ in range(2):
        done = measure(*options, "--out", page)
        assert done.returncode == 0, done.stderr
    before, _, rest = page.read_text().partition("## What saving costs\n")
    section, _, after = rest.partition("## Tested by killing")
    assert f"{before}## Tested by killing{after}" == PAGE
    row = re.search(
        r"vae-digits \| (\S+) \| (\S+) \((\S+) to (\S+)\) \| 10 \|", section
    )
    size, median, low, high = map(float, row.groups())
    # 16x16-200-20 and 10-200-256 with biases, each with two moments of Adam; float32.
    weights = 257 * 200 + 201 * 20 + 11 * 200 + 201 * 256
    assert 1e6 * size == pytest.approx(3 * 4 * weights, rel=0.05)
    assert 0 < low <= median <= high


@pytest.mark.thorough
def test_a_page_without_its_place_and_a_recipe_on_texts_are_refused(tmp_path):
    (tmp_path / "page.md").write_text("# Empty\n")
    done = measure("--out", tmp_path / "page.md")
    assert done.returncode == 2
    assert "must have a section '## Tested by killing'" in done.stderr
    (tmp_path / "page.md").write_text(PAGE)
    done = measure("--recipes", "lstm-imdb", "--out", tmp_path / "page.md")
    assert done.returncode == 2
    assert "only recipes on images" in done.stderr
    assert (tmp_path / "page.md").read_text() == PAGE
