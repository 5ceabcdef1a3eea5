"""`predict`: what it is given, in every usual way, and answers that can be joined."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

import classicnets as cn
from classicnets import data
from classicnets.errors import UserError
from classicnets.inference import answers, predicting

QUICK = {"verbose": False, "epochs": 2}


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """A run that tells red pictures from blue ones, and its folder of pictures."""
    root = tmp_path_factory.mktemp("colours")
    random = np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        for part in ("train", "test"):
            folder = root / "data" / part / name
            folder.mkdir(parents=True)
            for number in range(40 if part == "train" else 10):
                pixels = random.integers(60, size=(12, 12, 3))
                pixels[..., channel] += 150
                picture = Image.fromarray(pixels.astype(np.uint8))
                picture.save(folder / f"{number}.png")
    run = cn.train(
        "resnet20-digits", runs=root / "runs", data=str(root / "data"), image_size=8,
        batch_size=16, learning_rate=0.02, **(QUICK | {"epochs": 4}),
    )  # fmt: skip
    return run, root / "data"


@pytest.fixture(scope="module")
def opinions(tmp_path_factory):
    """A run that tells good texts from bad ones, and its table."""
    root = tmp_path_factory.mktemp("opinions")
    random = np.random.default_rng(0)
    path = root / "opinions.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "label", "split"])
        for number in range(300):
            words = [f"w{k}" for k in random.integers(20, size=6)]
            words[number % 6] = ("good", "bad")[number % 2]
            part = "test" if number >= 250 else "train"
            rows.writerow([number, " ".join(words), ("pos", "neg")[number % 2], part])
    run = cn.train("texts", runs=root / "runs", data=str(path), rival=False, **QUICK)
    return run, path


def command(run, *arguments, text=None):
    return subprocess.run(
        [sys.executable, "-m", "classicnets", "predict", str(run.path), *arguments],
        capture_output=True,
        input=None if text is None else text.encode(),
    )


def lines_of(done):
    return [json.loads(line) for line in done.stdout.decode().split("\n") if line]


def test_paths_are_named_as_they_were_given(colours):
    run, folder = colours
    done = command(run, str(folder / "test"), "--json", "--top", "1")
    assert done.returncode == 0, done.stderr
    rows = lines_of(done)
    expected = sorted(str(path) for path in (folder / "test").rglob("*.png"))
    assert [row["input"] for row in rows] == expected  # of two folders, same names
    right = [Path(r["input"]).parent.name == r["classes"][0]["name"] for r in rows]
    assert sum(right) == len(right) == 20


def test_one_answer_per_line_of_standard_input(opinions):
    run, _ = opinions
    lines = ["a good\x85film", "bad\u2028movie", "form\x0cfeed", "", "plain good"]
    done = command(run, "-", "--json", text="\n".join(lines) + "\n")
    rows = lines_of(done)
    assert [row["input"] for row in rows] == lines
    assert rows[3] == {"input": "", "error": "line 4 is blank"}
    assert all("classes" in row for row in rows if row["input"])
    assert done.returncode == 2  # one of them has no answer
    assert command(run, "-", text="good\r\nbad\r\n").stdout.decode().count("\n") == 2


def test_a_table_gets_its_answers_row_by_row(opinions, tmp_path):
    run, table = opinions
    out = tmp_path / "out.csv"
    done = command(run, str(table), "-o", str(out))
    assert (done.returncode, done.stdout.decode().strip()) == (0, str(out))
    with table.open(newline="") as before, out.open(newline="") as after:
        given, found = list(csv.DictReader(before)), list(csv.DictReader(after))
    assert [*found[0]] == [*given[0], "prediction", "probability", "error"]
    for own, row in zip(given, found, strict=True):
        assert {key: row[key] for key in own} == own
    # What can be computed from the file is what `evaluate` says.
    test = [row for row in found if row["split"] == "test"]
    labels, predicted = ([r[key] for r in test] for key in ("label", "prediction"))
    judged = run.evaluate("test")
    assert metrics.accuracy_score(labels, predicted) == pytest.approx(judged["top1"])
    f1 = metrics.f1_score(labels, predicted, average="macro")
    assert f1 == pytest.approx(judged["f1"])


def test_bad_rows_do_not_end_a_table(opinions, tmp_path):
    run, _ = opinions
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    rows = ["text,prediction", "good,x", "", "too,many,fields", ",empty", "bad,y"]
    path.write_text("\n".join(rows))
    done = command(run, str(path), "-o", str(out))
    assert done.returncode == 2
    with out.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [bool(row["error"]) for row in found] == [False, True, True, False]
    assert [row["prediction"] for row in found] == ["x", "many", "empty", "y"]
    assert [row["prediction_2"] for row in found] == ["pos", "", "", "neg"]
    said = done.stderr.decode()
    assert "line 4 has 3" in said
    assert "line 5 has no text" in said


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_kind_of_table(opinions, tmp_path, ending):
    run, _ = opinions
    path = tmp_path / f"in{ending}"
    if ending == ".jsonl":
        path.write_text('{"text": "good", "n": [1, 2]}\n{"text": 7}\n{"n": 1}\n')
    elif ending == ".parquet":
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table({"text": ["good", None, "bad"], "n": [1, 2, 3]})
        parquet.write_table(table, path)
    else:
        between = "\t" if ending == ".tsv" else ","
        path.write_text(between.join(["n", "text"]) + f"\n1{between}good\n2{between}\n")
    found = list(predicting.predictions(run, [path], top=1, as_texts=False))
    assert "classes" in found[0]
    assert "has no text" in found[1]["error"]
    out = tmp_path / "out.jsonl"
    errors = list(answers.write(found, out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == len(found)
    assert len(errors) == sum("error" in row for row in found)
    assert rows[0]["prediction"] == "pos"


def test_a_table_of_paths(colours, tmp_path):
    run, folder = colours
    for name, cell in (("here", "red/1.png"), ("by name", "7"), ("gone", "99")):
        path = folder / "test" / f"{name}.csv"
        path.write_text(f"image,n\n{cell},1\n")
    here, by_name, gone = (
        next(predicting.predictions(run, [folder / "test" / f"{n}.csv"], top=1))
        for n in ("here", "by name", "gone")
    )
    assert here["classes"][0]["name"] == "red"
    assert here["row"] == {"image": "red/1.png", "n": "1"}
    assert "may be" in by_name["error"]  # one in each folder
    assert "names '99', which is not there" in gone["error"]
    for path in (folder / "test").glob("*.csv"):
        path.unlink()


def test_one_picture_in_every_form(colours, tmp_path):
    run, folder = colours
    path = folder / "test" / "red" / "0.png"
    pixels = np.asarray(Image.open(path))
    alpha = Image.open(path).convert("RGBA")
    expected = cn.predict(run, path)
    assert (expected["input"], expected["classes"][0]["name"]) == (str(path), "red")
    stream = io.BytesIO(path.read_bytes())
    for form in (str(path), Image.open(path), pixels, pixels.astype(np.int64), alpha):
        found = cn.predict(run, form)
        assert found["classes"] == expected["classes"], type(form)
    assert cn.predict(run, stream)["classes"] == expected["classes"]
    assert cn.predict(run, np.asarray(alpha))["classes"] == expected["classes"]
    several = cn.predict(run, [path, pixels])
    assert [row["classes"] for row in several] == [expected["classes"]] * 2
    batch = cn.predict(run, np.stack([pixels, pixels[::-1]]))
    assert batch[0]["classes"] == expected["classes"]
    assert len(cn.predict(run, folder / "test")) == 20
    assert cn.predict(run, []) == []
    grey = cn.predict(run, pixels[..., 0])
    assert len(grey["classes"]) == 2


def test_one_text_in_every_form(opinions, tmp_path):
    run, table = opinions
    expected = cn.predict(run, "a good film")
    assert (expected["input"], expected["classes"][0]["name"]) == ("a good film", "pos")
    (tmp_path / "one.txt").write_text("a good film")
    assert cn.predict(run, tmp_path / "one.txt")["classes"] == expected["classes"]
    assert cn.predict(run, tmp_path)[0]["classes"] == expected["classes"]
    assert cn.predict(run, ["a good film"]) == [expected]
    assert cn.predict(run, "photos/cat.jpg")["input"] == "photos/cat.jpg"  # a text
    assert len(cn.predict(run, table)) == 300
    assert len(cn.predict(run, table, column="text", top=1)[0]["classes"]) == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("no/such/cat.jpg", "cannot read no/such/cat.jpg"),
        (np.zeros((8, 8, 3), np.float32), "integers in 0..255, got float32"),
        (np.full((8, 8, 3), 300), "integers in 0..255, got int64 in 300..300"),
        (np.zeros((2, 8, 8, 5), np.uint8), "an array must be"),
        (np.zeros((0, 8), np.uint8), "an array must be"),
        ([3], "must be a path or an image, got 3"),
        ([None], "must be a path or an image, got None"),
    ],
)
def test_what_is_no_picture_is_one_line(colours, wrong, words):
    with pytest.raises(UserError, match=words) as raised:
        cn.predict(colours[0], wrong)
    assert "\n" not in str(raised.value)


def test_wrong_commands_are_one_line(colours, opinions, tmp_path):
    (run, _), (texts, table) = colours, opinions
    for arguments, words in (
        ((texts, str(table), "--column", "txt"), "has no column 'txt'. Did you mean"),
        ((texts, str(table), "-o", "out.txt"), "-o must name a .csv or .jsonl file"),
        ((texts, str(table), "-o", "no/out.csv"), "in a folder that exists"),
        ((run, str(tmp_path)), "must hold .jpg"),
        ((run, "--text", "a"), "--text is for texts"),
        ((run,), "predict needs files"),
    ):
        done = command(*arguments)
        assert done.returncode == 2
        (line,) = done.stderr.decode().strip().splitlines()[-1:]
        assert words in line


def test_a_file_of_answers_is_whole_or_not_there(tmp_path):
    def results():
        yield {"input": "a", "classes": [{"name": "x", "probability": 1.0}]}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(answers.write(results(), tmp_path / "out.csv"))
    assert list(tmp_path.iterdir()) == []
    mixed = [{"input": "a", "error": "e"}, {"input": "b", "row": {"c": 1}, "error": ""}]
    with pytest.raises(UserError, match="must have the same columns, b has 'c' too"):
        list(answers.write(mixed, tmp_path / "out.csv"))


def test_predictions_of_the_whole_test_are_in_the_run(colours, opinions):
    run, folder = colours
    judged = run.evaluate("test")
    with (run.path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    files = {
        f"test/{path.parent.name}/{path.name}" for path in folder.rglob("test/*/*")
    }
    assert {row["file"] for row in rows} == files
    assert all(Path(row["file"]).parent.name == row["label"] for row in rows)
    right = [row["label"] == row["prediction"] for row in rows]
    assert np.mean(right) == pytest.approx(judged["top1"])
    alone = cn.predict(run, folder / rows[3]["file"])["classes"][0]
    assert alone["name"] == rows[3]["prediction"]
    assert alone["probability"] == pytest.approx(
        float(rows[3]["probability"]), abs=1e-4
    )
    shown = run.samples("test")
    for name, label in zip(shown["names"], shown["labels"], strict=True):
        assert Path(name).parent.name == run.class_names[label]
    texts, table = opinions
    texts.evaluate("test")
    with (texts.path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open(newline="") as file:
        given = [row for row in csv.DictReader(file) if row["split"] == "test"]
    assert [row["text"] for row in rows] == [row["text"] for row in given]
    assert [row["label"] for row in rows] == [row["label"] for row in given]


def test_a_report_shows_the_words_that_were_read(tmp_path):
    path = tmp_path / "long.csv"
    rows = [f"{'w ' * 30}{('good', 'bad')[n % 2]} end {n},{n % 2}" for n in range(60)]
    path.write_text("\n".join(["text,label", *rows]))
    run = cn.train(
        "texts", runs=tmp_path, data=str(path), max_tokens=3, rival=False, **QUICK
    )
    run.evaluate("test")
    texts = run.samples("test")["texts"]
    for text, label in zip(texts, run.samples("test")["labels"], strict=True):
        assert text.startswith(f"… {('good', 'bad')[label]} end ")
    tokenizer = run.tokenizer
    for keep, expected in (
        ("first", "one, two three …"),
        ("last", "… three four five."),
        ("ends", "one … four five."),
    ):
        read = data.words_read(
            tokenizer, "one, two three four five.", max_tokens=3, keep_tokens=keep
        )
        assert read == expected
    assert (
        data.words_read(tokenizer, "a b.", max_tokens=3, keep_tokens="last") == "a b."
    )
