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
        What Sphinx complains of, a line each; none if all is well.
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
    found = []
    for path, page in read.items():
        name = path.relative_to(folder.resolve())
        for address, is_link in page.addresses:
            parts = urlsplit(address)
            if parts.scheme == "data" or (parts.scheme and is_link):
                continue
            if parts.scheme or parts.netloc:
                found.append(f"{name}: {address} is loaded from elsewhere")
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            fragment = unquote(parts.fragment)
            if not target.is_file():
                found.append(f"{name}: {address} is not there")
            elif fragment and target in read and fragment not in read[target].anchors:
                found.append(f"{name}: {address} has no such place")
    return found


class _Page(HTMLParser):
    """The addresses that a page names, and the places in it."""

    def __init__(self, path: Path):
        super().__init__()
        self.addresses: list[tuple[str, bool]] = []
        self.anchors = {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.addresses.append((given["href"], True))
        elif tag == "link" and given.get("href"):
            self.addresses.append((given["href"], given.get("rel") == "canonical"))
        elif given.get("src"):
            self.addresses.append((given["src"], False))


def main(folder: Path) -> None:
    """Build and check."""
    complaints = build(folder) or broken(folder)
    print(*complaints, sep="\n", file=sys.stderr)
    if complaints:
        sys.exit(1)
    print(folder / "index.html")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site"))
