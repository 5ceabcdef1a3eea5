"""CSV, JSONL and Parquet: what is read, and what is refused in one line."""

import csv
import json
import shutil
import subprocess

import pyarrow
import pytest
from pyarrow import parquet

from classicnets import data
from classicnets.errors import UserError

TEXTS = [
    *('a "quoted", good film', "two\nlines, not good", "电影 😀\r\nthree", "plain"),
    *("", "semi;colon", "tab\tin it", "U+2028 \u2028 inside"),
]
ROWS = [(text, f"c{i % 2}") for i, text in enumerate(TEXTS)]


def write(path, rows, columns=("text", "label"), encoding="utf-8"):
    """Write rows as what the path's name says, by other hands than ours."""
    kind = path.name.split(".")[-1].lower()
    if kind == "parquet":
        values = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
        parquet.write_table(pyarrow.table(values), path)
    elif kind in ("jsonl", "ndjson"):
        objects = [dict(zip(columns, row)) for row in rows]
        lines = [json.dumps(row, ensure_ascii=False) for row in objects]
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
    else:
        with open(path, "w", newline="", encoding=encoding) as stream:
            writer = csv.writer(stream, delimiter="\t" if kind == "tsv" else ",")
            writer.writerows([columns, *rows])
    return path


def pairs(splits):
    parts = [splits.train, splits.validation, splits.open_test()]
    return sorted(
        (text, splits.class_names[label])
        for part in parts
        for text, label in zip(part.texts, part.labels)
    )


def one_line(path, message, **options):
    with pytest.raises(UserError, match=message) as raised:
        data.load(path, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a.parquet", "A.CSV"]
)
def test_every_format_gives_the_same_texts_and_labels(tmp_path, name):
    splits = data.load(write(tmp_path / name, ROWS))
    assert splits.name == name
    assert pairs(splits) == sorted(ROWS)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_mark_of_the_encoding_is_honoured(tmp_path, name, encoding):
    path = write(tmp_path / name, ROWS, encoding=encoding)
    assert pairs(data.load(path)) == sorted(ROWS)


def test_semicolons_separate_where_the_first_line_has_them(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text;label\n" + "good, really;1\nbad;0\n" * 3)
    assert pairs(data.load(path)) == [("bad", "0")] * 3 + [("good, really", "1")] * 3


def test_blank_lines_are_no_rows(tmp_path):
    rows = "\ngood,1\n\nbad,0\n" * 3
    (tmp_path / "a.csv").write_text("\ntext,label\n" + rows)
    assert len(pairs(data.load(tmp_path / "a.csv"))) == 6


def test_a_text_longer_than_csvs_own_limit_is_read(tmp_path):
    rows = [("word " * 40_000, "a"), ("short", "b")] * 3
    splits = data.load(write(tmp_path / "a.csv", rows), max_tokens=10)
    assert sorted(splits.train.lengths.tolist()) == [1, 40_000]
    assert csv.field_size_limit() == 131_072


# Columns


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        (("id", "Review", "Sentiment"), "Review", "Sentiment"),
        (("category", "sentence", "title"), "sentence", "category"),
        ((" content ", "x", "target"), " content ", "target"),
        (("标签", "评论", "x"), "评论", "标签"),
        (("sentence", "text", "class"), "text", "class"),
        (("label", "Text", "text"), "Text", "label"),
    ],
)
def test_columns_are_guessed_by_their_names(tmp_path, columns, text, label):
    rows = [(f"{i % 2}", f"{i % 2} b", f"{i % 2}") for i in range(8)]
    splits = data.load(write(tmp_path / "a.csv", rows, columns))
    expected = [row[columns.index(text)] for row in rows]
    assert sorted(found for found, _ in pairs(splits)) == sorted(expected)
    note = f"a.csv: texts from the column {text!r}, labels from {label!r}"
    assert note in splits.notes


def test_given_columns_are_used_without_a_note(tmp_path):
    rows = [("no", f"yes {i % 2}", i % 2, 5) for i in range(8)]
    path = write(tmp_path / "a.csv", rows, ("text", "mine", "stars", "label"))
    splits = data.load(path, text_column="mine", label_column="stars")
    assert pairs(splits) == [("yes 0", "0")] * 4 + [("yes 1", "1")] * 4
    assert not any("column" in note for note in splits.notes)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_columns_that_are_not_there_are_refused(tmp_path, name):
    path = write(tmp_path / name, ROWS, ("texts", "mark"))
    one_line(path, r"text_column must name a column .* its columns: 'texts', 'mark'$")
    one_line(path, "label_column must name a column .*", text_column="texts")
    one_line(path, "has no column 'text'. Did you mean 'texts'?", text_column="text")
    one_line(path, "must differ, both are", text_column="mark", label_column="mark")


def test_a_table_without_names_is_shown_by_its_first_row(tmp_path):
    (tmp_path / "a.csv").write_text(f"{'a long text ' * 9},1\nb,0\n")
    one_line(tmp_path / "a.csv", r"its columns: 'a long text .{20,40}\.\.\., '1'$")


# Labels and splits


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([2, 10], ("2", "10")),
        (["pos", " neg"], ("neg", "pos")),
    ],
)
def test_labels_are_names_or_integers(tmp_path, name, labels, names):
    rows = [("a", labels[0]), ("b", labels[1])] * 4
    splits = data.load(write(tmp_path / name, rows))
    assert splits.class_names == names
    expected = {"a": str(labels[0]).strip(), "b": str(labels[1]).strip()}
    assert set(pairs(splits)) == set(expected.items())


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
@pytest.mark.parametrize(
    ("labels", "names"),
    [([True, False], ("false", "true")), ([1.0, 0.0], ("0", "1"))],
)
def test_typed_labels_may_be_booleans_and_even_floats(tmp_path, name, labels, names):
    rows = [("a", labels[0]), ("b", labels[1])] * 4
    splits = data.load(write(tmp_path / name, rows))
    assert set(pairs(splits)) == {("a", names[1]), ("b", names[0])}


@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        ("a.csv", "  ", "every row .* must have a label, line 6 has none"),
        ("a.jsonl", None, "every row .* must have a label, line 4 has none"),
        ("a.parquet", None, "every row .* must have a label, row 4 has none"),
        ("a.jsonl", 0.5, "names or integers, line 4 has 0.5"),
        ("a.jsonl", [1], r"names or integers, line 4 has \[1\]"),
    ],
)
def test_a_row_without_a_label_is_named(tmp_path, name, label, message):
    labels = [1, 2, 1, label, 2] if label is None else ["1", "2", "1", label, "2"]
    # Two lines of the CSV are one text: rows are named by the lines they begin at.
    texts = ["a", "two\nlines", "b", "c", "d"]
    one_line(write(tmp_path / name, list(zip(texts, labels))), message)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", None, "every text of .* must be a string, line 2 has None"),
        ("a.jsonl", 5, "must be a string, line 2 has 5"),
        ("a.parquet", None, "must be a string, row 2 has None"),
    ],
)
def test_a_text_that_is_no_string_is_named(tmp_path, name, text, message):
    one_line(write(tmp_path / name, [("a", "x"), (text, "y")]), message)


def test_a_column_of_numbers_is_no_column_of_texts(tmp_path):
    path = write(tmp_path / "a.parquet", [(1, "x"), (2, "y")])
    one_line(path, "must be a string, row 1 has 1")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_an_unknown_split_is_named(tmp_path, name):
    rows = [("a", "x", "train"), ("b", "y", "trian")]
    path = write(tmp_path / name, rows, ("text", "label", "split"))
    place = {"a.csv": "line 3", "a.jsonl": "line 2", "a.parquet": "row 2"}[name]
    one_line(path, f"must have train, val or test, {place} has 'trian'")


def test_a_table_without_training_rows_is_refused(tmp_path):
    rows = [("a", "x", "test"), ("b", "y", "dev")]
    path = write(tmp_path / "a.csv", rows, ("text", "label", "split"))
    one_line(path, "must have training rows, .* has only 'test' and 'validation'")


# Broken files


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "must hold texts, it is empty"),
        ("a.csv", b"\xef\xbb\xbf\n", "must hold texts, it is empty"),
        ("a.jsonl", b" \n", "must hold texts, it is empty"),
        ("a.parquet", b"", "must hold texts, it is empty"),
        ("a.csv", b"text,label\n", "must have rows, it has only the names"),
        (
            "a.csv",
            "text,label\n电影,1\n".encode("gb18030"),
            "a.csv must be text in UTF-8, but it is not UTF-8 at byte 11; convert it, "
            "for example by iconv -f GB18030 -t UTF-8 a.csv > utf8.csv$",
        ),
        ("a.jsonl", b'{"text": "\xff"}', "not UTF-8 at byte 10"),
        ("a.csv", b"text,label\na\0,1\n", "but it has NUL bytes"),
        ("a.csv", b"text,label\na,1\nb,c,0\n", "must have 2 fields .* line 3 has 3"),
        ("a.csv", b'text,label\na,1\n"b,0\n', "be CSV, line 3 is broken: unexpected"),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{"text"\n', "line 2 is broken: Expec"),
        ("a.jsonl", b'["a", 1]\n', r"a JSON object such as .* line 1 has \['a', 1\]"),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{"label": 1}', "line 2 .* no 'text'"),
        ("a.parquet", b"PAR1 no PAR1", "must be Parquet, it is broken: "),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    one_line(tmp_path / name, message)


def test_half_a_surrogate_pair_in_json_is_marked_as_lost(tmp_path):
    rows = '{"text": "cut \\ud83d", "label": 0}\n{"text": "b", "label": 1}\n' * 3
    (tmp_path / "a.jsonl").write_text(rows)
    assert pairs(data.load(tmp_path / "a.jsonl"))[-1] == ("cut \ufffd", "0")


def test_another_file_is_refused_with_what_is_read(tmp_path):
    (tmp_path / "a.docx").write_text("text")
    one_line(tmp_path / "a.docx", r"\(.npz, .csv, .tsv, .jsonl, .ndjson, .parquet\)")


# Tables as published sets have them


def read(path):
    splits = data.load(path, progress=False)
    texts = [*splits.train.texts, *splits.validation.texts, *splits.open_test().texts]
    return splits, texts


ROWS = [(f"{'good' if n % 2 else 'bad'} film {n}", "01"[n % 2]) for n in range(20)]


@pytest.mark.parametrize(
    ("name", "header", "line"),
    [
        ("a.csv", "text,label", "{t},{l}"),
        ("a.csv", "label;text", "{l};{t}"),
        ("a.csv", "label|text", "{l}|{t}"),
        ("a.csv", "label\ttext", "{l}\t{t}"),
        ("a.csv", ",text,label", "7,{t},{l}"),
        ("a.csv", "id,text,target,text", "7,{t},{l},again"),
        ("a.csv", '"text","label"', '"{t}","{l}"'),
        ("a.tsv", "label\ttext", "{l}\t{t}"),
        ("a.tsv", '"label"\t"text"', '"{l}"\t"{t}"'),
        ("a.tsv", "text\tlabel\tsplit", "{t}\t{l}\ttrain"),
        ("a.tsv", "评论\t标签", "{t}\t{l}"),
        ("a.tsv", "id,note\tlabel\ttext", "1,2\t{l}\t{t}"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_of_many_makers(tmp_path, name, header, line, end):
    lines = [header, *(line.format(t=t, l=label) for t, label in ROWS), ""]
    (tmp_path / name).write_bytes(end.join(lines).encode("utf-8-sig"))
    splits, texts = read(tmp_path / name)
    assert splits.class_names == ("0", "1")
    assert sorted(texts) == sorted(text for text, _ in ROWS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a quote begins', '"a quote begins'),
        ('a 12" disc', 'a 12" disc'),
        ('"two" words', '"two" words'),
        ("'single'", "'single'"),
    ],
)
def test_a_quote_in_a_tsv_file_is_a_quote(tmp_path, text, expected):
    lines = ["label\ttext", *(f"{label}\t{t}" for t, label in ROWS)]
    lines[5] = f"0\t{text}"
    lines[11] = f"1\t{text}"
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    _, texts = read(tmp_path / "a.tsv")
    assert len(texts) == len(ROWS)
    assert texts.count(expected) == 2


def test_a_tsv_file_whose_writer_quotes_is_unquoted(tmp_path):
    lines = ["label\ttext", *(f"{label}\t{t}" for t, label in ROWS)]
    lines[5] = '0\t"say ""no"""'
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    assert 'say "no"' in read(tmp_path / "a.tsv")[1]
    lines[5] = '0\t"one line\nand one more"'
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    assert "one line\nand one more" in read(tmp_path / "a.tsv")[1]


def test_quotes_that_may_swallow_rows_are_named(tmp_path):
    lines = ["label,text", *(f"{label},{t}" for t, label in ROWS)]
    lines[5], lines[9] = '0,"begun', '0,ended"'
    (tmp_path / "a.csv").write_text("\n".join(lines))
    splits, texts = read(tmp_path / "a.csv")
    assert len(texts) == len(ROWS) - 4
    assert any("quotes hold 2 lines together" in note for note in splits.notes)


WORDS = {
    "CP1252": ("C'était très déçu", "Schöne Grüße", "naïve façade"),
    "CP1251": ("Отличный фильм", "Ужасно скучно и длинно"),
    "GB18030": ("这部电影非常好看", "太难看了，浪费时间"),
    "BIG5": ("這部電影非常好看", "太難看了浪費時間不要看"),
    "UTF-16LE": ("这部电影非常好看", "a good film"),
}


@pytest.mark.skipif(not shutil.which("iconv"), reason="needs iconv")
@pytest.mark.parametrize("encoding", WORDS)
def test_the_advice_on_an_encoding_works(tmp_path, encoding):
    words = WORDS[encoding]
    lines = ["text,label", *(f"{words[n % len(words)]} {n},{n % 2}" for n in range(20))]
    content = "\n".join(lines)
    (tmp_path / "a.csv").write_bytes(content.encode(encoding))
    with pytest.raises(UserError, match="must be text in UTF-8") as raised:
        data.load(tmp_path / "a.csv")
    advice = str(raised.value).partition("for example by ")[2]
    assert f"-f {encoding} " in advice
    subprocess.run(advice, shell=True, check=True, cwd=tmp_path)
    assert (tmp_path / "utf8.csv").read_text("utf-8") == content


def test_a_group_that_is_missing_is_named(tmp_path):
    lines = [f"{t},{label},{n // 4}" for n, (t, label) in enumerate(ROWS)]
    lines[2] = "a film,0,"
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["text,label,who", *lines]))
    options = data.Options(folds=2, fold=1, groups="who")
    with pytest.raises(UserError, match="must name a group in 'who', line 4 has none"):
        data.load(path, options)
