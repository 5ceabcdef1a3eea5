"""Whole runs, small: every recipe, every choice, and what a run leaves behind."""

import csv
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

import classicnets as cn
from classicnets import data, networks, recipe, training
from classicnets.inference import evaluation
from classicnets.runs.run import Run

SMALL = {
    "epochs": 1,
    "batch_size": 8,
    "validation_fraction": 0.25,
    "learning_rate": 0.01,
    "warmup_epochs": 0.0,
    "evaluation_batch_size": 16,
}


def train(tmp_path, source="resnet20-digits", **changes):
    return cn.train(source, runs=tmp_path / "runs", verbose=False, **SMALL | changes)


# What makes a recipe's network, and its work, small; the shape stays the recipe's own.
TINY_OPTIONS = {"dcgan": {"filters": 4}, "wgan_gp_resnet": {"filters": 8}}


def every_recipe():
    """Yield the recipes; all but the first of a network and objective as thorough."""
    earlier = set()
    # Those for own data come last: the others are of the papers' sizes.
    for name in sorted(recipe.names(), key=lambda name: not recipe.load(name).data):
        network = (recipe.load(name).network, recipe.load(name).objective)
        marks = [pytest.mark.thorough] * (network in earlier)
        earlier.add(network)
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", list(every_recipe()))
def test_every_recipe_trains_two_steps_from_end_to_end(
    name, tmp_path, tiny_set, tiny_texts
):
    shipped = recipe.load(name)
    channels = 1 if shipped.data in ("digits", "mnist") else 3
    if networks.reads_texts(shipped.network) and shipped.data != "digits":
        data = tiny_texts(words=("a", "b", "c", "d"), train=16, test=5)
    else:
        side = {"mnist": 28, "anime_faces": 64}.get(shipped.data, 32)
        data = tiny_set(classes=4, train=16, test=5, shape=(side, side, channels))
    changes = {"data": str(data), "batch_size": 6, "progressive_sizes": []}
    if shipped.weights:
        changes |= {"weights": "", "freeze": False}
    if shipped.task == "generate":
        turns = min(shipped.critic_steps, 2)
        changes |= {"batch_size": 3, "critic_steps": turns}
        tiny = TINY_OPTIONS.get(shipped.network, {})
        changes["network_options"] = shipped.network_options | tiny
    run = train(tmp_path, name, **changes)

    assert run.status["state"] == "finished"
    assert len(run.history) == 1
    losses = {key for key in run.history[0] if key.endswith("loss")}
    assert losses
    assert all(np.isfinite(run.history[0][key]) for key in losses)
    assert run.metrics["validation"]["examples"] == 4
    assert run.evaluate()["examples"] == 5
    assert (run.path / "report.html").stat().st_size > 10_000


def test_a_trained_network_knows_what_it_was_taught(tmp_path):
    """Bright against dark pictures; the wrong scaling or label order would not do.

    A validation of 90 pictures keeps no epoch that was right by luck, as one of 22 did
    on some processors.
    """
    path = tmp_path / "brightness.npz"
    random = np.random.default_rng(0)
    labels = np.arange(480) % 2
    images = (
        random.integers(120, size=(480, 8, 8, 1)) + 130 * labels[:, None, None, None]
    )
    arrays = {"x": images.astype(np.uint8), "y": labels}
    np.savez(
        path,
        **{f"{key}_train": value[:360] for key, value in arrays.items()},
        **{f"{key}_test": value[360:] for key, value in arrays.items()},
    )
    run = train(tmp_path, data=str(path), epochs=4, learning_rate=0.02, crop_padding=0)
    metrics = run.evaluate()
    assert metrics["examples"] == 120
    assert metrics["top1"] == 1.0
    assert metrics["confusion"] == [[60, 0], [0, 60]]
    # Several epochs have all validation pictures right: the lowest loss is kept.
    rows = [row for row in run.history if row["validation_top1"] == 1.0]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert run.status["best"]["epoch"] == best["epoch"] > rows[0]["epoch"]
    assert run.metrics["validation"]["loss"] == pytest.approx(
        best["validation_loss"], rel=1e-3
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run on digits that several tests look at."""
    folder = tmp_path_factory.mktemp("finished")
    return cn.train("resnet20-digits", runs=folder, verbose=False, **SMALL)


def test_a_run_leaves_its_files(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert {
        "recipe.toml",
        "environment.json",
        "status.json",
        "history.csv",
        "metrics.json",
        "model.keras",
        "report.html",
        "checkpoints",
        "samples",
    } <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    with (finished.path / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert {"epoch", "loss", "accuracy", "validation_loss", "learning_rate"} <= set(row)


def test_the_model_takes_raw_pixels_of_any_batch_size(finished):
    pixels = np.random.default_rng(0).integers(256, size=(7, 16, 16, 1), dtype=np.uint8)
    model = Run(finished.path).model
    seven = ops.convert_to_numpy(model(pixels))
    one = ops.convert_to_numpy(model(pixels[:1]))
    assert seven.shape == (7, 10)
    np.testing.assert_allclose(one, seven[:1], atol=1e-4)


def test_metrics_count_every_example_of_the_split(finished):
    metrics = json.loads((finished.path / "metrics.json").read_text())
    validation = metrics["validation"]
    confusion = np.array(validation["confusion"])
    assert confusion.sum() == validation["examples"]
    assert validation["top1"] == pytest.approx(
        np.trace(confusion) / validation["examples"]
    )


def test_the_exported_model_scores_as_the_training_did(finished):
    epoch = finished.history[0]
    found = finished.metrics["validation"]
    assert found["loss"] == pytest.approx(epoch["validation_loss"], rel=1e-3)
    assert found["top1"] == pytest.approx(epoch["validation_top1"], abs=1e-6)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path, tiny_set):
    data = str(tiny_set())
    losses = [
        train(tmp_path, data=data, seed=seed, epochs=2).history[-1]["loss"]
        for seed in (3, 3, 4)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] != pytest.approx(losses[2], rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1, "cutout": 4},
        {"balance": "weights", "mixup": 0.2, "precision": "mixed_bfloat16"},
        {"balance": "sampling"},
        {"precision": "mixed_bfloat16"},
        {"precision": "mixed_float16"},
        {"progressive_sizes": [[0, 4], [1, 8]], "epochs": 2},
        {"fast_kernels": False, "normalize": False, "decay_all": False},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_choices_of_a_recipe_train(changes, tmp_path, tiny_set):
    run = train(tmp_path, data=str(tiny_set()), **changes)
    assert np.isfinite(run.history[-1]["loss"])
    assert run.metrics["validation"]["examples"] == 6


def test_data_that_are_fed_train_as_those_on_the_device(
    tmp_path, tiny_set, monkeypatch
):
    data = str(tiny_set())
    monkeypatch.setattr("classicnets.engine.device_bytes", lambda: 2**30)
    near = train(tmp_path, data=data)
    monkeypatch.setattr("classicnets.engine.device_bytes", lambda: 0)
    fed = train(tmp_path, data=data)
    assert fed.history[0]["loss"] == pytest.approx(near.history[0]["loss"], rel=1e-4)


def test_a_batch_larger_than_the_data_is_made_smaller(tmp_path, tiny_set):
    run = train(tmp_path, data=str(tiny_set()), batch_size=1000)
    assert run.recipe.batch_size == 18


def test_a_head_alone_is_trained_on_given_weights(tmp_path, tiny_set):
    first = train(tmp_path, data=str(tiny_set(classes=3)))
    weights = str(first.path / "model.keras")
    run = train(tmp_path, data=str(tiny_set(classes=4)), weights=weights, freeze=True)
    before, after = first.model.get_layer("resnet20"), run.model.get_layer("resnet20")
    kernel = before.get_layer("stem_conv").kernel
    np.testing.assert_array_equal(kernel, after.get_layer("stem_conv").kernel)
    moving = before.get_layer("stem_norm").moving_mean
    np.testing.assert_array_equal(moving, after.get_layer("stem_norm").moving_mean)
    assert after.get_layer("logits").kernel.shape[-1] == 4


def test_layers_that_the_weights_do_not_fit_are_trained_with_the_head(
    tmp_path, tiny_set
):
    class Trained(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            layers = self.model.layers
            self.names = [layer.name for layer in layers if layer.trainable_variables]

    def vgg(units, **changes):
        options = {"hidden_units": [units]}
        return train(
            tmp_path,
            data=str(tiny_set()),
            image_size=32,
            network="vgg11",
            network_options=options,
            **changes,
        )

    weights = str(vgg(8).path / "model.keras")
    seen = Trained()
    vgg(6, weights=weights, freeze=True, callbacks=[seen])
    assert seen.names == ["hidden1", "logits"]


def test_keras_callbacks_see_the_epochs_and_can_stop(tmp_path, tiny_set):
    class Stop(keras.callbacks.Callback):
        seen = ()

        def on_epoch_end(self, epoch, logs=None):
            self.seen = (*self.seen, (epoch, sorted(logs)))
            self.model.stop_training = epoch == 1

    stop = Stop()
    run = train(tmp_path, data=str(tiny_set()), epochs=5, callbacks=[stop])
    assert [epoch for epoch, _ in stop.seen] == [0, 1]
    assert {"loss", "validation_loss"} <= set(stop.seen[0][1])
    assert len(run.history) == 2


def test_keras_callbacks_watch_what_they_watch_in_keras(tmp_path, tiny_set):
    still = {"learning_rate": 0.0, "fast_kernels": False, "epochs": 9}
    best = tmp_path / "{epoch}-{val_loss:.2f}.keras"
    for number, watching in enumerate(
        (
            keras.callbacks.EarlyStopping(patience=1, min_delta=0.1),
            keras.callbacks.EarlyStopping("val_accuracy", patience=1),
            keras.callbacks.EarlyStopping("loss", mode="min", patience=1, min_delta=1),
            keras.callbacks.ModelCheckpoint(best, "val_accuracy", save_best_only=True),
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        )
    ):
        data = str(tiny_set())
        run = train(tmp_path, data=data, callbacks=[watching], **still)
        assert len(run.history) < 9 or number > 2, watching
    rows = run.history
    saved = list(tmp_path.glob("*.keras"))
    top = [row["validation_top1"] for row in rows]
    assert len(saved) == sum(v > max([-1, *top[:k]]) for k, v in enumerate(top)) < 9
    with (tmp_path / "log.csv").open() as file:
        logged = list(csv.DictReader(file))
    for row, log in zip(rows, logged, strict=True):
        assert float(log["val_loss"]) == pytest.approx(row["validation_loss"])
        assert float(log["val_accuracy"]) == pytest.approx(row["validation_top1"])


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (keras.callbacks.EarlyStopping("val_acc"), "'val_acc', which is not measured"),
        (keras.callbacks.EarlyStopping("val_auc"), "'val_auc', which is not measured"),
        (
            keras.callbacks.ReduceLROnPlateau("val_loss"),
            "schedule, warmup_epochs, milestones",
        ),
        (keras.callbacks.LearningRateScheduler(lambda e: 0.1), "schedule"),
        (keras.callbacks.BackupAndRestore("backup"), "classicnets resume RUN"),
        (lambda: None, "instances of keras.callbacks.Callback"),
    ],
)
def test_callbacks_without_effect_are_one_line(tmp_path, tiny_set, callback, words):
    with pytest.raises(cn.UserError, match=words) as raised:
        train(tmp_path, data=str(tiny_set()), callbacks=[callback])
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_training_stops_early_and_keeps_the_best_epoch(tmp_path, tiny_set):
    # A learning rate of 0 never gets better than its first epoch.
    run = train(
        tmp_path,
        data=str(tiny_set()),
        epochs=9,
        early_stopping=2,
        learning_rate=0.0,
        fast_kernels=False,
    )
    assert len(run.history) < 9
    best = max(row["validation_top1"] for row in run.history)
    assert run.metrics["validation"]["top1"] == pytest.approx(best)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(tmp_path, tiny_set):
    loss = r"the loss is (nan|inf) in epoch \d, step \d of it, on the training examples"
    # Batch norm may hide huge weights from the loss.
    with pytest.raises(cn.RunError, match=rf"{loss}|(best|step)-\d+ is not saved"):
        train(tmp_path, data=str(tiny_set()), learning_rate=1e38, epochs=4)
    (folder,) = (tmp_path / "runs").iterdir()
    assert Run(folder).status["state"] == "failed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "resnet19"}, "resnet19"),
        ({"network_options": {"dept": 3}}, "has no option 'dept'"),
        ({"freeze": True}, "freeze trains the head alone, so it needs weights"),
        ({"weights": "no.keras", "data": "no"}, "weights must be an existing file"),
        ({"data": "digit"}, "Did you mean 'digits'"),
        ({"epoch": 3}, "unknown key 'epoch'. Did you mean 'epochs'?"),
        ({"network": "vgg11"}, "32"),
        (
            {"network": "vgg11", "image_size": 32, "progressive_sizes": [[0, 16]]},
            "progressive_sizes must suit the network, vgg11 cannot take 16x16.",
        ),
    ],
    ids=str,
)
def test_wrong_input_is_a_user_error_and_leaves_no_run(
    changes, message, tmp_path, tiny_set
):
    changes = {"data": str(tiny_set())} | changes
    with pytest.raises(cn.UserError, match=re.escape(message)):
        train(tmp_path, **changes)
    assert not (tmp_path / "runs").exists()


def test_other_data_with_other_classes_are_refused(finished, tiny_set):
    with pytest.raises(cn.UserError, match="the model knows the classes 0, 1, 2, 3, …"):
        evaluation.evaluate(finished, data=str(tiny_set(classes=12, shape=(16, 16, 1))))


def test_other_data_are_judged_as_a_whole_and_may_lack_classes(finished, tmp_path):
    digits = data.load("digits", data.Options(image_size=16))
    images, labels = digits.train.inputs, digits.train.labels
    for number in (3, 7):
        (tmp_path / "new" / str(number)).mkdir(parents=True)
        for row in np.flatnonzero(labels == number)[:25]:
            picture = Image.fromarray(images[row][..., 0])
            picture.save(tmp_path / "new" / str(number) / f"{row}.png")
    command = [sys.executable, "-m", "classicnets", "evaluate", str(finished.path)]
    command += ["--data", str(tmp_path / "new"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "new has no test split: all 50 examples are judged" in done.stderr
    found = json.loads(done.stdout)
    assert found["examples"] == 50
    counts = [row["examples"] for row in found["per_class"]]
    assert counts == [0, 0, 0, 25, 0, 0, 0, 25, 0, 0]
    rows = np.flatnonzero(labels == 7)[:25]
    answers = Run(finished.path).model(images[np.sort(rows)])
    right = np.argmax(ops.convert_to_numpy(answers), axis=1) == 7
    assert found["confusion"][7][7] == right.sum()
    assert "7" in found["per_class"][7]["name"]


def test_a_split_that_does_not_exist_is_refused(finished):
    with pytest.raises(cn.UserError, match="split must be one of train, validation"):
        finished.evaluate("tset")


def test_training_leaves_the_policy_of_the_process_alone(tmp_path, tiny_set):
    train(tmp_path, data=str(tiny_set()), precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("precision", "device", "flags", "warns"),
    [
        ("mixed_bfloat16", "CPU", ["avx2"], True),
        ("mixed_bfloat16", "CPU", ["avx512f", "avx512_bf16"], True),
        ("mixed_bfloat16", "CPU", ["avx512_bf16", "amx_bf16"], False),
        ("mixed_bfloat16", "CPU", ["sse4a", "avx512_bf16"], False),  # AMD
        ("mixed_bfloat16", "CPU", ["sse4a", "avx2"], True),
        ("mixed_bfloat16", "CPU", ["asimd", "bf16"], False),  # ARM
        ("mixed_bfloat16", "CPU", [], False),  # the system does not tell
        ("mixed_bfloat16", "NVIDIA H100", ["avx2"], False),
        ("float32", "CPU", ["avx2"], False),
    ],
)
def test_a_precision_without_units_for_it_is_noted(precision, device, flags, warns):
    settings = recipe.build(
        {"network": "resnet20", "data": "digits", "epochs": 1, "precision": precision}
    )
    notes = training._slow_precision(settings, device, flags=flags)
    assert [("--set precision=float32" in note) for note in notes] == [True] * warns
