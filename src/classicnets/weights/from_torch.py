"""Weights with torchvision's names."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from classicnets.weights.transfer import transfer, weighted_layers

TORCH_VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def from_torch_state_dict(
    network: keras.Model, state_dict: Mapping[str, Any] | str | Path
) -> list[str]:
    """Copy weights with torchvision's names into `network`.

    Args:
        network: `vgg`, or `resnet` with its default options.
        state_dict: From torchvision's name of a weight to its tensor or array; or the
            path of a .safetensors or .pth file that holds such a dict, itself or under
            the key "state_dict". A prefix "module." is dropped.

    Returns:
        Names of the layers of the head that keep the weights they had.

    Raises:
        ValueError: For a wrong file, and for names and shapes that do not match.
    """
    where = "the state dict"
    if isinstance(state_dict, str | Path):
        where = str(state_dict)
        state_dict = _read_state_dict(Path(state_dict))
    weights = {
        name.removeprefix("module."): _to_numpy(tensor)
        for name, tensor in state_dict.items()
        if not name.endswith("num_batches_tracked")  # Keras has no such count
    }
    torch_names = _torch_names(network)

    def place(name: str) -> str:
        layer, variable = name.split(".")
        if layer not in torch_names:
            raise ValueError(
                f"{where}: torchvision has no {network.name}; weights of it must come "
                "from a file that Keras saved."
            )
        return f"{torch_names[layer]}.{TORCH_VARIABLES[variable]}"

    adapt = functools.partial(_in_keras_axes, network)
    return transfer(network, weights, place, where, adapt)


def _torch_names(network: keras.Model) -> dict[str, str]:
    """Return the names in torchvision of our layers."""
    names = {}
    index = 0  # of the place in torchvision's nn.Sequential
    for layer in network.layers:
        if match := re.fullmatch(r"block\d_(conv|norm|relu|pool)\d?", layer.name):
            names[layer.name] = f"features.{index}"
            index += 1
        elif match := re.fullmatch(r"hidden(\d)", layer.name):
            # nn.Linear, nn.ReLU and nn.Dropout for each hidden layer.
            names[layer.name] = f"classifier.{(int(match[1]) - 1) * 3}"
        elif match := re.fullmatch(r"stem_(conv|norm)", layer.name):
            names[layer.name] = {"conv": "conv1", "norm": "bn1"}[match[1]]
        elif match := re.fullmatch(
            r"stage(\d)_block(\d+)_(shortcut_)?(conv|norm)(\d?)", layer.name
        ):
            stage, block, shortcut, kind, number = match.groups()
            block_name = f"layer{stage}.{int(block) - 1}"
            if shortcut:
                names[layer.name] = f"{block_name}.downsample.{int(kind == 'norm')}"
            else:
                kind = {"conv": "conv", "norm": "bn"}[kind]
                names[layer.name] = f"{block_name}.{kind}{number}"
        elif layer.name == "logits":
            hidden = sum(name.startswith("hidden") for name in names)
            names["logits"] = f"classifier.{hidden * 3}" if index else "fc"
    return names


def _in_keras_axes(
    network: keras.Model, layer: layers.Layer, array: np.ndarray
) -> np.ndarray:
    """Return `array` with Keras's order of axes."""
    if isinstance(layer, layers.Conv2D) and array.ndim == 4:
        return array.transpose(2, 3, 1, 0)  # (out, in, h, w) -> (h, w, in, out)
    if not isinstance(layer, layers.Dense) or array.ndim != 2:
        return array
    flatten = [other for other in network.layers if other.name == "flatten"]
    names = [other.name for other in weighted_layers(network)]
    is_first_dense = not names[names.index(layer.name) - 1].startswith("hidden")
    if flatten and is_first_dense:
        # PyTorch flattens (channels, height, width), Keras (height, width, channels).
        height, width, channels = flatten[0].input.shape[1:]
        if array.shape[1] == channels * height * width:
            array = array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
            array = array.reshape(len(array), -1)
    return array.T


def _read_state_dict(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise ValueError(f"state_dict must be an existing file, got {path}.")
    if path.suffix == ".safetensors":
        import safetensors.numpy

        try:
            return safetensors.numpy.load_file(path)
        # The last two: of types that NumPy does not have.
        except (safetensors.SafetensorError, AttributeError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{path}: must be safetensors: {reason}") from error
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"{path}: a {path.suffix} file needs PyTorch: install classicnets[torch], "
            "or bring the weights as safetensors."
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise ValueError(
            f"{path}: must be a state dict and nothing else, saved by torch.save."
        ) from error
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)
    if isinstance(content, Mapping) and all(isinstance(name, str) for name in content):
        return content
    raise ValueError(f"{path}: must hold a state dict, got {type(content).__name__}.")


def _to_numpy(tensor: Any) -> np.ndarray:
    if isinstance(tensor, np.ndarray):
        return tensor.astype("float32")
    if hasattr(tensor, "detach"):  # a PyTorch tensor, of any dtype, on any device
        return tensor.detach().cpu().float().numpy()
    raise ValueError(
        f"a state dict must hold tensors or arrays, got {type(tensor).__name__}."
    )
