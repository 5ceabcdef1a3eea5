"""Break one place of the package at a time, and see `classicnets verify` find it.

    python tests/mutations.py

Each mutation is made in a copy of the package, where `classicnets verify NETWORK` must
then fail; on the copy as it was it must pass. Prints a line per mutation and exits with
1 if one is not found.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import classicnets

PACKAGE = Path(classicnets.__file__).parent
SECONDS = 1200


class Mutation(NamedTuple):
    """One place, what stands there, what shall stand there, and who must notice."""

    what: str
    file: str
    before: str
    after: str
    network: str
    quick: bool = True  # without the first steps on other backends


MUTATIONS = (
    Mutation(
        *("a stride on the wrong stage", "networks/resnet.py"),
        *("stride = 2 if stage > 1 and", "stride = 2 if stage > 2 and"),
        "resnet18",
    ),
    Mutation(
        *("batch norm's epsilon, Keras's own", "networks/resnet.py"),
        *("momentum=0.9, epsilon=style.epsilon", "momentum=0.9, epsilon=1e-3"),
        "resnet18",
    ),
    Mutation(
        *("a filter count", "networks/vgg.py"),
        *("FILTERS = (64, 128, 256, 512, 512)", "FILTERS = (64, 128, 256, 512, 256)"),
        "vgg11",
    ),
    Mutation(
        *("less dropout", "networks/vgg.py"),
        *("dropout: float = 0.5", "dropout: float = 0.2"),
        "vgg11",
    ),
    Mutation(
        *("shortcuts that average", "networks/resnet_cifar.py"),
        *("layers.AveragePooling2D(1, stride,", "layers.AveragePooling2D(2, stride,"),
        "resnet20",
    ),
    Mutation(
        *("batch norm's momentum, Keras's own", "networks/resnet_cifar.py"),
        *("momentum=0.9, epsilon=1e-5", "momentum=0.99, epsilon=1e-5"),
        "resnet20",
    ),
    Mutation(
        *("the output before the text's last token", "networks/lstm.py"),
        *("ops.maximum(self.lengths - 1, 0)", "ops.maximum(self.lengths - 2, 0)"),
        "lstm",
    ),
    Mutation(
        *("no dropout between the layers", "networks/lstm.py"),
        *("if layer > 1:", "if layer > len(units):"),
        "lstm",
    ),
    Mutation(
        *("a code that is no longer linear", "networks/autoencoder.py"),
        *(
            'code = layers.Dense(latent_size, name="code")',
            'code = layers.Dense(latent_size, "relu", name="code")',
        ),
        "autoencoder",
    ),
    Mutation(
        *("one Dense for mean and variance", "networks/vae.py"),
        *(
            'log_variance = layers.Dense(latent_size, name="log_variance")(x)',
            'log_variance = layers.Activation("linear", name="log_variance")(mean)',
        ),
        "vae",
    ),
    Mutation(
        *("the slope of a leaky ReLU", "networks/gan.py"),
        *("layers.LeakyReLU(0.2,", "layers.LeakyReLU(0.3,"),
        "gan",
    ),
    Mutation(
        *("layer norm over positions instead of the image", "networks/dcgan.py"),
        *("GroupNormalization(1, eps", "GroupNormalization(-1, eps"),
        "dcgan",
    ),
    Mutation(
        *("batch norm in the penalised critic", "networks/wgan_gp.py"),
        *(
            'layers.GroupNormalization(1, epsilon=1e-5, name=f"norm{layer}")',
            'layers.BatchNormalization(epsilon=1e-5, name=f"norm{layer}")',
        ),
        "wgan_gp",
    ),
    Mutation(
        *("a block that does not halve", "networks/wgan_gp_resnet.py"),
        *("block == 2 and halvings", "block == 3 and halvings"),
        "wgan_gp_resnet",
    ),
    Mutation(
        *("a sign in the KL", "objectives.py"),
        *("- 1.0 - log_variance, axis=-1", "- 1.0 + log_variance, axis=-1"),
        "vae",
    ),
    Mutation(
        *("one gradient norm for the whole batch", "objectives.py"),
        *(
            "squared_norms = ops.sum(ops.square(_flat(gradients)), axis=-1)",
            "squared_norms = ops.sum(ops.square(gradients))",
        ),
        "gan",
    ),
    Mutation(
        *("one mix for the whole batch", "objectives.py"),
        *("between = mix * real", "mix = mix[:1]; between = mix * real"),
        "gan",
    ),
    Mutation(
        *("the mix drawn from a normal", "tasks/generate.py"),
        *(
            'inputs["mix"] = streams.uniform(',
            'inputs["mix"] = streams.normal(',
        ),
        "dcgan",
    ),
    Mutation(
        *("a penalty that is subtracted", "tasks/generate.py"),
        *(
            "loss + self.recipe.penalty * penalty",
            "loss - self.recipe.penalty * penalty",
        ),
        *("dcgan", False),
    ),
    Mutation(
        *("a KL that is left out of the loss", "tasks/reconstruct.py"),
        *(
            "loss = reconstruction + batch",
            "loss = reconstruction + 0.0 * batch",
        ),
        *("vae", False),
    ),
    Mutation(
        *("training= forgotten in the step", "tasks/classify.py"),
        *("network(inputs, training=True)", "network(inputs, training=False)"),
        *("resnet20", False),
    ),
    Mutation(
        *("L2 with the wrong sign", "optimization.py"),
        *("add_decay(gradient, variable, ", "add_decay(gradient, variable, -"),
        "autoencoder",
    ),
    Mutation(
        *("the order of the gates on JAX and TensorFlow", "engine/kernels.py"),
        *(
            "i, f, g, o = ops.split(gates, 4, axis=-1)",
            "f, i, g, o = ops.split(gates, 4, axis=-1)",
        ),
        *("lstm", False),
    ),
)


def main() -> None:
    """Read the command line, mutate, print; exit with 1 if a mutant survives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="files whose name has this in it")
    options = parser.parse_args()
    mutations = [mutation for mutation in MUTATIONS if options.only in mutation.file]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for network, quick in dict.fromkeys((m.network, m.quick) for m in mutations):
            code, failure, seconds = verify(copy, network, quick)
            tell("nothing", "", network, code == 0, failure, seconds)
            survivors += code != 0
        for mutation in mutations:
            before = mutate(copy, mutation)
            code, failure, seconds = verify(copy, mutation.network, mutation.quick)
            (copy / mutation.file).write_text(before, "utf-8")
            right = code == 1
            named = (mutation.what, mutation.file, mutation.network)
            tell(*named, right, failure, seconds)
            survivors += not right
    print(f"{len(mutations)} mutations, {survivors} not as they must be")
    sys.exit(1 if survivors else 0)


def mutate(copy: Path, mutation: Mutation) -> str:
    """Change every such place in the file, and return what the file was."""
    path = copy / mutation.file
    before = path.read_text("utf-8")
    if mutation.before not in before:
        raise SystemExit(f"{mutation.file} has no {mutation.before!r} any more.")
    path.write_text(before.replace(mutation.before, mutation.after), "utf-8")
    return before


def verify(copy: Path, network: str, quick: bool) -> tuple[int, str, float]:
    """Return the exit code on the copy, the first proof that fails, the seconds."""
    started = time.monotonic()
    command = [sys.executable, "-m", "classicnets", "verify", network, "--json"]
    result = subprocess.run(
        [*command, "--quick"] if quick else command,
        env=os.environ | {"PYTHONPATH": str(copy.parent)},
        cwd=copy.parent,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    failed = [row["proof"] for row in rows if row["ok"] is False]
    failure = (failed or [(result.stderr.strip().splitlines() or [""])[-1]])[0]
    if failed and len(failed) > 1:
        failure += f" and {len(failed) - 1} more"
    return result.returncode, failure, time.monotonic() - started


def tell(what, file, network, right, failure, seconds) -> None:
    """Print one line."""
    verdict = ("SURVIVED", "found") if file else ("FAILED", "passed")
    print(
        f"{verdict[right]:9}| {network:15}| {file:27}| {what:46}| {failure}"
        f" ({seconds:.0f} s)",
        flush=True,
    )


if __name__ == "__main__":
    main()
