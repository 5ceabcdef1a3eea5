"""The site of docs/: Sphinx has no doubt about it, and nothing in it is dead."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tools"))  # figures.py imports drawing.py


def tool(name):
    """Import a program of tools/, which is no package."""
    path = ROOT / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"tools_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site, look, figures = tool("site"), tool("look"), tool("figures")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    assert site.build(folder) == []
    return folder


def test_every_link_and_picture_of_the_site_is_there(built):
    assert site.broken(built) == []


def test_every_page_is_there_in_both_languages(built):
    english = {p.relative_to(built) for p in built.rglob("*.html")}
    chinese = {p.relative_to(built / "zh") for p in (built / "zh").rglob("*.html")}
    written = {p.relative_to(site.DOCS).with_suffix(".html") for p in pages("*.md")}
    written = {p for p in written if p.parts[0] != "zh"}
    assert written <= english
    assert written <= chinese
    for page in written:
        depth = "../" * (len(page.parts) - 1)
        assert f'href="{depth}zh/{page.as_posix()}"' in (built / page).read_text()
        back = f'href="{depth}../{page.as_posix()}"'
        assert back in (built / "zh" / page).read_text()


def pages(pattern):
    return site.DOCS.rglob(pattern)


@pytest.mark.skipif(look.program() is None, reason="needs chromium")
def test_no_page_is_wider_than_a_phone_or_lacks_a_picture(built):
    written = [
        (built / path.relative_to(site.DOCS)).with_suffix(".html")
        for path in pages("*.md")
    ]
    assert look.look(built, written, {"phone": 390}) == []


def test_the_figures_are_those_that_the_program_draws():
    for name, text in figures.figures().items():
        assert (figures.FOLDER / name).read_text(encoding="utf-8") == text, name


def test_chinese_pages_are_in_chinese():
    """At least a third of what a reader reads there, code and tables set aside."""
    for path in sorted((site.DOCS / "zh").rglob("*.md")):
        text = re.sub(
            r"```.*?```|`[^`]*`|^\|.*$", "", path.read_text(), flags=re.S | re.M
        )
        letters = re.findall(r"[a-zA-Z]+|[\u4e00-\u9fff]", text)
        chinese = [letter for letter in letters if "\u4e00" <= letter <= "\u9fff"]
        assert len(chinese) > len(letters) / 3, path


def test_dead_links_and_missing_pictures_are_found(tmp_path):
    (tmp_path / "there.html").write_text('<p id="here"></p>')
    (tmp_path / "page.html").write_text(
        '<a href="there.html#here"></a><a href="https://example.org/"></a>'
        '<a href="there.html#gone"></a><a href="gone.html"></a>'
        '<img src="gone.png"><script src="https://example.org/x.js"></script>'
    )
    complaints = site.broken(tmp_path)
    assert [line.split(" ")[1] for line in complaints] == [
        "there.html#gone",
        "gone.html",
        "gone.png",
        "https://example.org/x.js",
    ]
