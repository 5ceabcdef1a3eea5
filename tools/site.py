"""Build the site in both languages, and check every link and picture of it.

    python tools/site.py [FOLDER]     # build/site by default; open index.html

Sphinx treats what it doubts as an error: a dead reference, a page that no menu names, a
piece of code that is no longer in its file. What it cannot see, such as links between
the languages, is checked in the pages that it wrote. Needs no network.
"""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BUILDS = {"en": (DOCS, "."), "zh_CN": (DOCS / "zh", "zh")}


def build(folder: Path) -> list[str]:
    """Build both languages into a folder.

    Returns:
        What Sphinx complains of, one line each; none if all is well.
    """
    running = {}
    for language, (sources, place) in BUILDS.items():
        # -E: lines of code that links name may have moved since the last time.
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E"]
        command += ["-c", str(DOCS), "-D", f"language={language}"]
        command += ["-d", str(folder / ".doctrees" / language)]
        command += [str(sources), str(folder / place)]
        running[language] = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
    complaints = []
    for language, process in running.items():
        _, words = process.communicate()
        if process.returncode:
            complaints += [f"{language}: {line}" for line in words.splitlines() if line]
    return complaints


def pages(folder: Path) -> list[Path]:
    """Return every HTML page of a built site."""
    return sorted(folder.rglob("*.html"))


def broken(folder: Path) -> list[str]:
    """Return what a built site's links and pictures point to and is not there."""
    read = {path.resolve(): _Page(path) for path in pages(folder)}
    complaints = []
    for path, page in read.items():
        name = path.relative_to(folder.resolve())
        for address, is_link in page.addresses:
            parts = urlsplit(address)
            if parts.scheme == "data" or (parts.scheme and is_link):
                continue
            if parts.scheme or parts.netloc:
                complaints.append(f"{name}: {address} is loaded from elsewhere")
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            fragment = unquote(parts.fragment)
            if not target.is_file():
                complaints.append(f"{name}: {address} is not there")
            elif fragment and target in read and fragment not in read[target].anchors:
                complaints.append(f"{name}: {address} has no such place")
    return complaints


class _Page(HTMLParser):
    """The addresses that a page names, and the places in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.addresses: list[tuple[str, bool]] = []
        self.anchors = {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names and where it leads."""
        values = {key: value for key, value in attrs if value}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        if tag in ("a", "link") and "href" in values:
            is_link = tag == "a" or values.get("rel") == "canonical"
            self.addresses.append((values["href"], is_link))
        elif "src" in values:
            self.addresses.append((values["src"], False))


def main(folder: Path) -> None:
    """Build and check."""
    complaints = build(folder) or broken(folder)
    print(*complaints, sep="\n", file=sys.stderr)
    if complaints:
        sys.exit(1)
    print(folder / "index.html")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site"))
