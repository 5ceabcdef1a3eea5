"""Write docs/results.md from docs/results.csv and the text in tools/results.md.j2.

python tools/results.py            # writes it
python tools/results.py --check    # exits with 1 where it is not as the CSV says
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import jinja2

from classicnets import files, kinds
from classicnets.runs import record
from classicnets.runs.record import Row

ROOT = Path(__file__).parents[1]
CSV, PAGE = ROOT / "docs" / "results.csv", ROOT / "docs" / "results.md"
TEMPLATE = Path(__file__).with_name("results.md.j2")
# The rows of one line of a table: the seeds of a recipe under one set of conditions.
CONDITIONS = ("recipe", "differs", "backend", "precision", "machine", "commit")
Group = list[Row]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    text = page(record.read(CSV))
    if not parser.parse_args().check:
        files.write(PAGE, text.encode())
    elif PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.name} is not what {CSV.name} says: python tools/results.py")


def page(rows: Sequence[Row]) -> str:
    """Return the text of docs/results.md."""
    groups = [*_groups(rows).values()]
    plain = [group for group in groups if not group[0]["differs"]]
    groups_by_table = {
        "classifiers": (CLASSIFIERS, _has(plain, "top1", "test")),
        "autoencoders": (AUTOENCODERS, _has(plain, "reconstruction", "test")),
        "gans": (GANS, _has(plain, "kid", "test")),
        "others": (OTHERS, [group for group in groups if group[0]["differs"]]),
    }
    tables = {
        name: _table(columns, some) for name, (columns, some) in groups_by_table.items()
    }
    template = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"),
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return template.render(tables)


def measured(
    group: Group, metric: str, split: str
) -> tuple[float, float | None, int] | None:
    """Return the mean of a metric, its standard deviation (n - 1), and the seeds.

    A row that is itself a mean counts before those of single seeds: it was computed
    before they were rounded.
    """
    rows = [r for r in group if (r["metric"], r["split"]) == (metric, split)]
    for row in rows:
        if row["seeds"]:
            return float(row["value"]), float(row["std"]), int(row["seeds"])
    values = [float(row["value"]) for row in rows]
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return statistics.fmean(values), deviation, len(values)


def _groups(rows: Sequence[Row]) -> dict[tuple[str, ...], Group]:
    groups: dict[tuple[str, ...], Group] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in CONDITIONS), []).append(row)
    return groups


def _has(groups: Sequence[Group], metric: str, split: str) -> list[Group]:
    return [group for group in groups if measured(group, metric, split)]


def _table(columns: dict[str, Callable[[Group], str]], groups: Sequence[Group]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for group in groups:
        lines.append(f"| {' | '.join(cell(group) for cell in columns.values())} |")
    return "\n".join(lines)


# -- cells ---------------------------------------------------------------------------


def _of(metric: str, split: str, *, count: bool = False) -> Callable[[Group], str]:
    """Return the cell of a metric, and how many examples counted."""

    def cell(group: Group) -> str:
        values = measured(group, metric, split)
        if not values:
            return "–"
        examples = {
            row["examples"]
            for row in group
            if (row["metric"], row["split"]) == (metric, split) and row["examples"]
        }
        of = ", ".join(f"{int(number):,}" for number in sorted(examples))
        return _number(metric, *values[:2]) + (f" of {of}" if count and of else "")

    return cell


def _number(metric: str, value: float, deviation: float | None) -> str:
    if metric in kinds.SHARES:
        plus = "" if deviation is None else f" ± {100 * deviation:.2f}"
        return f"{100 * value:.2f}{plus} %"
    form = ".3g" if metric.startswith(("kid", "fid")) else ".2f"
    return f"{value:{form}}" + ("" if deviation is None else f" ± {deviation:{form}}")


def _total(split: str) -> Callable[[Group], str]:
    """Return the cell of reconstruction and KL together; an autoencoder has no KL."""

    def cell(group: Group) -> str:
        metric = "elbo" if measured(group, "elbo", split) else "reconstruction"
        return _of(metric, split, count=True)(group)

    return cell


def _recipe(group: Group) -> str:
    return f"`{group[0]['recipe']}`"


def _seeds(group: Group) -> str:
    counts = []
    for metric, split in {(row["metric"], row["split"]) for row in group}:
        values = measured(group, metric, split)
        counts.append(values[2] if values else 0)
    return str(max(counts))


def _seconds(group: Group) -> str:
    # One row per metric: the seconds of a run stand in each of them.
    runs = {(row["seed"], row["seconds"]) for row in group if row["seconds"]}
    cells = list(dict.fromkeys(seconds for _, seconds in sorted(runs)))
    return ", ".join(_thousands(cell) for cell in cells) or "–"


def _thousands(cell: str) -> str:
    try:
        return f"{float(cell):,.0f}"
    except ValueError:
        return cell  # such as 238 to 355, where those of each run are not on record


def _backend(group: Group) -> str:
    return ", ".join(filter(None, (group[0]["backend"], group[0]["precision"]))) or "–"


def _column(column: str) -> Callable[[Group], str]:
    return lambda group: group[0][column] or "–"


def _anchor(group: Group) -> str:
    rows = {r["metric"]: r for r in group if r["anchor"]}
    if not rows:
        return "–"
    values = " / ".join(_number(m, float(r["anchor"]), None) for m, r in rows.items())
    return f"{values}: {next(iter(rows.values()))['anchor_source']}"


def _floors(group: Group) -> str:
    return f"{_of('kid_floor', 'test')(group)}, {_of('fid_floor', 'test')(group)}"


def _kid(group: Group) -> str:
    """Return KID, with its deviation over subsets where there is one run of it."""
    kid = _of("kid", "test")(group)
    spread = measured(group, "kid_deviation", "test")
    is_one = spread and spread[2] == 1
    return f"{kid} ± {spread[0]:.3g}" if spread and is_one else kid


def _every_metric(group: Group) -> str:
    cells = dict.fromkeys((row["metric"], row["split"]) for row in group)
    return "; ".join(
        f"{split} {metric} {_of(metric, split, count=True)(group)}"
        for metric, split in cells
    )


_FIRST = {"recipe": _recipe, "seeds": _seeds}
_CONDITIONS = {
    "seconds": _seconds,
    "backend, precision": _backend,
    "machine": _column("machine"),
    "commit": _column("commit"),
}
CLASSIFIERS = {
    **_FIRST,
    "test top-1": _of("top1", "test", count=True),
    "test top-5": _of("top5", "test"),
    "validation top-1": _of("top1", "validation", count=True),
    **_CONDITIONS,
    "anchor": _anchor,
}
AUTOENCODERS = {
    **_FIRST,
    "test": _total("test"),
    "reconstruction": _of("reconstruction", "test"),
    "KL": _of("kl", "test"),
    "importance-weighted": _of("nll", "test"),
    "validation": _total("validation"),
    **_CONDITIONS,
    "anchor": _anchor,
}
GANS = {
    **_FIRST,
    "KID": _kid,
    "FID": _of("fid", "test", count=True),
    "real to real": _floors,
    "validation KID": _of("kid", "validation"),
    **_CONDITIONS,
}
OTHERS = {
    "recipe": _recipe,
    "differs": _column("differs"),
    "result": _every_metric,
    **_CONDITIONS,
}

if __name__ == "__main__":
    main()
