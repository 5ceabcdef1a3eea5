"""`compare`: what differs between runs, and whether chance can make it."""

import re
import subprocess
import sys

import numpy as np
import pytest
from pages import Page
from scipy import stats

import classicnets as cn
from classicnets.errors import UserError
from classicnets.reports import comparison, paired
from classicnets.runs.run import Run

SMALL = {"verbose": False, "batch_size": 64, "network_options": {"units": [32]}}
VAE = {"epochs": 2, "network_options": {"hidden_units": [32], "latent_size": 4}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Four runs on the digits: two seeds of a recipe, a shorter one, another split."""
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for name, changes in {
        "a": {"epochs": 6, "seed": 0},
        "b": {"epochs": 6, "seed": 1},
        "short": {"epochs": 1, "seed": 0},
        "other": {"epochs": 1, "split_seed": 5},
    }.items():
        run = cn.train("lstm-digits-rows", name=name, runs=folder, **SMALL, **changes)
        if name != "other":  # its test would be the same, its validation split is not
            run.evaluate("test")
        made[name] = run
    return made


def test_two_seeds_of_a_recipe_are_called_neither_better(runs):
    found = comparison.compare([runs["a"], runs["b"]])
    assert found.split == "test"
    assert found.differences == {"seed": [0, 1]}
    (verdict,) = found.verdicts
    assert verdict.better == ""
    assert "seed alone" in verdict.words


def test_a_network_that_learned_more_is_better(runs):
    found = comparison.compare([runs["short"], runs["a"]])
    (verdict,) = found.verdicts
    assert verdict.better == "a-0"
    assert verdict.p_value < 1e-6
    assert found.differences["epochs"] == [1, 6]
    top1, limits = found.scores["top1"][1]
    assert top1 == runs["a"].metrics["test"]["top1"]
    assert limits[0] < top1 < limits[1]
    # The pairs are those of the network's own answers.
    right = [run.samples("test")["right"] for run in (runs["short"], runs["a"])]
    shares = [run.metrics["test"]["top1"] for run in (runs["short"], runs["a"])]
    assert [r.mean() for r in right] == pytest.approx(shares)
    only = [(right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()]
    assert f"alone has {only[0]} right, a-0 alone {only[1]}" in verdict.words


def test_runs_of_other_splits_are_not_compared(runs):
    found = comparison.compare([runs["a"], runs["other"]])
    assert found.split == "validation"
    (verdict,) = found.verdicts
    assert (verdict.better, verdict.p_value) == ("", None)
    assert "validation splits differ" in verdict.words


def test_images_are_the_pairs_of_vaes(tmp_path):
    vaes = [
        cn.train(
            "vae-digits", runs=tmp_path, name=f"v{beta:g}", verbose=False, beta=beta,
            **VAE,
        )
        for beta in (1.0, 50.0)
    ]  # fmt: skip
    for run in vaes:
        metrics = run.evaluate("test")
        nats = run.samples("test")["nats"]
        assert nats.mean() == pytest.approx(metrics["elbo"], rel=1e-5)
        assert len(nats) == metrics["examples"]
    found = comparison.compare(vaes)
    assert found.verdicts[0].better == "v1-0"
    assert "paired bootstrap" in found.verdicts[0].words
    elbo, limits = found.scores["elbo"][0]
    assert limits[0] < elbo < limits[1]


def test_the_page_and_its_table(runs, tmp_path):
    page = tmp_path / "both.html"
    paths = [str(runs[name].path) for name in ("a", "short", "b")]
    command = [sys.executable, "-m", "classicnets", "compare", *paths, "-o", str(page)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["test", "a-0", "short-0", "b-1"]
    assert lines[-1] == str(page)
    assert any(re.fullmatch(r"epochs +6 +1 +6", line) for line in lines)
    shown = Page(page.read_text(encoding="utf-8"))
    for words in ("a-0", "short-0", "seed alone", "a-0 is better", "epochs"):
        assert words in shown.text
    assert page.read_text(encoding="utf-8").count("<polyline") == 9  # 3 charts, 3 runs


def test_what_cannot_be_compared_is_one_line(runs, tmp_path):
    one = runs["a"]
    vae = cn.train("vae-digits", runs=tmp_path, verbose=False, **(VAE | {"epochs": 1}))
    for wrong, words in (
        ([one], "needs 2 to 8 runs, got 1"),
        ([one, Run(one.path)], "named twice"),
        ([one, vae], "of one kind, got a classifier and a VAE"),
    ):
        with pytest.raises(UserError, match=words):
            comparison.compare(wrong)


def test_exact_p_values_of_right_answers():
    left = np.array([True] * 30 + [False] * 10 + [True] * 2)
    right = np.array([True] * 30 + [True] * 10 + [False] * 2)
    words, p_value, is_left = paired.mcnemar(left, right, ("left", "right"))
    # Two-sided, of 12 coins: 2 (1 + 12 + 66) / 4096.
    assert p_value == pytest.approx(2 * 79 / 4096)
    assert not is_left
    assert "left alone has 2 right, right alone 10" in words
    assert paired.mcnemar(left, left, ("a", "b"))[1] == 1.0


def test_the_bootstrap_agrees_with_a_test_of_means():
    random = np.random.default_rng(0)
    right = random.normal(100.0, 20.0, 500)
    for shift, is_found in ((0.0, False), (0.5, True)):
        left = right - shift + random.normal(0.0, 3.0, 500)
        _, p_value, is_left = paired.bootstrap(
            left, right, ("left", "right"), what="nats"
        )
        expected = stats.ttest_rel(left, right).pvalue
        assert p_value == pytest.approx(expected, abs=0.02)
        assert (p_value < 0.05) is is_found
        assert is_left == (left.mean() < right.mean())


def test_several_tests_share_their_level():
    assert paired.holm([0.04, 0.02, 0.9], 0.05) == 0.0  # 0.02 > 0.05 / 3
    assert paired.holm([0.01, 0.9, 0.02], 0.05) == 0.02
    assert paired.holm([0.03], 0.05) == 0.03
    assert paired.holm([], 0.05) == 0.0
