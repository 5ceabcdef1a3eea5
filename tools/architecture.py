"""Write the map of the code into docs/architecture.md and its Chinese page.

python tools/architecture.py            # writes it
python tools/architecture.py --check    # exits with 1 where it is not as the code is

A room is a file or a folder of the package. An arrow is an import, at the top of a file
or inside a function, but for those that types alone need.
"""

import argparse
import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from classicnets.files import write

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "classicnets"
PAGES = (ROOT / "docs" / "architecture.md", ROOT / "docs" / "zh" / "architecture.md")
# The one arrow that points up: Run.evaluate, which a person expects of a run in hand.
UPWARD = ("runs", "inference")
# The package's face and its command hand names on; everyone may raise an error.
LEFT_OUT = ("__init__", "__main__", "errors")
BEGIN, END = "<!-- the map: python tools/architecture.py -->", "<!-- the map ends -->"

Arrows = dict[str, set[str]]


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Yield the dotted name of every import, and whether it is made at once.

    An import inside a function is made when that is called; one for types alone never.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = set(_inside(tree, lambda node: _is_type_checking(node)))
    later = set(
        _inside(tree, lambda node: isinstance(node, ast.FunctionDef | ast.Lambda))
    )
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in later
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                dotted = "" if node.level else f"{node.module}.{alias.name}"
                yield dotted, node not in later


def arrows(package: Path = PACKAGE) -> Arrows:
    """Return the rooms of a package, and which others each imports."""
    rooms: Arrows = {}
    for file in sorted(package.rglob("*.py")):
        room = file.relative_to(package).parts[0].removesuffix(".py")
        if room in LEFT_OUT:
            continue
        aims = rooms.setdefault(room, set())
        for dotted, _ in imports(file):
            root, _, rest = dotted.partition(".")
            aim = rest.split(".")[0]
            if root == package.name and aim not in ("", room, *LEFT_OUT):
                aims.add(aim)
    return {room: aims & set(rooms) for room, aims in rooms.items()}


def floors(rooms: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the rooms from the top floor to the ground: each above all it imports.

    Raises:
        ValueError: If rooms import one another in a circle.
    """
    downward = {
        room: {aim for aim in aims if (room, aim) != UPWARD}
        for room, aims in rooms.items()
    }
    levels: list[list[str]] = []
    placed: set[str] = set()
    while len(placed) < len(downward):
        level = [
            r for r, aims in downward.items() if r not in placed and aims <= placed
        ]
        if not level:
            circle = ", ".join(sorted(set(downward) - placed))
            raise ValueError(
                f"rooms must not import one another in a circle: {circle}."
            )
        levels.insert(0, sorted(level))
        placed |= set(level)
    return levels


def drawing(rooms: Mapping[str, set[str]]) -> str:
    """Return the map: a line per room, floor by floor, with all that it imports."""
    levels = floors(rooms)
    place = {room: number for number, level in enumerate(levels) for room in level}
    width = max(map(len, rooms))
    blocks = []
    for level in levels:
        lines = []
        for room in level:
            aims = sorted(
                (aim for aim in rooms[room] if (room, aim) != UPWARD),
                key=lambda aim: (place[aim], aim),
            )
            if UPWARD[0] == room and UPWARD[1] in rooms[room]:
                aims.append(f"({UPWARD[1]})")
            lines.append(f"{room:{width}}  {'-> ' if aims else ''}{' '.join(aims)}")
        blocks.append("\n".join(map(str.rstrip, lines)))
    return "\n\n".join(blocks)


def contents(package: Path = PACKAGE) -> dict[str, list[str]]:
    """Return the files of each room by their names below it; of a file none."""
    rooms: dict[str, list[str]] = {}
    for file in sorted(package.rglob("*.py")):
        first, *below = file.relative_to(package).with_suffix("").parts
        files = rooms.setdefault(first, [])
        if below and below[-1] != "__init__":
            files.append("/".join(below))
    return rooms


def on_page(text: str, package: Path = PACKAGE) -> str:
    """Return a page with the map between its marks, and the files of each room.

    A room's row is "| `room/` | what it is | its files |": the last cell is filled.
    """
    marked = f"{BEGIN}\n```\n{drawing(arrows(package))}\n```\n{END}"
    marks = f"{re.escape(BEGIN)}.*?{re.escape(END)}"
    text = re.sub(marks, lambda _: marked, text, flags=re.S)
    files = contents(package)

    def filled(row: re.Match[str]) -> str:
        names = files.get(row[2].removesuffix("/").removesuffix(".py"), [])
        return f"{row[1]} {', '.join(f'`{name}`' for name in names)} |".replace(
            "  ", " "
        )

    return re.sub(r"^(\| `([\w./]+)` \|[^|]*\|)[^|]*\|$", filled, text, flags=re.M)


def _inside(tree: ast.AST, is_outer: Callable[[ast.AST], bool]) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if is_outer(node):
            yield from ast.walk(node)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def main() -> None:
    """Write the map, or check it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if not check:
            write(page, on_page(text).encode())
        elif on_page(text) != text:
            sys.exit(f"{page} is not as the code is: python tools/architecture.py")


if __name__ == "__main__":
    main()
