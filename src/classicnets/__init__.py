"""Classic neural networks on Keras 3: readable, proven, trained, fast.

>>> import classicnets as cn
>>> run = cn.train("resnet20-digits", epochs=2)
>>> run.evaluate()["top1"]
>>> cn.create("resnet18", input_shape=(32, 32, 3), classes=10)
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# TensorFlow convolves up to twice as fast through oneDNN, which it takes by itself only
# on processors with VNNI. It reads this when it is first imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if TYPE_CHECKING:
    from classicnets.crossval import cross_validate as cross_validate
    from classicnets.errors import RunError as RunError
    from classicnets.errors import Stopped as Stopped
    from classicnets.errors import UserError as UserError
    from classicnets.inference.evaluation import evaluate as evaluate
    from classicnets.inference.predicting import predict as predict
    from classicnets.inference.sampling import interpolate as interpolate
    from classicnets.inference.sampling import reconstruct as reconstruct
    from classicnets.inference.sampling import sample as sample
    from classicnets.networks import create as create
    from classicnets.networks import create_pair as create_pair
    from classicnets.recipe import Recipe as Recipe
    from classicnets.runs.run import Run as Run
    from classicnets.training import resume as resume
    from classicnets.training import train as train

__version__ = "0.1.0"

# Where each public name lives. They are imported when first used, so that
# `import classicnets` is quick and the backend can still be chosen after it.
_HOME = {
    "Recipe": "recipe",
    "Run": "runs.run",
    "RunError": "errors",
    "Stopped": "errors",
    "UserError": "errors",
    "create": "networks",
    "create_pair": "networks",
    "cross_validate": "crossval",
    "evaluate": "inference.evaluation",
    "interpolate": "inference.sampling",
    "predict": "inference.predicting",
    "reconstruct": "inference.sampling",
    "resume": "training",
    "sample": "inference.sampling",
    "train": "training",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'classicnets' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"classicnets.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
