"""Weights from elsewhere: keras.applications, torchvision, and our own files.

Every weight must find its place and every place its weight, in shape too, or nothing is
changed. The one exception is the head, the dense layers, since a network for other
classes has another: from the first layer of the head that does not fit, or is not
there, the layers keep the weights they started with, and their names are returned.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from classicnets.saved import check_size

Weights = dict[str, np.ndarray]  # by "layer.variable", in the names of their source

# The variables of a layer, by how many it has, in the order in which Keras keeps them.
VARIABLES: dict[int, tuple[str, ...]] = {
    1: ("kernel",),
    2: ("kernel", "bias"),
    3: ("kernel", "recurrent_kernel", "bias"),
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
}
TORCH_VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def load_weights(network: keras.Model, path: str | Path) -> list[str]:
    """Read weights from a file into `network`.

    Args:
        network: A network of ours, built for the weights in the file.
        path: A model or weights that Keras saved from the same network (.keras,
            .weights.h5), or a state dict with torchvision's names (.safetensors, or
            .pth, which needs PyTorch and is read without unpickling objects).

    Returns:
        Names of the layers of the head that the file did not fit: they keep the
        weights they had. Empty when everything was read.

    Raises:
        ValueError: For a file that is missing or of another kind, and for names and
            shapes that do not match. The network is then unchanged.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"weights must be an existing file, got {path}.")
    if path.suffix == ".keras":
        return _from_keras_model(network, _load_model(path), str(path))
    if path.name.endswith(".weights.h5"):
        return _transfer(network, _read_h5(path), lambda name: name, str(path))
    if path.suffix in (".safetensors", ".pth", ".pt"):
        return from_torch_state_dict(network, path)
    raise ValueError(
        "weights must be a .keras, .weights.h5, .safetensors or .pth file, "
        f"got {path.name}."
    )


def from_keras_applications(
    network: keras.Model, source_model: keras.Model
) -> list[str]:
    """Copy the weights of a model from `keras.applications` into `network`.

    Args:
        network: `vgg` of depth 16 or 19, or `resnet` with stride_on="1x1",
            convolution_bias=True and epsilon=1.001e-5.
        source_model: `keras.applications.VGG16`, `VGG19`, `ResNet50`, `ResNet101` or
            `ResNet152`, with or without its top. Its last softmax stays behind.

    Returns:
        Names of the layers of the head that keep the weights they had.

    Raises:
        ValueError: When the two differ in layers, shapes, strides or epsilon.
    """
    return _from_keras_model(network, source_model, source_model.name, _keras_name)


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

    return _transfer(network, weights, place, where, from_torch=True)


def freeze(network: keras.Model, *, trained: tuple[str, ...] = ("logits",)) -> None:
    """Make every layer of `network` keep its weights in training, but for `trained`.

    Batch normalization that is frozen also uses its stored statistics in training.

    Raises:
        ValueError: For a name in `trained` that `network` has no layer of.
    """
    names = [layer.name for layer in network.layers]
    for name in trained:
        if name not in names:
            raise ValueError(f"trained must name layers of {network.name}, got {name}.")
    for layer in network.layers:
        layer.trainable = layer.name in trained


def _transfer(
    network: keras.Model,
    weights: Weights,
    place: Callable[[str], str],
    where: str,
    *,
    from_torch: bool = False,
) -> list[str]:
    """Set the weights of `network` to `weights`, all or none.

    Args:
        network: Takes the weights.
        weights: The source's, by the source's names.
        place: From our name of a weight to the source's.
        where: Names the source in errors.
        from_torch: Whether kernels and images are in PyTorch's axis order.
    """
    remaining = dict(weights)
    values: list[tuple[layers.Layer, list[np.ndarray]]] = []
    fresh: list[str] = []
    missing: list[str] = []
    for layer in _weighted_layers(network):
        names = _variable_names(layer)
        found = [remaining.pop(place(name), None) for name in names]
        shapes = [tuple(weight.shape) for weight in layer.weights]
        arrays = [array for array in found if array is not None]
        if from_torch and len(arrays) == len(found):
            arrays = [_from_torch_axes(network, layer, array) for array in arrays]
        fits = [array.shape for array in arrays] == shapes
        if isinstance(layer, layers.Dense) and (fresh or not fits):
            fresh.append(layer.name)
        elif len(arrays) < len(found):
            pairs = zip(names, found, strict=True)
            missing += [place(name) for name, array in pairs if array is None]
        elif not fits:
            came = ", ".join(str(array.shape) for array in arrays)
            raise ValueError(
                f"{where}: the weights of {layer.name} must have the shapes "
                f"{', '.join(map(str, shapes))}, got {came}."
            )
        else:
            values.append((layer, arrays))
    if missing:
        raise ValueError(
            f"{where}: must have every weight of {network.name}, lacks "
            f"{_some(missing)}.{_has(remaining)}"
        )
    unexpected = [name for name in remaining if not _is_head(name)]
    if unexpected:
        raise ValueError(
            f"{where}: must fit {network.name} and its options, has also "
            f"{_some(unexpected)}."
        )
    for layer, arrays in values:
        layer.set_weights(arrays)
    return fresh


def _is_head(name: str) -> bool:
    """Tell whether `name` is a head's in any of the three sources."""
    return bool(re.match(r"(hidden\d|logits|fc\d?|predictions|classifier\.\d)\.", name))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return " ".join(", ".join(names[:3]).split()) + more  # a name may have lines


def _has(names: Mapping[str, Any]) -> str:
    return f" It has {_some(list(names))} instead." if names else ""


def _weighted_layers(model: keras.Model) -> list[layers.Layer]:
    """Return the layers of `model`, and of models in it, that have weights."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += _weighted_layers(layer)
        # Scales pixels in a run's model: part of the data's story, not the network's.
        elif layer.weights and not isinstance(layer, layers.Normalization):
            found.append(layer)
    return found


def _variable_names(layer: layers.Layer) -> list[str]:
    return _names_of(layer.name, len(layer.weights))


def _names_of(layer: str, count: int) -> list[str]:
    """Name the variables of a layer; by number where it has another count of them."""
    variables = VARIABLES.get(count) or map(str, range(count))
    return [f"{layer}.{variable}" for variable in variables]


# Keras ------------------------------------------------------------------------------


def _from_keras_model(
    network: keras.Model,
    source: keras.Model,
    where: str,
    rename: Callable[[str], str] = lambda name: name,
) -> list[str]:
    sources = {layer.name: layer for layer in _weighted_layers(source)}
    for layer in _weighted_layers(network):
        other = sources.get(rename(layer.name))
        for setting in ("strides", "epsilon"):
            # The shapes do not show them, and the outputs would be wrong.
            ours, theirs = getattr(layer, setting, None), getattr(other, setting, None)
            if other is not None and ours != theirs:
                raise ValueError(
                    f"{where}: {setting} of {layer.name} must be {ours} as in "
                    f"{network.name}, got {theirs}. Build the network with the options "
                    "of the source."
                )
    weights: Weights = {}
    for layer in sources.values():
        names = _variable_names(layer)
        weights |= dict(zip(names, layer.get_weights(), strict=True))

    def place(name: str) -> str:
        layer, variable = name.split(".")
        return f"{rename(layer)}.{variable}"

    return _transfer(network, weights, place, where)


def _keras_name(layer: str) -> str:
    """Return the name in keras.applications of our layer."""
    if match := re.fullmatch(r"hidden(\d)", layer):
        return f"fc{match[1]}"
    if layer == "logits":
        return "predictions"
    layer = layer.replace("norm", "bn")
    if match := re.fullmatch(r"stem_(conv|bn)", layer):
        return f"conv1_{match[1]}"
    if match := re.fullmatch(r"stage(\d)_block(\d+)_(conv|bn)(\d)", layer):
        return f"conv{int(match[1]) + 1}_block{match[2]}_{match[4]}_{match[3]}"
    if match := re.fullmatch(r"stage(\d)_block(\d+)_shortcut_(conv|bn)", layer):
        return f"conv{int(match[1]) + 1}_block{match[2]}_0_{match[3]}"
    return layer  # VGG's convolutions have the same name


def _load_model(path: Path) -> keras.Model:
    try:
        check_size(path)
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # whatever a damaged file makes its readers raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"{path}: must be a model saved by Keras: {reason}") from error


def _read_h5(path: Path) -> Weights:
    """Read what `Model.save_weights` wrote: variables by number."""
    import h5py  # comes with Keras

    weights: Weights = {}

    def visit(_: str, group: Any) -> None:
        if isinstance(group, h5py.Group) and len(group) and "name" in group.attrs:
            arrays = [np.asarray(group[str(i)]) for i in range(len(group))]
            # An LSTM's variables are those of its cell.
            in_cell = group.parent.name.endswith("/cell")
            layer = group.parent.parent["vars"] if in_cell else group
            names = _names_of(layer.attrs["name"], len(arrays))
            weights.update(zip(names, arrays, strict=True))

    try:
        with h5py.File(path) as file:
            file.visititems(visit)
    # RuntimeError: HDF5's own, where it comes to a damaged part.
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: must be weights saved by Keras 3.") from error
    return weights


# PyTorch ----------------------------------------------------------------------------


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


def _from_torch_axes(
    network: keras.Model, layer: layers.Layer, array: np.ndarray
) -> np.ndarray:
    """Return `array` with Keras's order of axes."""
    if isinstance(layer, layers.Conv2D) and array.ndim == 4:
        return array.transpose(2, 3, 1, 0)  # (out, in, h, w) -> (h, w, in, out)
    if not isinstance(layer, layers.Dense) or array.ndim != 2:
        return array
    flatten = [other for other in network.layers if other.name == "flatten"]
    names = [other.name for other in _weighted_layers(network)]
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
