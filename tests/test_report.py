"""The page about a run: complete, honest about gaps, safe, on its own."""

import ast
import base64
import html
import io
import re
import shlex

import numpy as np
import pytest
from pages import Page
from PIL import Image

from classicnets import pictures
from classicnets import recipe as recipes
from classicnets.reports import animation, classify, figures, report
from classicnets.reports import generative as generative_page
from classicnets.runs import new

RECIPE = {"network": "resnet20", "data": "digits", "epochs": 3, "seed": 5}


@pytest.fixture
def run(tmp_path):
    return create(tmp_path / "runs", "small", backend="jax")


def create(folder, name, *, changes=(), **environment):
    recipe = recipes.build(RECIPE | dict(changes))
    return new.create(folder, name, recipe, environment=environment)


def written(run):
    return Page(report.write(run).read_text(encoding="utf-8"))


def measure(run, names, *, split="test", seed=0, examples=60):
    """Save metrics and samples of a guesser that is right two times in three."""
    random = np.random.default_rng(seed)
    labels = random.integers(len(names), size=examples)
    guesses = random.integers(len(names), size=examples)
    predicted = np.where(random.random(examples) < 2 / 3, labels, guesses)
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (labels, predicted), 1)
    per_class = [
        {
            "name": name,
            "examples": confusion[i].sum(),
            "recall": confusion[i, i] / confusion[i].sum() if confusion[i].any() else 0,
            "precision": 0.5,
        }
        for i, name in enumerate(names)
    ]
    metrics = {"examples": examples, "loss": 0.75, "top1": 0.65, "top5": 0.9}
    metrics |= {"per_class": per_class, "confusion": confusion, "seconds": 0.1}
    run.save_metrics(split, metrics)
    samples = {"labels": labels[:9], "predicted": predicted[:9]}
    samples["images"] = random.integers(256, size=(9, 8, 8, 3), dtype=np.uint8)
    samples["probability"] = np.full(9, 0.875, np.float32)
    run.save_samples(split, samples)
    return confusion


def learn(run, epochs=3):
    for epoch in range(1, epochs + 1):
        row = {"loss": 1 / epoch, "accuracy": 1 - 0.5 / epoch, "learning_rate": 0.1}
        row |= {"validation_loss": 2 / epoch, "validation_top1": 1 - 0.9 / epoch}
        run.append_history({"epoch": epoch, **row, "seconds": 2.0})


def test_a_finished_run_shows_all_there_is(run):
    learn(run)
    measure(run, [f"class {i}" for i in range(10)])
    measure(run, [f"class {i}" for i in range(10)], split="validation")
    run.set_status("finished")
    page = written(run)
    assert "small-5" in page.text
    assert "resnet20 on digits · 3 epochs in 6.0 s · jax" in page.text
    assert "65.0 % of 60 test examples right" in page.text
    assert "not finished" not in page.text
    for chart in ("Loss", "Accuracy", "Learning rate", "best validation 70.0 %"):
        assert chart in page.text
    assert page.tags.count("svg") == 3
    assert page.tags.count("img") == 9
    assert "87.5 %" in page.text
    assert "--name small classicnets evaluate runs/small-5" in page.text
    assert "keras.saving.load_model('runs/small-5/model.keras')" in page.text
    assert "(n, 8, 8, 3) uint8" in page.text
    assert 'network = "resnet20"' in page.text


def test_the_headline_is_validation_when_test_was_not_opened_and_says_so(run):
    measure(run, ["a", "b"], split="validation")
    page = written(run)
    assert "of 60 validation examples right" in page.text
    assert "The test split has not been opened" in page.text


def test_the_interval_is_wilsons():
    # Brown, Cai and DasGupta (2001), Wilson's interval; the numbers from R:
    # prop.test(45, 50, correct = FALSE)$conf.int is 0.7863976 0.9565239.
    low, high = classify.interval({"examples": 50, "top1": 0.9})
    assert (low, high) == pytest.approx((0.7863976, 0.9565239), abs=2e-5)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("running", "had not finished when the report was written"),
        ("stopped", "was stopped before its end"),
        ("failed", "This run failed"),
    ],
)
def test_a_run_without_results_gives_a_page_that_says_so(run, state, says):
    run.set_status(state, reason="loss is not finite at step 14")
    page = written(run)
    assert says in page.text
    assert "0 of 3 epochs are recorded" in page.text
    assert "loss is not finite at step 14" in page.text
    assert "No split has been measured yet" in page.text
    assert "No epoch has been recorded" in page.text
    assert "This run has no model.keras yet" in page.text


def test_pieces_that_are_missing_from_an_evaluation_are_named(run):
    run.save_metrics("test", {"examples": 3, "top1": 1.0, "loss": float("nan")})
    (run.path / "environment.json").unlink()
    page = written(run)
    assert "100.0 % of 3 test examples right" in page.text
    assert "samples/test.npz is not there" in page.text
    assert "No confusion matrix was recorded" in page.text
    assert "No metrics by class were recorded" in page.text
    assert "environment.json is not there" in page.text


def test_the_best_epoch_is_named_as_the_file_counts_it(run):
    for epoch, loss in enumerate([3.0, 1.0, 2.0], start=1):
        run.append_history({"epoch": epoch, "validation_loss": loss})
    assert "best validation 1, epoch 2" in written(run).text


def test_values_that_are_not_finite_break_no_chart(run):
    run.append_history({"epoch": 1, "loss": 2.5, "learning_rate": 0.0})
    run.append_history({"epoch": 2, "loss": float("nan"), "learning_rate": 0.0})
    source = report.write(run).read_text()
    assert Page(source).tags.count("svg") == 2
    assert not re.search(r'(points|c[xy])="[^"]*(nan|inf)', source)


def test_a_stranger_s_text_is_never_markup(tmp_path):
    nasty = "<script>alert(1)</script>"
    recipe = {"network": "vgg11", "data": nasty, "seed": 0}
    run = create(tmp_path / "a & 'b'", "it's & me", changes=recipe, **{nasty: nasty})
    learn(run)
    run.set_status("failed", reason=nasty)
    for names in (["cat", nasty], [f"{nasty}{i}" for i in range(30)]):
        measure(run, names)
        page = written(run)
        assert "script" not in page.tags
        assert nasty in page.text
    assert "classicnets evaluate" in page.text


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_page_loads_nothing_from_elsewhere(run, classes):
    learn(run)
    measure(run, [str(i) for i in range(classes)], examples=500)
    source = report.write(run).read_text()
    page = Page(source)
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?://|@import|url\(", source)
    assert len(source) < 200_000


def test_the_commands_and_the_program_name_a_folder_with_spaces_rightly(tmp_path):
    run = create(tmp_path / "my runs", "it's me")
    source = html.unescape(report.write(run).read_text())
    train, evaluate = re.findall(r"^(?:<pre>)?(classicnets (?:tr|ev).*)$", source, re.M)
    words = ["classicnets", "train", "my runs/it's me-5/recipe.toml"]
    assert shlex.split(train) == [*words, "--name", "it's me"]
    assert shlex.split(evaluate) == ["classicnets", "evaluate", "my runs/it's me-5"]
    path = re.search(r"load_model\((.*)\)$", source, re.M).group(1)
    assert ast.literal_eval(path) == "my runs/it's me-5/model.keras"


def test_a_small_confusion_matrix_shows_every_count(run):
    confusion = measure(run, ["a", "b", "c"])
    source = report.write(run).read_text()
    cells = re.findall(r'<td class="(?:none|right|wrong)[^>]*>(\d+)</td>', source)
    assert [int(cell) for cell in cells] == confusion.ravel().tolist()


def test_a_large_confusion_matrix_lists_the_most_frequent_confusions(run):
    names = [f"class {i}" for i in range(40)]
    confusion = np.diag(np.full(40, 50))
    confusion[7, 3], confusion[3, 9] = 21, 34
    rows = classify._most_frequent(confusion, names)
    assert rows == [
        {"label": "class 3", "predicted": "class 9", "count": 34, "of": 84},
        {"label": "class 7", "predicted": "class 3", "count": 21, "of": 71},
    ]
    uri, side = figures.confusion_picture(confusion)
    pixels = np.asarray(opened(uri))
    step = side // 40
    assert pixels.shape == (side, side, 4)
    assert pixels[7 * step, 3 * step].tolist() == [213, 94, 0, 139]  # root of 21 / 71
    assert pixels[0, 0].tolist() == [0, 114, 178, 255]
    assert pixels[0, step, 3] == 0


def test_classes_come_worst_first_and_empty_ones_last():
    rows = [
        {"name": "good", "examples": 5, "recall": 1.0},
        {"name": "empty", "examples": 0, "recall": 0.0},
        {"name": "unknown", "examples": 4, "recall": None},
        {"name": "bad", "examples": 5, "recall": 0.2},
    ]
    order = [row["name"] for row in classify._worst_first(rows)]
    assert order == ["bad", "good", "empty", "unknown"]


@pytest.mark.parametrize(
    ("side", "shown"), [(8, 96), (28, 84), (32, 96), (64, 128), (500, 128)]
)
def test_pictures_are_enlarged_by_whole_factors(side, shown):
    image = np.random.default_rng(0).integers(256, size=(side, side, 1), dtype=np.uint8)
    uri, width, height = figures.picture(image)
    drawn = opened(uri)
    assert (width, height) == (shown, shown)
    assert width % drawn.width == 0
    if side <= 128:
        np.testing.assert_array_equal(np.asarray(drawn), image[..., 0])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.013, 0.094, [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]),
        (-3.0, 7.0, [-4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0]),
    ],
)
def test_ticks_are_round_and_cover_the_values(low, high, expected):
    assert figures.ticks(low, high, count=5) == expected


@pytest.mark.parametrize("value", [0.0, 0.1, -2.0, 1e-9, 1e9])
def test_a_single_value_has_ticks_around_it(value):
    found = figures.ticks(value, value, count=5)
    assert found[0] < value < found[-1]


def generative(tmp_path, network):
    recipe = {"network": network, "data": "mnist", "epochs": 30, "seed": 0}
    return create(tmp_path / "runs", network, changes=recipe, backend="jax")


def draw(run, *names, epochs=(), side=40):
    """Draw pictures of noise in samples/, and an animation of those of the epochs."""
    random = np.random.default_rng(0)
    (run.path / "samples").mkdir()
    grids = [f"epoch-{epoch:04d}" for epoch in epochs]
    for name in (*names, *grids):
        image = random.integers(256, size=(side, side, 3), dtype=np.uint8)
        png = pictures.encode_png(image)
        (run.path / "samples" / f"{name}.png").write_bytes(png)
    if epochs:
        frames = random.integers(256, size=(4, side, side, 3), dtype=np.uint8)
        png = animation.encode(list(frames))
        (run.path / "samples" / "training.png").write_bytes(png)


VAE = {"examples": 10000, "elbo": 101.934, "reconstruction": 76.812, "kl": 25.122}
VAE |= {"nll": 96.44, "importance_samples": 500, "protocol": "<b> 0 or 1", "seconds": 3}
GAN = {"examples": 3500, "real_examples": 700, "fid": 23.456, "fid_floor": 3.21}
GAN |= {"kid": 0.02345, "kid_deviation": 0.00213, "kid_floor": 0.00012, "seconds": 3}
GAN |= {"features": "resnet20 <64>"}


def test_the_page_of_a_vae_shows_its_bound_and_its_pictures(tmp_path):
    run = generative(tmp_path, "conv_vae")
    for epoch in (1, 2, 3):
        values = {"loss": 150 / epoch, "reconstruction": 140 / epoch, "kl": 5 + epoch}
        values |= {f"validation_{name}": value + 1 for name, value in values.items()}
        run.append_history({"epoch": epoch, "learning_rate": 1e-3, **values})
    draw(run, "reconstructions", "interpolation", "latent", epochs=(5, 10, 15))
    run.save_metrics("validation", VAE)
    run.save_metrics("test", VAE)
    (run.path / "decoder.keras").touch()
    run.set_status("finished")
    page = written(run)
    assert "101.93 nats per image: negative ELBO on 10,000 test images" in page.text
    assert "76.81 nats per image, reconstruction" in page.text
    assert "25.12 nats per image, KL divergence" in page.text
    assert "96.44 nats per image: negative log-likelihood at most" in page.text
    assert "<b> 0 or 1" in page.text
    assert "lower is better" in page.text
    for chart in ("Loss, nats", "Reconstruction, nats", "KL divergence, nats"):
        assert f"{chart} per image training validation" in page.text
    assert "best validation 51, epoch 3" in page.text
    assert page.tags.count("svg") == 4
    # the last grid, two earlier ones, the animation, and three more pictures
    assert page.tags.count("img") == 7
    assert "Epoch 15, the last on record" in page.text
    for heading in ("Reconstructions", "From one code to another", "The codes"):
        assert heading in page.text
    for command in ("evaluate", "sample", "reconstruct", "interpolate"):
        assert f"classicnets {command} runs/conv_vae-0" in page.text
    assert "yet" not in page.text


def test_the_page_of_a_gan_shows_its_distances_and_what_they_rest_on(tmp_path):
    run = generative(tmp_path, "wgan_gp")
    for epoch in range(1, 5):
        losses = {"critic_loss": -9.0, "distance": 10.0, "penalty": 0.1}
        row = {"epoch": epoch, "learning_rate": 1e-4, **losses, "generator_loss": 3.0}
        run.append_history(row | {"validation_kid": 0.1 if epoch % 2 else None})
    draw(run, "interpolation", epochs=(2, 4))
    run.save_metrics("validation", GAN)
    source = report.write(run).read_text(encoding="utf-8")
    page = Page(source)
    says = "23.46 FID of 3,500 generated images against 700 real ones, validation"
    assert says in page.text
    assert "Real images against other real ones: 3.21" in page.text
    assert "Features: resnet20 <64>" in page.text
    assert "0.0234 ± 0.0021" in page.text
    assert "real against real: 0.00012" in page.text
    assert "The test split has not been opened" in page.text
    assert page.tags.count("svg") == 6
    kid = re.search(r"<svg[^>]*KID.*?</svg>", source, re.S).group(0)
    assert kid.count("<circle") == 2
    assert "classicnets reconstruct" not in page.text
    assert "This run has no generator.keras yet" in page.text
    assert "Reconstructions" not in page.text


@pytest.mark.parametrize("network", ["vae", "gan"])
def test_a_run_with_nothing_yet_says_so_and_leaves_the_rest_out(tmp_path, network):
    page = written(generative(tmp_path, network))
    assert "No split has been measured yet" in page.text
    assert "No epoch has been recorded" in page.text
    assert "img" not in page.tags
    assert page.tags.count("h2") == 4  # learning, use, recipe, environment


def test_an_autoencoder_is_not_said_to_draw_samples(tmp_path):
    run = generative(tmp_path, "autoencoder")
    run.save_metrics("test", {"examples": 10, "reconstruction": 80.0, "seconds": 1.0})
    page = written(run)
    assert "80.00 nats per image: reconstruction of 10 test images" in page.text
    assert "classicnets reconstruct runs/autoencoder-0" in page.text
    for absent in ("classicnets sample", "classicnets interpolate", "ELBO", "KL"):
        assert absent not in page.text


def test_an_elbo_below_zero_is_not_called_its_negative(tmp_path):
    run = generative(tmp_path, "vae")
    run.save_metrics("test", VAE | {"elbo": -101.934})
    page = written(run)
    assert "-101.93 nats per image: ELBO on" in page.text
    assert "nearer to 0 is better" in page.text


def test_earlier_grids_are_thinned_and_in_the_order_of_epochs(tmp_path):
    run = generative(tmp_path, "dcgan")
    epochs = [1, *range(500, 12_001, 500)]
    draw(run, epochs=epochs)
    shown = [int(n) for n in re.findall(r"Epoch (\d+)", written(run).text)]
    assert shown[0] == 12_000
    assert len(shown) == 1 + 8
    assert shown[1:] == sorted(shown[1:])
    assert (shown[1], shown[-1]) == (1, 11_500)


def test_a_page_of_large_pictures_stays_a_few_megabytes(tmp_path):
    run = generative(tmp_path, "dcgan")
    draw(run, "interpolation", epochs=range(1, 12), side=400)
    source = report.write(run).read_text()
    page = Page(source)
    assert len(source) < 5_000_000  # of noise, the worst there is
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"https?://|@import|url\(", source)
    sizes = [opened(link).size for link in page.links]
    assert sizes[0] == (400, 400)
    assert max(max(size) for size in sizes[2:10]) == 288


@pytest.mark.parametrize(
    ("mean", "deviation", "says"),
    [
        (0.02345, 0.00213, "0.0234 ± 0.0021"),
        (0.5, 0.25, "0.50 ± 0.25"),
        (0.000123456, 0.0000456, "0.000123 ± 0.000046"),
        (31.25, 12.0, "31 ± 12"),
        (0.25, 0, "0.2500"),
        (None, None, "–"),
    ],
)
def test_a_deviation_is_written_with_two_digits(mean, deviation, says):
    assert generative_page.with_deviation(mean, deviation) == says


def test_the_program_of_the_page_makes_images(tmp_path, monkeypatch):
    keras = pytest.importorskip("keras")
    run = generative(tmp_path, "gan")
    noise = keras.Input((7,))
    grey = keras.layers.Dense(4 * 4, activation="sigmoid")(noise) * 255
    image = keras.layers.Reshape((4, 4, 1))(keras.ops.cast(grey, "uint8"))
    keras.Model(noise, image).save(run.path / "generator.keras")
    source = html.unescape(report.write(run).read_text())
    program = re.search(r"<pre>(import keras.*?)</pre>", source, re.S).group(1)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(program, names)
    assert names["images"].shape == (16, 4, 4, 1)
    assert names["images"].dtype == np.uint8


def test_long_numbers_have_room_beside_the_chart():
    line = figures.Line("learning rate", [(1, 1e-4), (2, 1e-4)])
    svg = figures.chart("Learning rate", [line])
    numbers = re.findall(r'anchor="end" x="(\d+)"[^>]*>([^<]+)<', svg)
    assert "0.000105" in [text for _, text in numbers]
    # 13 pixels high: a digit is about 7.5 wide
    assert all(int(x) >= 7.5 * len(text) for x, text in numbers)


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
