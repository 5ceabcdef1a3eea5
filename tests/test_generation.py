"""Runs that make images: what they learn, leave behind and refuse."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

import classicnets as cn
from classicnets import networks, recipe
from classicnets.inference import sampling
from classicnets.runs import checkpoint
from classicnets.runs.run import Run
from classicnets.tasks.generate import Generate

VAE = {"epochs": 2, "sample_epochs": 1, "image_size": 8, "batch_size": 32}
GAN = {
    "epochs": 2,
    "sample_epochs": 2,
    "image_size": 8,
    "critic_steps": 2,
    "batch_size": 16,
    "network_options": {"filters": 4, "normalization": "layer"},
}


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    return cn.train("vae-digits", runs=folder, verbose=False, **VAE)


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gan")
    return cn.train("wgan_gp-digits", runs=folder, verbose=False, **GAN)


def files(run):
    return {p.relative_to(run.path).as_posix() for p in run.path.rglob("*.*")}


def test_a_vae_leaves_its_networks_and_pictures(vae):
    assert files(vae) >= {
        *("model.keras", "encoder.keras", "decoder.keras", "report.html"),
        *("samples/epoch-0001.png", "samples/epoch-0002.png"),
        *("samples/reconstructions.png", "samples/interpolation.png"),
        "samples/training.png",
    }
    assert len(list((vae.path / "checkpoints").glob("step-*.safetensors"))) == 1
    with Image.open(vae.path / "samples" / "training.png") as animation:
        assert animation.n_frames == 2


def test_a_gan_leaves_its_networks_and_pictures(gan):
    assert files(gan) >= {
        *("generator.keras", "critic.keras", "samples/epoch-0002.png"),
        *("samples/interpolation.png", "samples/training.png", "report.html"),
    }
    assert "model.keras" not in files(gan)


def test_the_history_of_a_gan_names_what_a_reader_understands(gan):
    first, second = gan.history
    assert {"critic_loss", "distance", "penalty", "generator_loss"} <= set(second)
    assert "validation_kid" not in first  # measured with the pictures
    assert np.isfinite(second["validation_kid"])
    for row in gan.history:
        expected = -row["distance"] + 10.0 * row["penalty"]
        assert row["critic_loss"] == pytest.approx(expected, rel=1e-4)


def test_the_history_of_a_vae_adds_up(vae):
    for row in vae.history:
        assert row["loss"] == pytest.approx(row["reconstruction"] + row["kl"])
        total = row["validation_reconstruction"] + row["validation_kl"]
        assert row["validation_loss"] == pytest.approx(total)
    assert vae.history[1]["loss"] < vae.history[0]["loss"]


def test_networks_of_a_run_take_and_give_raw_pixels(vae, gan):
    pixels = np.random.default_rng(0).integers(256, size=(5, 8, 8, 1), dtype=np.uint8)
    codes = np.random.default_rng(0).normal(size=(5, 10)).astype("float32")
    mean, log_variance = Run(vae.path).load("encoder")(pixels)
    assert mean.shape == log_variance.shape == (5, 10)
    decoded = ops.convert_to_numpy(Run(vae.path).load("decoder")(codes))
    generator = Run(gan.path).load("generator")
    noise = np.zeros((5, generator.input_shape[-1]), "float32")
    generated = ops.convert_to_numpy(generator(noise))
    for images in (decoded, generated):
        assert images.shape == (5, 8, 8, 1)
        assert images.dtype == np.uint8
    assert Run(gan.path).load("critic")(pixels).shape == (5, 1)


def test_the_evaluation_of_a_vae_agrees_with_its_training(vae):
    metrics = vae.metrics["validation"]
    best = min(row["validation_loss"] for row in vae.history)
    assert metrics["elbo"] == pytest.approx(best, rel=1e-3)
    terms = metrics["reconstruction"] + metrics["kl"]
    assert metrics["elbo"] == pytest.approx(terms)
    assert metrics["examples"] == 145


def test_the_best_epoch_is_kept_with_its_averages(tmp_path):
    """From the third epoch on, a hundred times the rate spoils what was learned."""
    spoilt = {"schedule": "step", "milestones": [2], "step_factor": 100.0, "ema": 0.5}
    changes = VAE | spoilt | {"epochs": 4, "sample_epochs": 4}
    run = cn.train("vae-digits", runs=tmp_path, verbose=False, **changes)
    losses = [row["validation_loss"] for row in run.history]
    assert np.argmin(losses) == 1
    assert min(losses[2:]) > 1.03 * losses[1]
    assert run.metrics["validation"]["elbo"] == pytest.approx(losses[1], rel=1e-3)


def test_the_importance_weighted_likelihood_is_tighter_than_the_elbo(tmp_path):
    run = cn.train(
        "vae-digits", runs=tmp_path, verbose=False, **VAE | {"binarize": True}
    )
    metrics = run.evaluate()
    assert metrics["examples"] == 359
    assert metrics["importance_samples"] == 100
    assert 0 < metrics["nll"] < metrics["elbo"]


def test_a_gan_is_judged_against_as_many_real_images(gan):
    metrics = gan.evaluate()
    assert metrics["examples"] == metrics["real_examples"] == 359
    assert 0 <= metrics["fid_floor"] < metrics["fid"]
    assert metrics["kid_floor"] < metrics["kid"]


def test_the_same_seed_draws_the_same_images(gan):
    first, again = sampling.sample(gan, 7, seed=3), sampling.sample(gan, 7, seed=3)
    np.testing.assert_array_equal(first, again)
    assert (sampling.sample(gan, 7, seed=4) != first).any()
    # Batches are filled up: what is drawn does not depend on how many are.
    np.testing.assert_array_equal(sampling.sample(gan, 130, seed=3)[:7], first)


def test_the_report_shows_the_pictures(vae, gan):
    for run in (vae, gan):
        page = (run.path / "report.html").read_text()
        assert page.count("data:image/png") >= 3


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Return the path of 40 pictures of 8x8, half of them white."""
    images = np.zeros((40, 8, 8, 1), np.uint8)
    images[::2] = 255
    path = tmp_path_factory.mktemp("squares") / "squares.npz"
    np.savez(path, x_train=images, x_test=images[:8])
    return path


def task_of(source, **changes):
    """Return a task on a pair with small networks."""
    from classicnets import data

    values = {
        "network": "dcgan",
        "data": str(source),
        "epochs": 1,
        "batch_size": 4,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "network_options": {"filters": 2, "latent_size": 3, "normalization": "none"},
        **changes,
    }
    settings = recipe.build(values)
    splits = data.load(str(source), labelled=False)
    pair = networks.create_pair(
        settings.network, splits.input_shape, **settings.network_options
    )
    return Generate(pair, settings, splits)


def take_steps(task, rows=2):
    index = np.arange(rows * int(np.prod(task.batch_shape)))
    batches = {
        "index": (index % 30).reshape(rows, *task.batch_shape).astype("int32"),
        "learning_rate": np.full(rows, 1e-3, "float32"),
    }
    return task.train(batches, rows)


def test_a_checkpoint_holds_both_optimizers_and_the_averages(squares, tmp_path):
    task = task_of(squares, objective="wgan_gp", ema=0.9)
    take_steps(task)
    path = tmp_path / "last.safetensors"
    checkpoint.write(path, task.state, {})
    other = task_of(squares, objective="wgan_gp", ema=0.9)
    checkpoint.restore(path, other.state)
    for ours, theirs in zip(task.state, other.state):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (ours, theirs)))
    assert int(other.critic_optimizer.iterations) == 2


WRONG = {
    "batch normalization": {
        "image_size": 16,
        "network_options": {"filters": 4, "normalization": "batch"},
    },
    "is for the task reconstruct": {"network": "vae", "network_options": {}},
    "must be one of wgan_gp, gan": {"objective": "bernoulli"},
    "mixup is for a classifier or a regressor": {"mixup": 0.2},
    "early_stopping is for a classifier or a regressor": {"early_stopping": 3},
    "has no option": {"network_options": {"depth": 3}},
    "weights is for a classifier or a regressor": {"weights": "x.keras"},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_go_together_is_one_line(message, tmp_path):
    with pytest.raises(cn.UserError, match=message):
        cn.train("wgan_gp-digits", runs=tmp_path, verbose=False, **GAN | WRONG[message])
    assert not any(tmp_path.iterdir())


def test_a_task_is_not_asked_for_what_another_one_does(gan, vae):
    for run in (gan, vae):
        with pytest.raises(cn.UserError, match="no classes to predict"):
            cn.predict(run, ["cat.jpg"])
    with pytest.raises(cn.UserError, match="has no decoder"):
        sampling.reconstruct(gan, np.zeros((1, 8, 8, 1), np.uint8))


def test_a_vae_trains_in_bfloat16(tmp_path):
    if keras.backend.backend() == "torch":
        pytest.skip("slow on PyTorch's CPU")
    changes = {"precision": "mixed_bfloat16", "epochs": 1}
    run = cn.train("vae-digits", runs=tmp_path, verbose=False, **VAE | changes)
    assert np.isfinite(run.history[0]["loss"])
    assert run.metrics["validation"]["elbo"] == pytest.approx(
        run.history[0]["validation_loss"], rel=0.02
    )


def test_a_gan_of_too_few_images_to_judge_is_trained_without_kid(tmp_path, tiny_set):
    data = tiny_set(classes=2, train=8, test=2, shape=(8, 8, 1))
    changes = GAN | {"data": str(data), "batch_size": 4, "validation_fraction": 0.2}
    run = cn.train("wgan_gp-digits", runs=tmp_path, verbose=False, **changes)
    assert run.status["state"] == "finished"
    assert run.metrics["validation"]["examples"] < 4
    assert "kid" not in run.metrics["validation"]
    assert run.evaluate()["examples"] == 2
    assert run.path.joinpath("report.html").is_file()
