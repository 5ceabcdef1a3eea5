"""Weights from a file into a network, and which of them are trained."""

from pathlib import Path

import keras

from classicnets.errors import UserError
from classicnets.weights import saved, scaling
from classicnets.weights.from_keras import (
    from_keras_applications,
    from_model,
    read_h5,
)
from classicnets.weights.from_torch import from_torch_state_dict
from classicnets.weights.scaling import (
    Scaling,
    is_of_keras_applications,
    turn_channels,
)
from classicnets.weights.transfer import transfer


def load_weights(network: keras.Model, path: str | Path) -> list[str]:
    """Read weights from a file into `network`.

    Args:
        network: A network of ours, built for the weights in the file.
        path: A model or weights that Keras saved from the same network (.keras,
            .weights.h5), a saved model of keras.applications (.keras), or a state dict
            with torchvision's names (.safetensors, or .pth, which needs PyTorch and is
            read without unpickling objects).

    Returns:
        Names of the layers of the head that the file did not fit: they keep the
        weights they had. Empty when everything was read.

    Raises:
        ValueError: For a file that is missing or of another kind, and for names and
            shapes that do not match. The network is then unchanged.
    """
    return load_with_scaling(network, path)[0]


def load_with_scaling(
    network: keras.Model, path: str | Path
) -> tuple[list[str], Scaling | None]:
    """Read weights as `load_weights` does, and how their pixels were scaled.

    A model of keras.applications takes blue, green and red: its first convolution is
    turned, so that `network` takes red, green and blue.

    Returns:
        What `load_weights` returns, and the scaling; None where the file tells none.
    """
    path = check_file(path)
    if path.suffix == ".keras":
        source = saved.load(path)
        if is_of_keras_applications(source):
            fresh = from_keras_applications(network, source)
            turn_channels(network)
            return fresh, scaling.KERAS
        return from_model(network, source, str(path)), scaling.of_model(source)
    if path.name.endswith(".weights.h5"):
        return transfer(network, read_h5(path), lambda name: name, str(path)), None
    if path.suffix in (".safetensors", ".pth", ".pt"):
        return from_torch_state_dict(network, path), scaling.TORCHVISION
    raise ValueError(
        "weights must be a .keras, .weights.h5, .safetensors or .pth file, "
        f"got {path.name}."
    )


def check_file(path: str | Path) -> Path:
    """Return the path of weights, or raise a UserError: there is no such file."""
    if not Path(path).is_file():
        raise UserError(f"weights must be an existing file, got {path}.")
    return Path(path)


def freeze(network: keras.Model, *, trained: tuple[str, ...] = ("logits",)) -> None:
    """Make every layer of `network` keep its weights in training, but for `trained`.

    Batch normalization that is frozen also uses its stored statistics in training.

    Raises:
        ValueError: If `network` has no layer of a name in `trained`.
    """
    names = [layer.name for layer in network.layers]
    for name in trained:
        if name not in names:
            raise ValueError(f"trained must name layers of {network.name}, got {name}.")
    for layer in network.layers:
        layer.trainable = layer.name in trained
