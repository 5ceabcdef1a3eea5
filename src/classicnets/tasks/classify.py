"""Classification: a network that returns logits, and one label an example."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from classicnets import engine, objectives, optimization
from classicnets.data import Examples, Rows, Splits, augmentation
from classicnets.recipe import Recipe

LOGS = ("loss", "accuracy")


class Classify:
    """Minimizes the cross-entropy of the labels."""

    def __init__(self, network: keras.Model, recipe: Recipe, splits: Splits):
        self.network = network
        self.recipe = recipe
        self.splits = splits
        self.classes = len(splits.class_names)
        self.mean, self.deviation = _channel_statistics(splits.train, recipe.normalize)
        self.optimizer = optimization.optimizer(recipe)
        self.optimizer.build(network.trainable_variables)
        self.averages = _copies(network) if recipe.ema else []
        self.state = [*network.variables, *self.optimizer.variables, *self.averages]
        self.arrays = _on_device(splits.train)
        full = splits.train.inputs.shape[1]  # the loop asks for it as 0
        sizes = {0, *(size for _, size in recipe.progressive_sizes)} - {full}
        self._networks = {size: self._for_size(size) for size in sizes}
        self._steps: dict = {}  # the compiled step by image size
        self._forward: Callable | None = None

    # -- learning ------------------------------------------------------------

    def draws(self, steps: int, epoch: int) -> dict[str, np.ndarray]:
        """Draw the random numbers of an epoch; see `augmentation.draw`."""
        side = self.splits.train.inputs.shape[1:3]
        return augmentation.draw(self.recipe, side, steps, epoch=epoch)

    def train(self, batches: dict, steps: int, image_size: int = 0) -> dict:
        """Learn from the first `steps` of `batches`.

        Args:
            batches: `index` (rows, batch), the examples; `learning_rate` (rows,); and
                one epoch's draws.
            steps: How many of the rows to run.
            image_size: Pixels a side that images are resized to; 0: their own.

        Returns:
            The sums of loss and accuracy over the steps.
        """
        if image_size not in self._steps:
            self._steps[image_size] = self._compile(image_size)
        index = batches["index"]
        batches = {**batches, "label": self.splits.train.labels[index]}
        if not self.arrays:
            flat = self.splits.train.inputs[index.reshape(-1)]
            batches["image"] = flat.reshape(*index.shape, *flat.shape[1:])
        return self._steps[image_size](self.arrays, batches, steps)

    def _for_size(self, image_size):
        shape = self.splits.train.inputs.shape[1:]
        if image_size:
            shape = (image_size, image_size, shape[-1])
        try:
            return engine.rebuild(self.network, shape, self.recipe.fast_kernels)
        except ValueError:
            raise ValueError(
                f"progressive_sizes must suit the network, {self.recipe.network} cannot"
                f" take {image_size}x{image_size}."
            ) from None

    def _compile(self, image_size):
        network = self._networks[image_size]

        def step(arrays, batch):
            return self._step(network, arrays, batch, image_size)

        return engine.compile_steps(step, self.state, LOGS)

    def _step(self, network, arrays, batch, image_size):
        """Scale, augment, forward, loss, gradients, update."""
        recipe = self.recipe
        if "image" in batch:
            images = batch["image"]
        else:
            images = ops.take(arrays["image"], batch["index"], axis=0)
        images = augmentation.augment(images, batch, crop_padding=recipe.crop_padding)
        images = self._scale(images)
        if "hole" in batch:
            images = augmentation.cut_out(images, batch["hole"], size=recipe.cutout)
        targets = ops.one_hot(batch["label"], self.classes, dtype="float32")
        images, targets = augmentation.mix(images, targets, batch)
        targets = objectives.smooth(targets, recipe.label_smoothing)
        if image_size:
            images = ops.image.resize(images, (image_size, image_size), antialias=True)

        def loss_function():
            logits = ops.cast(network(images, training=True), "float32")
            loss = objectives.cross_entropy(logits, targets)
            return self.optimizer.scale_loss(loss), (loss, logits)

        variables = self.network.trainable_variables
        (_, (loss, logits)), gradients = engine.value_and_gradients(
            loss_function, variables, self.state
        )
        self.optimizer.learning_rate.assign(batch["learning_rate"])
        engine.apply_gradients(self.optimizer, gradients, variables)
        for average, variable in zip(self.averages, _averaged(self.network)):
            average.assign(average + (1.0 - recipe.ema) * (variable - average))
        hits = ops.argmax(logits, axis=-1) == ops.argmax(targets, axis=-1)
        return {"loss": loss, "accuracy": ops.mean(ops.cast(hits, "float32"))}

    def _scale(self, images):
        # PyTorch's tensors do not mix with NumPy's arrays.
        mean, deviation = map(ops.convert_to_tensor, (self.mean, self.deviation))
        return (ops.cast(images, "float32") / 255.0 - mean) / deviation

    # -- judging -------------------------------------------------------------

    def validate(self) -> dict[str, float]:
        """Return loss (nats), top-1 and top-5 accuracy on the validation split."""
        logits = self.logits(self.splits.validation.inputs)
        return scores(logits, self.splits.validation.labels)

    def logits(self, images: np.ndarray | Rows) -> np.ndarray:
        """Return (n, classes) for raw images (n, height, width, channels)."""
        forward = self._forward = self._forward or self._compile_forward()
        with self.averaged_weights():
            size = min(self.recipe.evaluation_batch_size, len(images))
            return in_batches(lambda batch: forward({}, {"image": batch}), images, size)

    def _compile_forward(self):
        network = self._networks[0]

        def forward(arrays, batch):
            logits = network(self._scale(batch["image"]), training=False)
            return ops.cast(logits, "float32")

        return engine.compile_function(forward, self.state)

    def averaged_weights(self):
        """Put the averaged weights into the network while the context lasts."""
        return _Swapped(_averaged(self.network), self.averages)

    def export(self) -> keras.Model:
        """Return a float32 model from raw pixels to logits; see `with_scaling`."""
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")
        try:
            plain = keras.models.clone_model(self.network, clone_function=_in_float32)
            with self.averaged_weights():
                plain.set_weights(self.network.get_weights())
            return with_scaling(plain, self.mean, self.deviation)
        finally:
            keras.config.set_dtype_policy(policy)


def with_scaling(network: keras.Model, mean, deviation) -> keras.Model:
    """Put the scaling of pixels inside a model.

    Args:
        network: Takes normalized images (batch, height, width, channels).
        mean, deviation: (channels,), of pixels in [0, 1].

    Returns:
        A model from pixels in 0..255 (batch, height, width, channels) to logits.
    """
    pixels = keras.Input(network.input_shape[1:], name="pixels")
    scale = 1.0 / (255.0 * deviation)
    offset = -mean / deviation
    x = keras.layers.Rescaling(scale.tolist(), offset.tolist())(pixels)
    return keras.Model(pixels, network(x), name=f"{network.name}_on_pixels")


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return loss (nats), top-1 and top-5 accuracy of (n, classes) logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    rank = (logits > own).sum(axis=1)
    own_log = np.take_along_axis(log_probabilities, labels[:, None], axis=1)
    return {
        "loss": float(-own_log.mean()),
        "top1": float((logits.argmax(axis=1) == labels).mean()),
        "top5": float((rank < 5).mean()),
    }


def judge(logits: np.ndarray, labels: np.ndarray, class_names) -> dict:
    """Return `scores`, and recall and precision a class and the confusion matrix."""
    classes = len(class_names)
    predicted = logits.argmax(axis=1)
    confusion = np.bincount(labels * classes + predicted, minlength=classes**2)
    confusion = confusion.reshape(classes, classes)
    right, of_class = confusion.diagonal(), confusion.sum(axis=1)
    called = confusion.sum(axis=0)
    per_class = [
        {
            "name": name,
            "examples": int(of_class[k]),
            "recall": float(right[k] / of_class[k]) if of_class[k] else None,
            "precision": float(right[k] / called[k]) if called[k] else None,
        }
        for k, name in enumerate(class_names)
    ]
    return {
        "examples": len(labels),
        **scores(logits, labels),
        "per_class": per_class,
        "confusion": confusion.tolist(),
    }


def in_batches(function, inputs, size: int) -> np.ndarray:
    """Apply `function` to batches of one `size`; the last one is padded, then cut."""
    results = []
    for first in range(0, len(inputs), size):
        batch = np.asarray(inputs[first : first + size])
        missing = size - len(batch)
        if missing:
            batch = np.concatenate([batch, np.repeat(batch[:1], missing, axis=0)])
        results.append(function(batch)[: size - missing])
    return np.concatenate(results)


def _channel_statistics(train: Examples, normalize: bool):
    """Return mean and deviation (channels,) of pixels in [0, 1], from 20,000 images."""
    channels = train.inputs.shape[-1]
    if not normalize:
        return np.zeros(channels, "float32"), np.ones(channels, "float32")
    rows = np.arange(0, len(train), max(1, len(train) // 20_000))
    total, squares, count = np.zeros(channels), np.zeros(channels), 0
    for first in range(0, len(rows), 1000):
        pixels = train.inputs[rows[first : first + 1000]].reshape(-1, channels) / 255.0
        total += pixels.sum(axis=0)
        squares += np.square(pixels).sum(axis=0)
        count += len(pixels)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
    return mean.astype("float32"), deviation.astype("float32")


def _on_device(train: Examples) -> dict:
    if train.inputs.nbytes > engine.DEVICE_BYTES:
        return {}
    return {"image": engine.to_device(np.asarray(train.inputs))}


def _averaged(network):
    """Weights and batch statistics: all variables but the seeds of dropout."""
    return [*network.trainable_variables, *_statistics(network)]


def _statistics(network):
    return [v for v in network.non_trainable_variables if v.dtype.startswith("float")]


def _copies(network):
    return [
        keras.Variable(ops.convert_to_numpy(v), trainable=False, name=f"ema_{v.name}")
        for v in _averaged(network)
    ]


def _in_float32(layer):
    config = layer.get_config()
    config.pop("dtype", None)
    return layer.__class__.from_config(config)


class _Swapped:
    """Give `variables` the `values` of others inside a `with`."""

    def __init__(self, variables: list, values: list):
        self.variables, self.values = variables if values else [], values

    def __enter__(self):
        self.kept = [ops.convert_to_numpy(v).copy() for v in self.variables]
        for variable, value in zip(self.variables, self.values):
            variable.assign(ops.convert_to_numpy(value))

    def __exit__(self, *_):
        for variable, value in zip(self.variables, self.kept):
            variable.assign(value)
