"""What docs/ and the READMEs print works: every command, every page's Python.

Commands of a page are run for real, in the order in which the pages print them, in a
folder that holds what the pages speak of: `my_photos`, `reviews.csv`, runs. Those that
match `NOT_RUN` are not run, for the reason beside them: the command's own parser reads
them, and their recipes, options, files and targets must be there.
"""

import ast
import csv
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import classicnets as cn
from classicnets import cli, networks, recipe
from classicnets.errors import UserError

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = r"(classicnets|make|pip|python|[A-Z_]+=\S+ classicnets|\w+=\$\()"
NOT_RUN = (
    (r"make ", "sets up an environment of its own; most targets take minutes"),
    (r"pip ", "changes the environment"),
    (r"python ", "measures, or runs the suite; the page on adding a network is below"),
    (r"[A-Z_]+=|.* --backend", "another backend: test_first_steps.py compares them"),
    (
        r"classicnets train (?!.*--set epochs=[123]\b)",
        "trains to the end; test_training.py trains two steps by every recipe",
    ),
    (r".*(network_in_network|k_sparse|wgan_mlp)", "networks of a page: followed below"),
    (r"classicnets resume", "of a stopped run: test_resume.py and test_cli.py"),
    (r"classicnets doctor$", "tries each backend for seconds: test_cli.py"),
    (r"classicnets (verify|record|crossval|export)", "has tests of its own"),
)
# A page shows what a wrong input says.
REFUSED = {"classicnets train resnet20-digits --set epoch=2": "unknown key 'epoch'"}


def blocks(path, *languages):
    """Yield the code blocks of a page in these languages, with their captions."""
    pattern = r"^```(\S*)( [^\n]*)?\n(?::caption: ([^\n]*)\n\n)?(.*?)^```$"
    for found in re.finditer(pattern, path.read_text("utf-8"), re.S | re.M):
        language = (found[2] or "").strip() if "{" in found[1] else found[1]
        if language in languages:
            yield found[4], found[3]


def commands(path):
    """Return the command lines that a page prints in its blocks."""
    found = []
    for text, _ in blocks(path, "", "console", "bash", "sh"):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if any(re.match(PROGRAMS + r"\b| ", line) for line in lines):
            found += [re.sub(r"\s+# .*", "", line) for line in lines]
    return found


EVERY = list(dict.fromkeys(line for path in PAGES for line in commands(path)))


def why_not_run(line):
    if line in REFUSED:
        return None
    return next((why for rule, why in NOT_RUN if re.match(rule, line)), None)


RUN = [line for line in EVERY if not why_not_run(line)]
READ = [line for line in EVERY if why_not_run(line)]


def test_commands_of_every_kind_are_found():
    assert len(RUN) > 20
    assert len(READ) > 30
    for line in EVERY:
        assert re.match(PROGRAMS, line), f"no command: {line}"
    for rule, why in NOT_RUN[:-1]:
        assert any(why_not_run(line) == why for line in READ), rule


def test_both_languages_print_the_same_commands():
    for path in sorted((ROOT / "docs" / "zh").rglob("*.md")):
        english = ROOT / "docs" / path.relative_to(ROOT / "docs" / "zh")
        if "{include}" not in path.read_text("utf-8"):  # else they are the same
            assert commands(path) == commands(english), path
    assert commands(ROOT / "README.zh-CN.md") == commands(ROOT / "README.md")


def parsed(line):
    """Return the name and the parameters of a `classicnets` command, or raise."""
    words = shlex.split(line)[1:]
    command = cli.commands
    while isinstance(command, click.Group):
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    return command.name, command.make_context(command.name, words).params


@pytest.mark.parametrize("line", READ)
def test_what_is_not_run_is_read_by_the_real_parser(line):
    if re.search("network_in_network|k_sparse|wgan_mlp", line):
        return  # they do not exist yet: test_the_page_on_adding_a_network_...
    line = re.sub(r"^[A-Z_]+=\S+ |^\w+=\$\((.*)\)$", r"\1", line)
    words = shlex.split(line)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        assert re.search(rf"^{words[1]}:", makefile, re.M)
    elif words[0] == "pip":
        extras = re.search(r"\[([\w,]+)\]", line)[1].split(",")
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert set(extras) <= set(project["optional-dependencies"])
    elif words[0] == "python":
        check_script(words[1:])
    else:
        name, given = parsed(line)
        if name == "train":
            check_recipe(given["recipe"], given["changes"])


def check_script(words):
    """A program of ours is there, and knows every option that the line gives it."""
    if words[0] == "-m":
        places = [ROOT / (words[1].replace(".", "/") + end) for end in (".py", "")]
        path = next(place for place in places if place.exists())
    else:
        path = ROOT / words[0]
    files = [path] if path.is_file() else path.glob("*.py")
    source = "".join(file.read_text() for file in files)
    for option in (word for word in words if word.startswith("--")):
        assert f'"{option}"' in source, option


def check_recipe(source, changes):
    if source == "my_recipe.toml":
        return  # the page's own: it is in the folder where commands are run
    loaded = recipe.load(source, changes)
    known = networks.network_options(loaded.network)
    assert set(loaded.network_options) <= set(known)


# -- run for real ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with what the pages speak of."""
    folder = tmp_path_factory.mktemp("reader")
    random = np.random.default_rng(0)

    def draw(path, shape=(32, 32)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(256, size=shape, dtype=np.uint8)).save(path)

    for name in ("cats", "dogs"):
        for number in range(20):
            draw(folder / "my_photos" / name / f"{number}.png")
            draw(folder / "my_pictures" / f"{name}{number}.png", (64, 64, 3))
    for name in ("cat.jpg", "seven.png"):
        draw(folder / name)
    with (folder / "reviews.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for number in range(24):
            rows.writerow([f"a {('fine', 'dull')[number % 2]} film", number % 2])
    ((toml, _),) = blocks(ROOT / "docs" / "recipes.md", "toml")
    (folder / "my_recipe.toml").write_text(toml)
    return folder


@pytest.fixture(scope="module")
def reader(folder):
    """The same, with a run of each name that a page uses, trained for a step or two."""
    tiny = {"epochs": 1, "batch_size": 4, "verbose": False, "runs": folder / "runs"}
    texts = {"data": str(folder / "reviews.csv"), "max_tokens": 8, "skip_top": 0}
    images = {"data": str(folder / "my_pictures"), "channels": 1, "image_size": 16}
    vae = {"hidden_units": [16], "latent_size": 2}
    gan = {"filters": 4, "latent_size": 4}
    for name, source, changes in (
        ("resnet20-digits", "resnet20-digits", {"batch_size": 64}),
        ("lstm-imdb-400", "lstm-imdb", texts | {"network_options": {"units": [4]}}),
        ("vae-mnist", "vae-digits", images | {"network_options": vae}),
        (
            "autoencoder-mnist",
            "autoencoder-mnist",
            images | {"network_options": {"hidden_units": [16], "latent_size": 2}},
        ),
        ("dcgan-mnist", "dcgan-mnist", images | {"network_options": gan}),
    ):
        cn.train(source, name=name, **tiny | changes)
    runs = folder / "runs"
    for name, *others in (
        ("resnet20-digits", "resnet20-cifar100-cpu", "photos"),
        ("lstm-imdb-400", "texts"),
        ("vae-mnist", "pictures-vae"),
        ("dcgan-mnist", "gan-mnist", "wgan-mnist", "pictures-gan"),
    ):
        for other in others:
            shutil.copytree(runs / f"{name}-0", runs / f"{other}-0")
    shutil.copytree(runs / "resnet20-digits-0", runs / "resnet20-digits-1")
    return folder


@pytest.fixture(scope="module")
def history():
    """The commands that have been run."""
    return set()


@pytest.mark.parametrize("line", RUN)
def test_a_printed_command_runs(line, reader, history, monkeypatch, capsys):
    monkeypatch.chdir(reader)
    if line in REFUSED:
        with pytest.raises(UserError, match=re.escape(REFUSED[line])):
            run(line)
        return
    if re.match(r'\w+=\$\(|.*"\$', line):  # a line of the shell's
        if line not in history:
            page = next(page for page in PAGES if line in commands(page))
            lines = [each for each in commands(page) if re.search(r"=\$\(|\"\$", each)]
            history.update(lines)
            shim = f'classicnets() {{ "{sys.executable}" -m classicnets "$@"; }}\n'
            script = shim + "set -e\n" + "\n".join(lines)
            subprocess.run(["bash", "-c", script], check=True, timeout=600)
        return
    run(line)


def run(line):
    for part in line.split(" && "):
        arguments = shlex.split(part)[1:]
        try:
            cli.commands.main(arguments, standalone_mode=False)
        except SystemExit as end:
            pytest.fail(f"{part} ended with {end.code}")


# -- Python ----------------------------------------------------------------------------

PYTHON = [
    (path, text)
    for path in PAGES
    for text, caption in blocks(path, "python")
    if "__init__.py, in " not in (caption or "")  # a line of a dict
]


@pytest.mark.parametrize("path, text", PYTHON, ids=[path.stem for path, _ in PYTHON])
def test_printed_python_is_python_and_names_what_there_is(path, text):
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("classicnets"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                assert hasattr(module, alias.name) or importlib.import_module(full)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "cn":
                assert hasattr(cn, node.attr), node.attr


# -- what pages point to ---------------------------------------------------------------


def test_every_link_to_a_file_leads_to_one():
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text("utf-8")):
            if not re.match(r"\w+:", target):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_name_of_the_library_in_a_page_is_one():
    for path in PAGES:
        for name in re.findall(r"\bclassicnets(?:\.\w+)+", path.read_text("utf-8")):
            assert is_there(name), f"{path.name}: {name}"


def is_there(name):
    """Return whether a dotted name is a module's, or an attribute of one."""
    module, *rest = name.split(".")
    for word in rest:
        module += f".{word}"
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            home, _, attribute = module.rpartition(".")
            return hasattr(importlib.import_module(home), attribute)
    return True


# -- the page on adding a network ------------------------------------------------------


ADDED = {
    "network_in_network": ["counts", "outputs by NumPy", "places of dropout"],
    "k_sparse_autoencoder": ["counts", "outputs by NumPy"],
    "wgan_mlp": ["counts", "outputs by NumPy"],
}


@pytest.mark.parametrize(
    "name",
    [
        "network_in_network",
        *(pytest.param(n, marks=pytest.mark.thorough) for n in [*ADDED][1:]),
    ],
)
def test_the_page_on_adding_a_network_works_to_the_letter(name, tmp_path):
    page = ROOT / "docs" / "add-a-network.md"
    for part in ("src", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    steps = [block for block in blocks(page, "python", "toml") if name in block[0]]
    assert len(steps) == 3
    for text, caption in steps:
        file, _, place = caption.strip('"').partition(", in ")
        path = tmp_path / file
        assert path.exists() == bool(place)
        if place:
            pattern = rf"(^{place}: .* = \{{\n)"
            text, times = re.subn(pattern, rf"\1{text}", path.read_text(), flags=re.M)
            assert times == 1
        path.write_text(text)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    lines = [line for line in commands(page) if name in line]
    outputs = []
    for line in lines:
        words = shlex.split(line)
        if words[0] == "classicnets":
            words = ["python", "-m", *words]
        command = [sys.executable, *words[1:]]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        outputs.append(done.stdout)
    summary, _, proofs, tests = outputs
    assert "trained parameters" in summary
    assert re.findall(r"not proven yet: ([\w ]*?)  ", proofs) == ADDED[name]
    assert re.search(r"\d+ passed", tests)
    run = tmp_path / "runs" / f"{name}-digits-0"
    assert list(run.glob("*.keras"))
