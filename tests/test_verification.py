"""`classicnets verify`: it passes on the package, and fails on a broken copy of it."""

import importlib.util
import json
import random
import re
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest

import classicnets as cn
from classicnets import data, networks, recipe, streams
from classicnets.errors import UserError
from classicnets.streams import Stream
from classicnets.verification import (
    by_hand,
    by_hand_games,
    by_hand_steps,
    of_network,
    outputs,
    proof,
    records,
    small,
    step_cases,
    verify,
)
from classicnets.verification.backends import installed
from classicnets.verification.by_hand_images import prepared

COMMAND = [sys.executable, "-m", "classicnets", "verify"]


@pytest.fixture(scope="module")
def mutations():
    path = Path(__file__).with_name("mutations.py")
    spec = importlib.util.spec_from_file_location("mutations", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_proofs_of_every_task_and_of_some_networks_hold():
    names = ["resnet20", "lstm", "conv_vae", "gan"]
    proofs = list(verify(names, quick=True))
    assert [line for line in proofs if line.ok is False] == []
    for name in names:
        assert len([line for line in proofs if line.network == name]) > 10
    for task, cases in step_cases.CASES.items():
        titles = [line.proof for line in proofs if line.network == task]
        for case in cases:
            for what in ("weights", "logs"):
                assert f"3 steps, {case.title}: {what}" in titles


@pytest.fixture
def unproven(monkeypatch):
    """Add a network that brings neither numbers nor a small member."""
    network = types.ModuleType("tiny")

    def tiny(input_shape, classes, *, dropout=0.5):
        images = keras.Input(input_shape)
        x = keras.layers.Flatten()(images)
        x = keras.layers.Dropout(dropout)(x)
        return keras.Model(images, keras.layers.Dense(classes, name="logits")(x))

    network.tiny = tiny
    monkeypatch.setitem(sys.modules, "classicnets.networks.tiny", network)
    for names in (networks.CLASSIFIERS, networks.NETWORKS):
        monkeypatch.setitem(names, "tiny", ("tiny", {}))


@pytest.mark.usefixtures("unproven")
def test_what_is_not_proven_is_named_and_no_failure():
    proofs = list(of_network("tiny"))
    assert [line.proof for line in proofs if line.ok is None] == [
        f"not proven yet: {what}"
        for what in ("counts", "outputs by NumPy", "places of dropout")
    ]
    assert len([line for line in proofs if line.ok]) == 7  # the loss and the updates
    assert len(proofs) == 10


@pytest.mark.usefixtures("unproven")
def test_a_network_without_an_entry_is_made_small():
    assert small.of("tiny")[:2] == ((16, 16, 3), {"dropout": 0.0})
    assert small.member_of("tiny") == "tiny"


def test_the_first_step_is_taken_on_every_backend():
    result = subprocess.run(
        [*COMMAND, "autoencoder", "--json"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    for backend in installed():
        if backend != keras.backend.backend():
            named = [row["proof"] for row in rows if row["proof"].startswith(backend)]
            assert named == [
                f"{backend}: {what}" for what in ("outputs", "losses", "first update")
            ]
    numpy = [row for row in rows if row["proof"] == "the first step's loss is NumPy's"]
    assert len(numpy) == 1


def test_a_mutant_fails_and_the_proof_is_named(mutations):
    (mutation,) = (
        m for m in mutations.MUTATIONS if m.what == "clipping by each tensor's norm"
    )
    answer = mutations.judge(mutation)
    assert answer.holds is False
    assert answer.words.startswith("3 steps, SGD, CutMix, smoothing, clipping: weights")


def test_a_mutant_that_its_test_finds_is_named(mutations):
    what = "an order that does not depend on the epoch"
    (mutation,) = (m for m in mutations.MUTATIONS if m.what == what)
    answer = mutations.judge(mutation)
    assert answer.holds is False
    assert answer.words.startswith("test_epoch_order_depends_on_seed_and_epoch_alone")


def test_a_mutant_that_nobody_could_judge_is_not_found(mutations):
    by = "tests/test_not_there.py::test_nothing"
    mutation = mutations.Mutation("no change", "objectives.py", "smooth", "smooth", by)
    assert mutations.judge(mutation).holds is None


def test_sixty_mutations_find_their_places(mutations):
    for mutation in mutations.MUTATIONS:
        text = (mutations.PACKAGE / mutation.file).read_text("utf-8")
        assert mutation.before in text, mutation
        file, _, name = mutation.by.partition("::")
        if name:
            test = (mutations.ROOT / file).read_text("utf-8")
            assert f"def {name}(" in test, mutation
        else:
            networks.find(mutation.by)
    assert len(set(mutations.MUTATIONS)) == len(mutations.MUTATIONS) >= 60
    assert len({mutation.file for mutation in mutations.MUTATIONS}) >= 20


@pytest.mark.parametrize("page", ["docs/proofs.md", "docs/zh/proofs.md"])
def test_every_proof_that_the_page_names_is_there(mutations, page):
    text = (mutations.ROOT / page).read_text("utf-8")
    names = re.findall(r"\[`(test_\w+)`\]\((?:\.\./)+(tests/[\w/]+\.py)\)", text)
    assert len(names) > 20
    for name, file in names:
        assert f"def {name}(" in (mutations.ROOT / file).read_text("utf-8"), name
    room = mutations.PACKAGE / "verification"
    sources = "".join(file.read_text("utf-8") for file in room.glob("*.py"))
    rows = [row.split("|") for row in text.splitlines() if row.startswith("| ")]
    titles = {cell for row in rows if "`" in row[1] for cell in [row[1]]}
    titles |= {row[2] for row in rows if "`" not in row[1]}
    for title in re.findall("`([^`]+)`", "".join(titles)):
        assert title in sources or title.startswith("classicnets verify"), title
    assert {case.title for cases in step_cases.CASES.values() for case in cases} <= {
        title for row in rows for title in re.findall("`([^`]+)`", row[1])
    }


def test_a_place_that_is_gone_is_an_error(mutations, tmp_path):
    (tmp_path / "objectives.py").write_text("")
    gone = mutations.Mutation("a sign", "objectives.py", "+ 1", "- 1", "vae")
    with pytest.raises(SystemExit, match="has no"):
        mutations.mutate(tmp_path, gone)


def test_a_run_of_two_epochs_ends_where_numpy_does(tmp_path):
    """What the loop hands to a task: order, draws, learning rates, numbers of steps."""
    (case,) = (c for c in step_cases.CASES["generate"] if "penalty" in c.keys)
    pixels = np.random.default_rng(0).integers(256, size=(33, 4, 4, 1), dtype=np.uint8)
    np.savez(tmp_path / "drawn.npz", x_train=pixels, x_test=pixels[:8])
    settings = recipe.build(
        {
            **{"network": case.network, "data": str(tmp_path / "drawn.npz")},
            **{"network_options": dict(case.options), "epochs": 2, "batch_size": 4},
            **{"validation_fraction": 0.25, "steps_per_call": 2, "flip": True},
            **{"seed": 5, **case.keys},
        }
    )
    run = cn.train(settings, runs=tmp_path, verbose=False)

    train = data.load(settings.data, data.from_recipe(settings)).train
    random.seed(settings.seed)
    parts = networks.create_pair(settings.network, (4, 4, 1), **case.options)
    generator, critic = (
        by_hand_steps.Learner(part, settings, forward, shape=(4, 4, 1))
        for part, forward in zip(parts, step_cases.FORWARD[case.network])
    )
    rates = by_hand_steps.rates(settings, 3)
    for epoch in (0, 1):
        order = data.epoch_order(len(train), seed=settings.seed, epoch=epoch)[:24]
        images = prepared(
            settings,
            train.inputs[order].reshape(6, 4, 4, 4, 1),
            np.zeros((6, 4, 1)),
            **{"scaling": (0.5, 0.5), "epoch": epoch},
        ).images
        numbers = range(3 * epoch, 3 * epoch + 3)
        logs = by_hand_games.generate(
            generator,
            critic,
            images=images.reshape(3, 2, *images.shape[1:]),
            noise=streams.normal(settings.seed, Stream.NOISE, numbers, (3, 4, 2)),
            mix=streams.uniform(settings.seed, Stream.MIX, numbers, (2, 4)),
            rates=rates[3 * epoch :][:3],
        )
    for name, learner in (("generator", generator), ("critic", critic)):
        expected = [array for arrays in learner.weights.values() for array in arrays]
        for values, array in zip(run.load(name).get_weights(), expected, strict=True):
            np.testing.assert_allclose(values, array, atol=1e-4)
    for key, total in logs.items():
        assert run.history[-1][key] == pytest.approx(total / 3, rel=1e-3), key


def test_a_wrong_name_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'resnet20'"):
        verify(["resnet20x"])
    result = subprocess.run([*COMMAND, "vgg17"], capture_output=True, text=True)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_proof_that_an_error_stops_has_failed(monkeypatch):
    """As it is where a mutant's shapes no longer fit."""
    monkeypatch.setitem(small.SMALL, "autoencoder", small.Small((8, 12)))
    failed = [line for line in of_network("autoencoder") if line.ok is False]
    assert [line.proof for line in failed] == ["outputs", "batch statistics"]
    assert failed[0].found.startswith("UserError: autoencoder takes images")


def test_every_shipped_network_is_proven_by_hand_and_made_small():
    for name in [*networks.NETWORKS, *networks.PAIRS]:
        family, _ = networks.find(name)
        assert family in outputs.FUNCTIONS
        assert family in small.SMALL


def test_a_deep_network_s_member_is_the_shallowest_of_its_blocks():
    pairs = {"vgg16": "vgg11", "vgg19_bn": "vgg11_bn", "resnet34": "resnet18"}
    pairs |= {"resnet152": "resnet50", "resnet110": "resnet20", "conv_vae": "conv_vae"}
    assert {name: small.member_of(name) for name in pairs} == pairs


def test_what_is_not_finite_is_not_near():
    assert not proof.near("n", "p", 1.0, float("nan")).ok
    assert not proof.below("n", "p", 1.0, float("nan")).ok
    assert proof.near("n", "p", 1000.0, 1000.05).ok


def test_transposed_convolutions_by_hand_write_windows():
    of = by_hand.ByHand()
    of.weights["up"] = [np.arange(1.0, 10.0).reshape(3, 3, 1, 1), np.zeros(1)]
    pixels = np.array([1.0, 10.0]).reshape(1, 2, 1, 1)
    image = of.up("up", pixels, stride=2)[0, ..., 0]
    rows = [[1, 2, 3], [4, 5, 6], [17, 28, 39], [40, 50, 60], [70, 80, 90]]
    assert image.tolist() == rows


def test_results_are_read_from_the_recipes_headers():
    units = {"lstm-imdb": "%", "vae-mnist": "nats", "wgan_gp-anime": "FID"}
    for name, unit in units.items():
        record = records.recorded(name)
        assert record.unit == unit
        assert f"commit {record.commit}" in " ".join(
            recipe.find(name).read_text("utf-8").replace("\n# ", " ").split()
        )
    assert records.recorded("wgan-mnist") is None


def test_only_a_result_as_good_as_another_s_is_a_proof():
    proofs = {row.proof: row for row in records.proofs("vae")}
    vae = proofs["recorded result of vae-mnist"]
    assert vae.ok
    assert vae.expected.startswith("105.59: ")
    assert proofs["recorded result of vae-digits"].ok is None
    short = {row.proof: row.ok for row in records.proofs("resnet18")}
    assert short["recorded result of resnet18-cifar100-cpu"] is None
