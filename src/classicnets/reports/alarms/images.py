"""Alarms about networks that make images: silent codes, steep critics, repetitions."""

import math

from classicnets import kinds
from classicnets.reports.alarms.facts import Facts, setting

# Nats, one bit. The KL divergence bounds what a code says of its image: below it, not
# even which of two it is. `vae-digits` has 9.
LEAST_KL = 0.7
# Root of the gradient penalty: how far the slope is from 1, in root mean square. 0.5
# would be slopes of 0.5 and 1.5; `wgan_gp-digits` ends at 0.11.
MOST_DEVIATION = 0.5
# Of the distances between real images; see `judging.variety`. `wgan_gp-digits` has 1.2,
# a GAN whose images are hard to tell apart 0.1.
LEAST_VARIETY = 0.25
PAPER_PENALTY, PAPER_CRITIC_STEPS = 10.0, 5  # 1704.00028


def silent_codes(facts: Facts) -> str:
    """Say where the codes of a VAE say nothing of their images."""
    recipe, kl = facts.recipe, facts.measure("kl")
    if recipe.kind is not kinds.VAE or kl is None or kl >= LEAST_KL:
        return ""
    if recipe.beta > 1:
        change = setting("beta", 1.0)
    elif not recipe.beta_warmup_epochs:
        change = setting("beta_warmup_epochs", max(1, recipe.epochs // 2))
    else:
        change = setting("beta", recipe.beta / 4)
    return (
        f"the codes say next to nothing of the images: KL divergence {kl:.3g} nats per"
        f" image with beta {recipe.beta:g} (posterior collapse); try {change}"
    )


def wrong_slope(facts: Facts) -> str:
    """Say where a gradient penalty does not hold the critic's slope at 1."""
    recipe, penalties = facts.recipe, facts.points("penalty")[-facts.last_tenth :]
    if "penalty" not in recipe.kind.objectives[recipe.objective].uses or not penalties:
        return ""
    mean = sum(value for _, value in penalties) / len(penalties)
    if (deviation := math.sqrt(max(mean, 0.0))) < MOST_DEVIATION:
        return ""
    if recipe.penalty < PAPER_PENALTY:
        change = setting("penalty", PAPER_PENALTY)
    elif recipe.critic_steps < PAPER_CRITIC_STEPS:
        change = setting("critic_steps", PAPER_CRITIC_STEPS)
    else:
        rate = recipe.critic_learning_rate or recipe.learning_rate
        change = setting("critic_learning_rate", rate / 2)
    return (
        f"the critic's slope is not 1 but off by {deviation:.2g} (root mean square, in"
        f" the last epochs); try {change}"
    )


def repeated(facts: Facts) -> str:
    """Say where a GAN makes the same images again and again."""
    recipe, variety = facts.recipe, facts.measure("variety")
    if variety is None or variety >= LEAST_VARIETY:
        return ""
    # With a distance to estimate, a better critic teaches better; of another game it
    # leaves no gradient.
    has_distance = "distance" in recipe.kind.objectives[recipe.objective].logs
    if has_distance and recipe.critic_steps < PAPER_CRITIC_STEPS:
        change = setting("critic_steps", PAPER_CRITIC_STEPS)
    else:
        change = setting("learning_rate", recipe.learning_rate / 2)
    return (
        f"generated images repeat: to the most similar one it is {variety:.2g} of the"
        f" distance between real images (mode collapse); try {change}"
    )
