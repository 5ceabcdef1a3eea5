"""Texts from a table to a trained network, its judgement and its predictions."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import classicnets as cn
from classicnets import data, recipe
from classicnets.data.batches import in_batches, trim
from classicnets.tasks import TASKS
from classicnets.tasks.tokens import Tokens

SMALL = {
    "network": "lstm",
    "network_options": {"units": [8], "embedding_size": 8, "pooling": "max"},
    "epochs": 8,
    "batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 0.03,
    "max_tokens": 16,
}


def train(tmp_path, source, **changes):
    built = recipe.build(SMALL | {"data": str(source)} | changes)
    return cn.train(built, runs=tmp_path / "runs", name="texts", verbose=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_texts):
    words = ("splendid", "dull", "<odd> & long")
    source = tiny_texts(words, train=240, test=30)
    return train(tmp_path_factory.mktemp("run"), source)


def test_what_was_taught_is_known(finished):
    metrics = finished.evaluate()
    assert metrics["examples"] == 30
    assert min(metrics["top1"], metrics["f1"], metrics["auc"]) > 0.9
    parts = metrics["by_length"]
    assert sum(part["examples"] for part in parts) == 30
    right = sum(part["examples"] * part["accuracy"] for part in parts)
    assert right == pytest.approx(30 * metrics["top1"])


def test_a_sentence_is_classified(finished):
    results = cn.predict(finished, ["What a SPLENDID film!", "so dull.", ""], top=1)
    assert [result["input"] for result in results][2] == ""
    names = [result["classes"][0]["name"] for result in results]
    assert names[:2] == ["splendid", "dull"]


def test_the_model_is_plain_keras_on_tokens_of_any_padding(finished):
    tokens, _ = data.encode(
        finished.tokenizer, ["word1 dull word2"], max_tokens=3, keep_tokens="last"
    )
    short = finished.model.predict(tokens, verbose=0)
    long = finished.model.predict(np.pad(tokens, ((0, 0), (0, 9))), verbose=0)
    np.testing.assert_allclose(long, short, atol=1e-5)
    config = json.dumps(finished.model.get_config(), default=str)
    assert "classicnets" not in config


def test_the_exported_model_scores_as_the_training_did(finished):
    best = finished.status["best"]["top1"]
    assert finished.metrics["validation"]["top1"] == pytest.approx(best)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_run_in_bfloat16_exports_float32(tmp_path, tiny_texts, pooling):
    options = SMALL["network_options"] | {"pooling": pooling}
    run = train(
        tmp_path,
        tiny_texts(),
        epochs=1,
        precision="mixed_bfloat16",
        network_options=options,
    )
    assert all(weight.dtype == "float32" for weight in run.model.weights)
    assert run.model.layers[-1].compute_dtype == "float32"


def test_the_page_shows_the_texts_and_escapes_them(finished):
    finished.evaluate()
    from classicnets.reports import report

    page = report.write(finished).read_text(encoding="utf-8")
    assert "&lt;odd&gt; &amp; long" in page
    assert "<odd>" not in page
    assert "Short texts and long ones" in page


def test_chinese_is_read_by_its_characters(tmp_path, tiny_texts):
    source = tiny_texts(("这部电影很好看", "非常无聊"), train=240, test=20)
    run = train(tmp_path, source, epochs=10)
    assert run.evaluate()["top1"] > 0.9
    results = cn.predict(run, ["真好看"], top=1)
    assert results[0]["classes"][0]["name"] == "这部电影很好看"


def test_other_data_are_judged_with_the_words_of_the_run(finished, tiny_texts):
    other = tiny_texts(("splendid", "dull", "<odd> & long"), train=30, test=12)
    with other.open("a", encoding="utf-8") as file:
        file.write("entirely new words,dull,test\n")
    assert finished.evaluate(data=str(other))["examples"] == 13


def test_commands_take_a_text_a_file_and_lines(finished, tmp_path):
    (tmp_path / "review.txt").write_text("dull", encoding="utf-8")
    (tmp_path / "broken.txt").write_bytes(b"caf\xe9")

    def predict(*arguments, lines=""):
        return subprocess.run(
            [sys.executable, "-m", "classicnets", "predict", finished.path, *arguments],
            input=lines,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    inputs = ("-", "review.txt", "--text", "splendid", "--json", "--top", "1")
    done = predict(*inputs, lines="dull\n\nsplendid\n")
    assert done.returncode == 2, done.stderr  # a line is blank
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert results.pop(2) == {"input": "", "error": "line 2 is blank"}
    assert [(each["input"], each["classes"][0]["name"]) for each in results] == [
        ("splendid", "splendid"),
        ("dull", "dull"),
        ("splendid", "splendid"),
        ("review.txt", "dull"),
    ]
    done = predict("broken.txt", "review.txt")
    assert done.returncode == 2
    assert "broken.txt is not a text: it is not UTF-8 at byte 3" in done.stderr
    assert "review.txt  dull" in done.stdout
    assert predict().returncode == 2


def test_batches_hold_every_text_once_and_texts_of_like_lengths(tiny_texts):
    splits = data.load(tiny_texts(train=400, test=4, longest=60), max_tokens=64)
    settings = recipe.build(SMALL | {"data": "x", "batch_size": 8, "steps_per_call": 1})
    tokens = Tokens(settings, splits.train)
    count = len(splits.train) // 8 * 8
    order = tokens.order(0, count)
    assert len(np.unique(order)) == count
    widths = [
        tokens.rows({"index": row[None]})["tokens"].shape[-1]
        for row in order.reshape(-1, 8)
    ]
    assert len(set(widths)) > 1
    assert set(widths) <= {64, 46, 32, 23, 16, 12, 8, 6, 4, 3, 2}
    assert sorted(widths) != widths  # the calls come in a random order
    assert np.mean(widths) < 48
    np.testing.assert_array_equal(tokens.order(0, count), order)
    assert (tokens.order(1, count) != order).any()


def test_windows_show_the_whole_of_longer_texts(tmp_path):
    """Texts count upwards, so that a window is a run of neighbours."""
    source = tmp_path / "counted.csv"
    long = [" ".join(f"n{k:02}" for k in range(30)) for _ in range(8)]
    lines = ["text,label,split", *(f"{text},a,train" for text in long)]
    lines += ["n00 n01,b,train"] * 8 + ["n00,a,test", "n01,b,test"] * 4
    source.write_text("\n".join(lines))
    splits = data.load(str(source), max_tokens=10, validation_fraction=0.2)
    settings = recipe.build(SMALL | {"data": str(source), "random_windows": 0.75})
    inputs = Tokens(settings, splits.train)
    words = splits.tokenizer.get_vocab()
    name = {number: word for word, number in words.items()}
    firsts, shorts = [], set()
    for epoch in range(40):
        index = inputs.order(epoch, 8).reshape(1, 8)
        batch = inputs.rows({"index": index, **inputs.draws(1, epoch)})["tokens"][0]
        assert batch.shape == (8, 10)
        for row, example in zip(batch, index[0]):
            read = [name[token] for token in row if token]
            if splits.train.lengths[example] == 30:
                firsts.append(int(read[0][1:]))
                assert read == [f"n{k:02}" for k in range(firsts[-1], firsts[-1] + 10)]
            else:
                shorts.add(" ".join(read))
    assert shorts == {"n00 n01"}
    assert set(firsts) == set(range(21))
    share = np.mean([first == 20 for first in firsts])
    expected = 0.25 + 0.75 / 21
    assert share == pytest.approx(expected, abs=4 * (0.25 / len(firsts)) ** 0.5)
    # The place just below 1 is the last window: texts are 30 words, a window is 10.
    latest = {"index": index, "window": np.full((1, 8), 0.999, "float32")}
    for row, example in zip(inputs.rows(latest)["tokens"][0], index[0]):
        assert splits.train.lengths[example] < 30 or name[row[0]] == "n20"
    same = inputs.draws(1, 3)["window"]
    np.testing.assert_array_equal(inputs.draws(1, 3)["window"], same)


def test_word_vectors_are_where_the_embedding_starts(tmp_path, tiny_texts):
    source = tiny_texts()
    changes = {"word_vectors": True, "learning_rate": 0.0, "epochs": 1}
    run = train(tmp_path, source, **changes)
    splits = data.load(source, max_tokens=SMALL["max_tokens"], progress=False)
    table = np.asarray(run.model.get_layer("embedding").embeddings)
    assert np.array_equal(table, data.word_vectors(splits.train, *table.shape))


def test_word_vectors_are_for_texts(tmp_path):
    images = {"network": "resnet20", "network_options": {}, "max_tokens": 400}
    with pytest.raises(cn.UserError, match="is for texts, resnet20 takes images"):
        train(tmp_path, "digits", word_vectors=True, **images)


def test_cutting_the_padding_takes_no_token():
    tokens = np.zeros((3, 10), "int32")
    tokens[1, :6] = 7
    assert trim(tokens).shape == (3, 8)
    assert trim(tokens).sum() == tokens.sum()
    assert trim(np.ones((2, 10), "int32")).shape == (2, 10)


def test_results_come_in_the_order_of_the_texts():
    tokens = np.zeros((7, 8), "int32")
    for row, length in enumerate((8, 1, 3, 2, 7, 5, 4)):
        tokens[row, :length] = row + 1
    largest = in_batches(lambda batch: batch.max(axis=1), tokens, 3)
    np.testing.assert_array_equal(largest, np.arange(7) + 1)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"flip": True}, "flip is for images, and tiny.csv has texts"),
        ({"network": "resnet20", "network_options": {}}, "resnet20 takes images"),
        ({"weights": __file__}, "weights are for images, and .* has texts"),
        ({"keep_tokens": "middle"}, "keep_tokens must be one of first, last, ends"),
    ],
)
def test_what_does_not_suit_texts_is_refused(tmp_path, tiny_texts, changes, message):
    with pytest.raises(cn.UserError, match=message):
        train(tmp_path, tiny_texts(), **changes)
    assert not (tmp_path / "runs").exists()


def test_a_run_on_images_takes_no_text(tmp_path, tiny_set):
    built = recipe.build(
        {"network": "resnet20", "data": str(tiny_set()), "epochs": 1, "batch_size": 6}
    )
    run = cn.train(built, runs=tmp_path, name="images", verbose=False)
    done = subprocess.run(
        [sys.executable, "-m", "classicnets", "predict", run.path, "--text", "hello"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "takes images: --text is for texts" in done.stderr


def test_without_fast_kernels_the_scores_are_the_same(tmp_path, tiny_texts):
    """Before any step: the same weights, by the kernel and by the layer."""
    splits = data.load(tiny_texts(), max_tokens=16)
    keras.utils.set_random_seed(0)
    network = cn.create("lstm", (None,), 2, units=(6, 5), **splits.network_options)
    scores = []
    for fast in (True, False):
        settings = recipe.build(SMALL | {"data": "x", "fast_kernels": fast})
        task = TASKS["classify"](network, settings, splits)
        scores.append(task.outputs(splits.train.inputs))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)
