"""Make src/classicnets/tasks/features.safetensors, the network that judges generators.

    python tools/make_features.py RUN --commit COMMIT

RUN is the folder of a finished and evaluated run. Its head is left out and its weights
are kept as float16, which halves the file; the header says where they come from. The
file that ships came from `classicnets train resnet20-cifar100-cpu` and
`classicnets evaluate` at commit 3c99320.
"""

import argparse
import json
import tomllib
from pathlib import Path

import keras
import numpy as np
from safetensors.numpy import save

TARGET = Path(__file__).parents[1] / "src/classicnets/tasks/features.safetensors"


def main() -> None:
    """Read a run, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--commit", required=True, help="that the run was trained at")
    parser.add_argument("-o", "--output", type=Path, default=TARGET)
    arguments = parser.parse_args()

    model = keras.saving.load_model(arguments.run / "model.keras")
    scaling, network = model.layers[1:]
    weights = {
        weight.path: keras.ops.convert_to_numpy(weight).astype("float16")
        for weight in network.weights
        if not weight.path.startswith("logits/")
    }
    lost = [name for name, weight in weights.items() if not np.isfinite(weight).all()]
    if lost:
        raise SystemExit(f"float16 must hold every weight, it cannot hold {lost}.")
    recipe = (arguments.run / "recipe.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(recipe)
    tested = json.loads((arguments.run / "metrics.json").read_text())["test"]
    header = {
        "network": settings["network"],
        "data": settings["data"],
        "top1": f"{tested['top1']:.4f} of {tested['examples']:,} test images",
        "commit": arguments.commit,
        "scale": json.dumps(
            scaling.scale
        ),  # of pixels in 0..255, one number per channel
        "offset": json.dumps(scaling.offset),
        "recipe": recipe,
    }
    arguments.output.write_bytes(save(weights, metadata=header))
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
