"""Alarms about how a network has learned: too briefly, at which rate, by heart."""

from classicnets import kinds, networks
from classicnets.reports.alarms.facts import Facts, setting

# Of all that validation gained, an accuracy since chance, what the last tenth of the
# epochs gained. An exponential curve that gains 0.05 there has 20 % still to come. A
# learning rate that falls to 0 brings some by itself, so there it takes 0.1. On the
# digits the recipes gain 0.01 at most.
LATE_GAIN, LATE_GAIN_OF_FALLING_RATE = 0.05, 0.1
# The same of the second half, for reconstructions alone: an accuracy may get a third of
# its gain from the falling rate. `vae-digits` gains 0.01 there, in 5 epochs 0.4.
HALF_GAIN = 0.2
DEVIATIONS = 2.0  # of an accuracy on so few examples, which a gain must exceed
NEAR_PEAK = 0.9  # of the recipe's learning rate
# Between the last accuracy on training examples and the best on validation examples.
# Public ResNets and VGGs come to 0.3 on CIFAR-100, while their validation loss stays
# where it was; the digits come to 0.04.
GAP, RISE, LARGE_GAP = 0.15, 1.25, 0.35
LOSS_RATIO = 2.0  # of validation to training loss
WEIGHT_DECAY, DROPOUT = 5e-4, 0.5  # what is tried first


def still_improving(facts: Facts) -> str:
    """Say where more epochs promise a better validation score."""
    key, best_of = facts.recipe.kind.best_by or (facts.recipe.kind.scores[0], min)
    points = facts.points(f"validation_{key}")
    if not points:
        return ""
    classes = len(facts.environment.get("class_names") or ())
    start = 1 / classes if key == "top1" and classes else points[0][1]
    falls = facts.history[-1].get("learning_rate", 0) < facts.recipe.learning_rate / 2
    least = LATE_GAIN_OF_FALLING_RATE if falls else LATE_GAIN
    parts = [(facts.last_tenth, least)]
    if facts.recipe.kind.reconstructs:
        parts.append((-(-facts.epochs // 2), HALF_GAIN))
    for part, least in parts:
        early = [value for epoch, value in points if epoch <= facts.epochs - part]
        late = [value for epoch, value in points if epoch > facts.epochs - part]
        before, end = best_of([start, *early]), best_of(late or [start])
        gain = abs(end - before) if end == best_of(before, end) else 0.0
        if gain > max(least * abs(end - start), _noise(facts, key, before)):
            time = f"{part} of {facts.epochs} epochs" if part > 1 else "epoch"
            return (
                f"validation {key} was still improving when training ended: from"
                f" {_score(key, before)} to {_score(key, end)} in the last {time};"
                f" try {setting('epochs', facts.more_epochs)}"
            )
    return ""


def _noise(facts: Facts, key: str, value: float) -> float:
    """Return the gain that a share of so few examples may have by chance."""
    examples = facts.environment.get("validation_examples", 0)
    if key not in kinds.SHARES or not examples:
        return 0.0
    return float(DEVIATIONS * (value * (1 - value) / examples) ** 0.5)


def _score(key: str, value: float) -> str:
    return f"{value:.2%}" if key in kinds.SHARES else f"{value:.4g}"


def ended_at_peak(facts: Facts) -> str:
    """Say where training ended at its highest learning rate."""
    recipe, done = facts.recipe, facts.epochs
    rate = facts.history[-1].get("learning_rate", 0.0)
    if rate <= 0 or rate < NEAR_PEAK * recipe.learning_rate:
        return ""
    if recipe.warmup_epochs >= done:
        share = 0.2 if recipe.schedule == "one_cycle" else 0.05
        reason = f"warmup_epochs is {recipe.warmup_epochs:g} of {done} epochs"
        change = setting("warmup_epochs", share * recipe.epochs)
    elif recipe.schedule == "constant" or done < 2:
        return ""
    elif recipe.schedule == "step":
        reason = f"no epoch of milestones {recipe.milestones} was reached in {done}"
        epochs = sorted({max(1, done // 2), max(1, 3 * done // 4)})
        change = setting("milestones", str(epochs).replace(" ", ""))
    elif done == recipe.epochs:  # of one step each
        return ""
    else:
        reason = f"it was stopped after {done} of {recipe.epochs} epochs"
        change = setting("epochs", done)
    return (
        f"training ended at its highest learning rate, {rate:.3g}: {reason};"
        f" try {change}"
    )


def long_averages(facts: Facts) -> str:
    """Say where weights are averaged over more steps than there were."""
    ema, steps = facts.recipe.ema, facts.steps * facts.epochs
    if not ema or not steps or 1 / (1 - ema) <= steps:
        return ""
    shorter = round(max(0.0, 1 - 10 / steps), 3)  # a tenth of the training run
    return (
        f"weights are averaged over about {1 / (1 - ema):,.0f} steps (ema {ema:g}), the"
        f" training run has {steps:,}; try {setting('ema', shorter)}"
    )


def learned_by_heart(facts: Facts) -> str:
    """Say where a classifier knows its training examples far better than others."""
    accuracies, top1s = facts.points("accuracy"), facts.points("validation_top1")
    losses = [value for _, value in facts.points("validation_loss")]
    loss = facts.history[-1].get("loss")
    if not accuracies or not top1s or not losses or loss is None:
        return ""
    # The best epoch is kept: what is learned by heart after it does no harm.
    accuracy, best = accuracies[-1][1], max(value for _, value in top1s)
    rises = losses[-1] > RISE * min(losses)
    is_far = accuracy - best > LARGE_GAP or (accuracy - best > GAP and rises)
    if not is_far or losses[-1] < LOSS_RATIO * loss:
        return ""
    return (
        f"much is learned by heart: {accuracy:.2%} of the training examples are right"
        f" at the end, of the validation examples {best:.2%} in the best epoch; the"
        f" loss is {loss:.3g} and {losses[-1]:.3g};"
        f" try {' '.join(_regularization(facts))}, or more training examples"
    )


def _regularization(facts: Facts) -> list[str]:
    recipe, changes = facts.recipe, []
    decay = max(WEIGHT_DECAY, 5 * recipe.weight_decay)
    changes.append(setting("weight_decay", decay))
    options = networks.network_options(recipe.network) | recipe.network_options
    if options.get("dropout", DROPOUT) < DROPOUT:
        changes.append(setting("network_options.dropout", DROPOUT))
    if facts.environment.get("known_words") is None and not recipe.crop_padding:
        changes.append(setting("crop_padding", 4))
    return changes
