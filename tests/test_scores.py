"""The numbers that `evaluate` writes, against scikit-learn, SciPy and closed forms."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import expit, log_expit, softmax
from scipy.stats import bernoulli, norm
from sklearn import metrics
from sklearn.metrics.pairwise import polynomial_kernel

from classicnets import data, networks, recipe, streams
from classicnets.streams import Stream
from classicnets.tasks import judging, scores
from classicnets.tasks.bounds import Bounds

RANDOM = np.random.default_rng

# -- classifiers ---------------------------------------------------------------


def answers(classes=7, examples=300):
    """Return logits and labels: half of the answers right, no class-5 label."""
    random = RANDOM(0)
    labels = random.choice([0, 0, 1, 2, 3, 4, 6], size=examples).astype(np.int32)
    logits = random.normal(size=(examples, classes)).astype(np.float32)
    logits[np.arange(examples), labels] += 1.0
    return logits, labels


def judged(logits, labels):
    return scores.judge(logits, labels, [str(k) for k in range(logits.shape[1])])


def test_accuracies_and_loss_are_those_of_scikit_learn():
    logits, labels = answers()
    probabilities, classes = softmax(logits.astype(float), axis=1), np.arange(7)
    for result in (scores.judge(logits, labels), judged(logits, labels)):
        right = metrics.accuracy_score(labels, logits.argmax(axis=1))
        assert result["top1"] == pytest.approx(right, rel=1e-12)
        of_five = metrics.top_k_accuracy_score(labels, logits, k=5, labels=classes)
        assert result["top5"] == pytest.approx(of_five, rel=1e-12)
        loss = metrics.log_loss(labels, probabilities, labels=classes)
        assert result["loss"] == pytest.approx(loss, rel=1e-5)


def test_what_is_counted_class_by_class_is_that_of_scikit_learn():
    logits, labels = answers()
    predicted, result = logits.argmax(axis=1), judged(logits, labels)
    table = metrics.confusion_matrix(labels, predicted, labels=np.arange(7))
    np.testing.assert_array_equal(result["confusion"], table)
    f1 = metrics.f1_score(labels, predicted, average="macro")
    assert result["f1"] == pytest.approx(f1, rel=1e-12)
    assert f1 != pytest.approx(metrics.f1_score(labels, predicted, average="micro"))
    expected = metrics.precision_recall_fscore_support(
        labels, predicted, labels=np.arange(7), zero_division=np.nan
    )
    for row, *values in zip(result["per_class"], *expected):
        found = [row[key] for key in ("precision", "recall", "f1", "examples")]
        np.testing.assert_allclose(np.array(found, float), values, rtol=1e-12)


def test_the_area_under_the_curve_is_that_of_scikit_learn_also_where_answers_tie():
    logits, labels = answers()
    logits = logits[RANDOM(1).integers(40, size=len(logits))]  # many of them alike
    result, probabilities = judged(logits, labels), softmax(logits.astype(float), 1)
    areas = [
        metrics.roc_auc_score(labels == k, probabilities[:, k])
        for k in range(7)
        if k != 5
    ]
    found = [row["auc"] for row in result["per_class"]]
    assert found.pop(5) is None  # it never occurs
    np.testing.assert_allclose(found, areas, rtol=1e-12)
    assert result["auc"] == pytest.approx(np.mean(areas), rel=1e-12)


def test_equal_logits_are_right_as_often_as_their_classes_are_drawn():
    """Not in all of the first five places at once."""
    for labels in (np.arange(100), np.zeros(8, int), np.full(8, 99)):
        result = judged(np.zeros((len(labels), 100), np.float32), labels)
        assert (result["top1"], result["top5"]) == pytest.approx((0.01, 0.05))
        assert result["auc"] in (None, 0.5)


def test_ties_share_what_a_random_order_of_them_would_give():
    logits, labels = answers(classes=8)
    logits = np.round(logits)  # whole numbers: most examples have ties
    result = judged(logits, labels)
    for k, key in ((1, "top1"), (5, "top5")):
        order = [
            metrics.top_k_accuracy_score(
                labels,
                logits + RANDOM(n).uniform(0, 0.1, logits.shape),
                k=k,
                labels=np.arange(8),
            )
            for n in range(200)
        ]
        error = np.std(order) / math.sqrt(len(order))
        assert result[key] == pytest.approx(np.mean(order), abs=5 * error)
    assert result["top1"] != (logits.argmax(axis=1) == labels).mean()


def test_logits_that_are_no_numbers_are_right_nowhere():
    logits = np.zeros((2, 100), np.float32)
    logits[0], logits[1, 1:] = np.nan, np.nan
    result = scores.judge(logits, np.zeros(2, np.int32))
    assert (result["top1"], result["top5"]) == (0.0, 0.0)


# -- autoencoders and VAEs -----------------------------------------------------

PIXELS = list(itertools.product((0, 1), repeat=4))  # all images of 2x2 pixels
COPIES = 300
Z = np.linspace(-9, 9, 4001)[:, None]  # codes of one number, for integrals


def images():
    """Return each image many times, black and white: drawing pixels changes none."""
    pixels = np.reshape(PIXELS, (16, 2, 2, 1)).astype(np.uint8) * 255
    return np.repeat(pixels, COPIES, axis=0)


def bounds(kind, objective="bernoulli"):
    """Return the judge of a linear network with one number as code, and its weights."""
    options = {"latent_size": 1, "hidden_units": []}
    settings = {"network": kind, "data": "d", "epochs": 1, "objective": objective}
    network = networks.create(kind, (2, 2, 1), None, latent_size=1, hidden_units=())
    random = RANDOM(2)
    for variable in network.weights:
        variable.assign(0.5 * random.normal(size=variable.shape))
    judge = Bounds(network, recipe.build(settings | {"network_options": options}))
    weights = {
        variable.path.split("/")[-2] + "_" + variable.name: np.asarray(value, float)
        for variable, value in zip(network.weights, network.get_weights())
    }
    return judge, weights


def integral(values):
    """Integrate over the codes `Z`."""
    return np.trapezoid(values, Z[:, 0], axis=0)


def posterior(weights, pixels):
    """Return mean and deviation (16,) of the codes."""
    mean, log_variance = (
        (pixels @ weights[f"{name}_kernel"] + weights[f"{name}_bias"])[:, 0]
        for name in ("mean", "log_variance")
    )
    return mean, np.exp(0.5 * log_variance)


def log_likelihood(weights, codes, pixels):
    """Return log p(x|z), (codes, 16)."""
    log_odds = codes @ weights["pixels_kernel"] + weights["pixels_bias"]
    return bernoulli.logpmf(pixels[None], expit(log_odds)[:, None]).sum(axis=-1)


def test_the_terms_of_the_elbo_are_their_integrals():
    judge, weights = bounds("vae")
    pixels = np.array(PIXELS)
    mean, deviation = posterior(weights, pixels)
    density = norm.pdf(Z, mean, deviation)  # (codes, 16)
    ratio = norm.logpdf(Z, mean, deviation) - norm.logpdf(Z)
    error = -log_likelihood(weights, Z, pixels)
    kl, reconstruction = integral(density * ratio), integral(density * error)
    square = integral(density * error**2) - reconstruction**2

    result = judge.judge(images())
    assert result["examples"] == 16 * COPIES
    assert result["kl"] == pytest.approx(kl.mean(), rel=1e-4)
    # A code is drawn per image.
    sigma = math.sqrt(square.mean() / (16 * COPIES))
    assert result["reconstruction"] == pytest.approx(
        reconstruction.mean(), abs=5 * sigma
    )
    assert sigma < 0.01 * reconstruction.mean()
    assert result["elbo"] == pytest.approx(result["kl"] + result["reconstruction"])
    assert "nll" not in result


def test_the_importance_weighted_bound_is_the_integral_over_the_codes():
    judge, weights = bounds("vae")
    pixels, samples = np.array(PIXELS), 50
    mean, deviation = posterior(weights, pixels)
    joint = np.exp(log_likelihood(weights, Z, pixels)) * norm.pdf(Z)
    likelihood = integral(joint)
    assert likelihood.sum() == pytest.approx(1.0)  # over all images that there are
    # The variance of a weight, whose mean is 1: of log of the mean of k weights,
    # variance / k is the variance and -variance / 2k the error, up to terms in 1 / k^2.
    density = norm.pdf(Z, mean, deviation)
    variance = integral(joint**2 / density) / likelihood**2 - 1
    expected = (-np.log(likelihood) + variance / (2 * samples)).mean()
    sigma = math.sqrt(variance.mean() / samples / (16 * COPIES))

    result = judge.judge(images(), samples=samples)
    assert result["nll"] == pytest.approx(expected, abs=5 * sigma + 1e-3)
    assert sigma < 0.003
    assert result["importance_samples"] == samples
    assert -np.log(likelihood).mean() < result["nll"] < result["elbo"]


@pytest.mark.parametrize("objective", ["bernoulli", "gaussian"])
def test_what_an_autoencoder_reconstructs_is_judged_by_its_density(objective):
    judge, weights = bounds("autoencoder", objective)
    grey = RANDOM(3).integers(256, size=(20, 2, 2, 1), dtype=np.uint8)
    pixels = grey.reshape(20, 4) / 255.0
    code = pixels @ weights["code_kernel"] + weights["code_bias"]
    log_odds = code @ weights["pixels_kernel"] + weights["pixels_bias"]
    if objective == "gaussian":
        expected = -norm.logpdf(pixels, expit(log_odds)).sum(axis=1)
    else:  # the cross-entropy of two coins
        expected = -pixels * log_expit(log_odds) - (1 - pixels) * log_expit(-log_odds)
        expected = expected.sum(axis=1)
    result = judge.judge(grey, samples=10)
    assert result == {
        "examples": 20,
        "reconstruction": pytest.approx(expected.mean(), rel=1e-5),
    }


# -- generators ----------------------------------------------------------------


def frechet_distance(x, y):
    """Return FID, the trace of the root by the eigenvalues of C1^(1/2) C2 C1^(1/2)."""
    first, second = np.cov(x.T), np.cov(y.T)
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    shift = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    return shift + np.trace(first) + np.trace(second) - 2 * overlap


def kernel_distances(x, y, size, seed):
    """Return the estimates (1801.01401, eq. 4) of 100 subsets by scikit-learn."""
    source = streams.philox(seed, Stream.SUBSET)
    estimates = []
    for _ in range(100):
        a, b = (s[np.argsort(source.random_raw(len(s)))[:size]] for s in (x, y))
        within = [polynomial_kernel(s, degree=3, coef0=1) for s in (a, b)]
        pairs = sum(k.sum() - np.trace(k) for k in within) / (size * (size - 1))
        across = polynomial_kernel(a, b, degree=3, coef0=1).mean()
        estimates.append(pairs - 2 * across)
    return np.array(estimates)


def test_generated_images_are_judged_by_fid_and_kid_of_their_features():
    digits = np.asarray(data.load("digits").train.inputs)
    real, fake, other = digits[:90], digits[90:160, ::-1], digits[160:300]
    result = judging.ImageJudge(real, seed=3).judge(fake, other)
    x, y = (judging.features(part).astype(float) for part in (real, fake))
    rows = streams.subset(len(other), len(fake), 3, Stream.FLOOR)
    floor = judging.features(other[rows]).astype(float)

    assert result["fid"] == pytest.approx(frechet_distance(x, y), rel=1e-4)
    assert result["fid_floor"] == pytest.approx(frechet_distance(x, floor), rel=1e-4)
    estimates = kernel_distances(x, y, 35, 3)
    assert result["kid"] == pytest.approx(estimates.mean(), rel=1e-6)
    assert result["kid_deviation"] == pytest.approx(estimates.std(), rel=1e-6)
    expected = kernel_distances(x, floor, 35, 3).mean()
    assert result["kid_floor"] == pytest.approx(expected, abs=1e-6)
    assert result["floor_examples"] == result["examples"] == 70
