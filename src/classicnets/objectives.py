"""Losses as pure functions. Each returns a scalar, averaged over the batch."""

from keras import ops


def cross_entropy(logits, targets):
    """Cross-entropy of the softmax, in nats.

    Args:
        logits: (batch, classes), float32.
        targets: (batch, classes), each row a distribution over the classes.
    """
    log_probabilities = ops.log_softmax(logits, axis=-1)
    return -ops.mean(ops.sum(targets * log_probabilities, axis=-1))


def smooth(targets, amount):
    """Move `amount` of each target evenly to all classes (1512.00567, section 7)."""
    return targets * (1.0 - amount) + amount / targets.shape[-1]
