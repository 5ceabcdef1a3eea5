"""Training steps of a generator against a critic, written out; see `by_hand_steps`."""

from typing import Any

import numpy as np

from classicnets.verification.by_hand import flat
from classicnets.verification.by_hand_steps import Learner, Logs


def generate(
    generator: Learner,
    critic: Learner,
    *,
    images: np.ndarray,
    noise: np.ndarray,
    mix: np.ndarray | None,
    rates: np.ndarray,
) -> Logs:
    """Play algorithm 1 of 1406.2661, 1701.07875 or 1704.00028.

    Args:
        generator: From noise to images in [-1, 1].
        critic: From images to scores, or log-odds of being real; without batch norm.
        images: (steps, critic_steps, batch, height, width, channels): each of the
            critic's steps has its own.
        noise: (steps, critic_steps + 1, batch, latent_size): as has each step; the last
            one is the generator's.
        mix: (steps, critic_steps, batch) between 0 and 1, for a penalty.
        rates: The generator's, by step.

    Returns:
        The sums of what the steps log; of the critic's steps their means.
    """
    recipe = generator.recipe
    quotient = (recipe.critic_learning_rate or recipe.learning_rate) / (
        recipe.learning_rate
    )
    logs: Logs = {}
    for step, rate in enumerate(rates):
        turns = len(images[step])
        for turn in range(turns):
            real, fake = images[step, turn], generator(noise[step, turn])
            generator.move_statistics()  # it is in training, though it does not learn
            places = None if mix is None else mix[step, turn]
            latest = _teach_critic(critic, real, fake, places, rate * quotient)
            for key, value in latest.items():
                logs[key] = logs.get(key, 0) + value / turns

        def loss(step: int = step, turns: int = turns) -> float:
            return _generator_loss(
                recipe.objective, critic(generator(noise[step, turns]))
            )

        value = generator.learn(loss, rate)
        logs["generator_loss"] = logs.get("generator_loss", 0) + value
        generator.average()
    return logs


def _teach_critic(critic: Learner, real: Any, fake: Any, mix: Any, rate: float) -> Logs:
    """Take one step of the critic."""
    recipe = critic.recipe

    def loss() -> float:
        total = _critic_loss(recipe.objective, critic(real), critic(fake))
        if recipe.objective == "wgan_gp":
            total += recipe.penalty * penalty(critic, real, fake, mix)
        return total

    logs = {}
    if "wgan" in recipe.objective:
        logs["distance"] = critic(real).mean() - critic(fake).mean()
    if recipe.objective == "wgan_gp":
        logs["penalty"] = penalty(critic, real, fake, mix)
    logs["critic_loss"] = critic.learn(loss, rate)
    if recipe.objective == "wgan":  # 1701.07875, algorithm 1, line 7
        for key in critic.trained:
            critic[key][...] = np.clip(critic[key], -recipe.clip, recipe.clip)
    return logs


def _critic_loss(objective: str, real: Any, fake: Any) -> float:
    if "wgan" in objective:
        return fake.mean() - real.mean()
    # 1406.2661, eq. 1: what it wants to be large, with the sign turned.
    return -(np.log(_probability(real)).mean() + np.log(1 - _probability(fake)).mean())


def _generator_loss(objective: str, fake: Any) -> float:
    if "wgan" in objective:
        return -fake.mean()
    if objective == "gan_saturating":  # 1406.2661, eq. 1
        return np.log(1 - _probability(fake)).mean()
    return -np.log(_probability(fake)).mean()  # section 3


def _probability(log_odds: Any) -> Any:
    return 1 / (1 + np.exp(-log_odds))


def penalty(critic: Learner, real: Any, fake: Any, mix: Any) -> float:
    """Return the mean of (|gradient of the score by the image| - 1)^2 (1704.00028,
    eq. 3).

    The critic is one of dense layers with a slope of 0.2 below 0: its gradient, by the
    chain rule from the score back, is a product of kernels and slopes.
    """
    mix = mix[:, None, None, None]
    x = flat(mix * real + (1 - mix) * fake)
    slopes = []
    for layer in range(1, critic.count("hidden") + 1):
        x = critic.dense(f"hidden{layer}", x)
        slopes.append(np.where(x > 0, 1, 0.2))
        x = slopes[-1] * x
    gradient: Any = critic.weights["scores"][0].T
    for layer in range(len(slopes), 0, -1):
        gradient = (gradient * slopes[layer - 1]) @ critic.weights[f"hidden{layer}"][
            0
        ].T
    norms = np.sqrt((gradient**2).sum(axis=1))
    return ((norms - 1) ** 2).mean()
