"""Floating-point operations of a step of training, from the library's own counter.

A multiply-add is two operations. Backwards a layer does two products for each one
forwards: the gradient by its weights and that by its inputs. The count is that of the
algorithm: a contender that saves some of it is faster for it.
"""

from typing import Any

from benchmarks.shapes import CRITIC_STEPS
from benchmarks.worker import Job
from classicnets import networks
from classicnets.networks.summary import multiply_adds


def of_step(job: Job, built: Any, options: dict[str, Any], classes: int) -> float:
    """Count the operations of a step.

    Args:
        job: Says the network and the batch.
        built: The network, or a GAN's pair.
        options: What it was built with.
        classes: Of a classifier.
    """
    if job.on_texts:  # the one that trains takes texts of any length
        built = networks.create("lstm", (job.tokens,), classes, **options)
    if not isinstance(built, tuple):
        return 2.0 * job.batch_size * 3 * multiply_adds(built)
    generator, critic = map(multiply_adds, built)
    count = gan(job.network, generator, critic)
    return 2.0 * job.batch_size * count


def gan(network: str, generator: float, critic: float) -> float:
    """Count the multiply-adds of a GAN's step for one image.

    Args:
        network: "dcgan" or "wgan_gp".
        generator, critic: Multiply-adds of one image forwards.
    """
    # Images for the critic are made without a gradient. It scores real ones and
    # generated ones, forwards and backwards.
    turn = generator + 2 * 3 * critic
    if network == "wgan_gp":
        # The penalty: the scores of a mix, their gradient by it, which takes one
        # product per layer, and twice as much as both to go back through them.
        turn += (1 + 1) * critic + 2 * (1 + 1) * critic
    turns = CRITIC_STEPS if network == "wgan_gp" else 1
    # The generator's step goes back through the critic to the images alone.
    return turns * turn + 3 * generator + (1 + 1) * critic
