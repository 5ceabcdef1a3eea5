"""Alarms about answers, and about the data that are answered."""

import math

from classicnets.reports.alarms.facts import ENOUGH_STEPS, Facts, names, setting

# Of a class. With five, a class that is recognised half the time is named at least once
# in 97 of 100 validation splits.
LEAST_EXAMPLES = 5
DEVIATIONS = 2.0  # of an accuracy on so few examples: chance alone is in them
LEAST_AREA = 0.6  # of the ROC curve: with unequal classes it tells what accuracy cannot
BY_HEART = 0.2  # training accuracy above that of the largest class
WEIGHT_DECAY = 5e-4  # what is tried first
# IMDb has 0.4 % of its test among its training texts, CIFAR-100 0.1 %, MNIST none. A
# score may be too high by the share.
MOST_COPIES = 0.01
# Of IMDb's words 2 to 4 % are unknown, of 7,676 short reviews 5 %.
MOST_UNKNOWN = 0.2


def never_predicted(facts: Facts) -> str:
    """Name the classes that the network never answers."""
    confusion = facts.metrics.get("confusion") or []
    classes = [row["name"] for row in facts.metrics.get("per_class") or []]
    examples = [sum(row) for row in confusion]
    missed = [
        k
        for k in range(min(len(classes), len(confusion)))
        if examples[k] >= LEAST_EXAMPLES and not any(row[k] for row in confusion)
    ]
    if not missed:
        return ""
    count = sum(examples[k] for k in missed)
    which = names(classes[k] for k in missed)
    subject, them = f"class {which} is", "it"
    if len(missed) > 1:
        subject, them = f"{len(missed)} of {len(classes)} classes ({which}) are", "them"
    return (
        f"{subject} never predicted, though {count:,} of {sum(examples):,} validation"
        f" examples are of {them}; try {setting('epochs', facts.more_epochs)},"
        f" or more examples of {them}"
    )


def near_chance(facts: Facts) -> str:
    """Say where always the same answer is as good as the network's."""
    top1, examples = facts.measure("top1"), facts.measure("examples")
    largest = _largest_class(facts)
    if top1 is None or not examples or largest is None:
        return ""
    deviation = math.sqrt(largest * (1 - largest) / examples)
    area = facts.measure("auc")
    is_worse = top1 <= largest
    is_near = top1 <= largest + DEVIATIONS * deviation
    if not is_worse and not (is_near and (area is None or area < LEAST_AREA)):
        return ""
    what = "no better than" if is_worse else "hardly better than"
    return (
        f"validation top1 {top1:.2%} is {what} always the largest class,"
        f" {largest:.2%}; {_remedy(facts, largest)}"
    )


def no_better_than_the_mean(facts: Facts) -> str:
    """Say where always the mean of the labels is as good as a regressor's values."""
    r2, rmse = facts.measure("r2"), facts.measure("rmse")
    if r2 is None or rmse is None or r2 > 0:
        return ""
    return (
        f"validation rmse {rmse:.4g} is no better than always the mean of the labels"
        f" (r2 {r2:.2g}); try {setting('epochs', facts.more_epochs)}, or"
        f" {setting('learning_rate', facts.recipe.learning_rate / 10)}"
    )


def no_better_than_chance(facts: Facts) -> str:
    """Say where several labels are ranked as chance would."""
    score = facts.measure("map")
    shares = (facts.metrics.get("rival") or {}).get("shares")
    if score is None or shares is None or score > shares:
        return ""
    return (
        f"validation map {score:.2%} is no better than chance, {shares:.2%};"
        f" try {setting('epochs', facts.more_epochs)}"
    )


def _largest_class(facts: Facts) -> float | None:
    """Return the accuracy of the answer that is always the same."""
    share = (facts.metrics.get("rival") or {}).get("largest_class")
    if share is not None:
        return float(share)
    counts = [row["examples"] for row in facts.metrics.get("per_class") or []]
    return max(counts) / sum(counts) if sum(counts) else None


def _remedy(facts: Facts, largest: float) -> str:
    recipe, last = facts.recipe, facts.history[-1]
    if last.get("accuracy", 0.0) > largest + BY_HEART:
        decay = max(WEIGHT_DECAY, 5 * recipe.weight_decay)
        return (
            f"of the training examples {last['accuracy']:.2%} are right: see that the"
            f" labels are, or try {setting('weight_decay', decay)}"
        )
    if facts.steps and facts.steps * facts.epochs < ENOUGH_STEPS:
        return f"try {setting('epochs', facts.more_epochs)}"
    usual, rate = 0.1 if recipe.optimizer == "sgd" else 1e-3, recipe.learning_rate
    return f"try {setting('learning_rate', usual if rate < usual / 10 else rate / 10)}"


def copied(facts: Facts) -> str:
    """Say where examples are judged that the network has learned from."""
    counts = []
    for split in ("validation", "test"):
        metrics = facts.evaluations.get(split, {})
        count, examples = metrics.get("copies") or 0, metrics.get("examples", 0)
        if count and count >= MOST_COPIES * examples:
            counts.append(f"{count:,} of {examples:,} {split} examples")
    if not counts:
        return ""
    return (
        f"{' and '.join(counts)} are training examples too, so that scores are too"
        " high; remove the copies from the data"
    )


def unknown_words(facts: Facts) -> str:
    """Say where the vocabulary lacks much of what the texts say."""
    share = facts.environment.get("unknown_words", 0.0)
    if share < MOST_UNKNOWN:
        return ""
    line = f"{share:.0%} of the words of the validation texts are unknown"
    size = facts.recipe.vocabulary_size
    if facts.environment.get("known_words", size) < size:
        return f"{line}, though no word of the training texts is; more of these help"
    return f"{line}; try {setting('vocabulary_size', max(4 * size, 20_000))}"
