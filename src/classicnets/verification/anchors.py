"""The numbers that the networks must have, from papers and from others' programs.

Written by hand, never computed by this package. The tests of networks read them too.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Count(NamedTuple):
    """Trained parameters and multiply-adds; of a pair two of each.

    Multiply-adds of `millions` are rounded to millions, as torchvision documents them.
    """

    source: str
    shape: tuple[int | None, ...]
    classes: int
    parameters: tuple[int, ...]
    multiply_adds: tuple[int, ...] = ()
    millions: int = 0
    options: Mapping[str, Any] = MappingProxyType({})


IMAGENET, CIFAR, MNIST = (224, 224, 3), (32, 32, 3), (28, 28, 1)

# Trained parameters of torchvision's networks, 1000 classes, and their multiply-adds at
# 224x224 in millions.
TORCHVISION = {
    "vgg11": (132_863_336, 7_609),
    "vgg13": (133_047_848, 11_308),
    "vgg16": (138_357_544, 15_470),
    "vgg19": (143_667_240, 19_632),
    "vgg11_bn": (132_868_840, 7_609),
    "vgg13_bn": (133_053_736, 11_308),
    "vgg16_bn": (138_365_992, 15_470),
    "vgg19_bn": (143_678_248, 19_632),
    "resnet18": (11_689_512, 1_814),
    "resnet34": (21_797_672, 3_664),
    "resnet50": (25_557_032, 4_089),
    "resnet101": (44_549_160, 7_801),
    "resnet152": (60_192_808, 11_514),
}

# VGG with batch norm on images of 32x32, 100 classes: the head starts from 512.
VGG_ON_SMALL_IMAGES = {"vgg16_bn": 34_015_396, "vgg19_bn": 39_327_652}

# With the small stem, 100 classes (weiaicunzai/pytorch-cifar100).
SMALL_STEM = {
    "resnet18": 11_220_132,
    "resnet34": 21_328_292,
    "resnet50": 23_705_252,
}

# All parameters in keras.applications, batch statistics with them.
KERAS_APPLICATIONS = {
    "resnet50": 25_636_712,
    "resnet101": 44_707_176,
    "resnet152": 60_419_944,
}
# The options with which ResNets are those of keras.applications.
KERAS_OPTIONS = {"stride_on": "1x1", "convolution_bias": True, "epsilon": 1.001e-5}

# 10 classes: 0.27, 0.46, 0.66, 0.85 and 1.7 million in He et al. 2015, table 6. All but
# three of the convolutions take 32 x 32 x 9 x 16 x 16 = 2,359,296 multiply-adds.
RESNETS_ON_CIFAR = {
    "resnet20": (269_722, 442_368 + 16 * 2_359_296 + 2 * 1_179_648 + 640),
    "resnet32": (464_154, 442_368 + 28 * 2_359_296 + 2 * 1_179_648 + 640),
    "resnet44": (658_586, 442_368 + 40 * 2_359_296 + 2 * 1_179_648 + 640),
    "resnet56": (853_018, 442_368 + 52 * 2_359_296 + 2 * 1_179_648 + 640),
    "resnet110": (1_727_962, 442_368 + 106 * 2_359_296 + 2 * 1_179_648 + 640),
}

# The depth in a name counts the layers with weights.
DEPTHS = {
    **{f"vgg{depth}": depth for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}_bn": depth for depth in (11, 13, 16, 19)},
    **{f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}": depth for depth in (20, 32, 44, 56, 110)},
}

# The others, by the arithmetic of their layers.
_ARITHMETIC = {
    # 20,000 x 100; 4 x 64 x (100 + 64 + 1); 4 x 64 x (64 + 64 + 1); 2 x (64 + 1)
    "lstm": Count(
        "the equations",
        (400,),
        2,
        (2_000_000 + 42_240 + 33_024 + 130,),
        (400 * 4 * 64 * (164 + 128) + 128,),
    ),
    # 784-1000-500-250-30 and back
    "autoencoder": Count("Science 313", MNIST, 0, (2_837_314,), (2 * 1_416_500,)),
    # Convolutions of 16 + 1 and 512 + 1 weights a filter, 3136-256-30 and back
    "conv_autoencoder": Count(
        "its layers",
        MNIST,
        0,
        (544 + 32_832 + 803_072 + 7_710 + 7_936 + 805_952 + 32_800 + 513,),
        (2 * (14 * 14 * 512 + 7 * 7 * 32_768 + 802_816 + 7_680),),
    ),
    # (784 + 1) 400 + 2 (400 + 1) 20 + (20 + 1) 400 + (400 + 1) 784, as public
    # programs of this shape have.
    "vae": Count(
        "784-400-20", MNIST, 0, (652_824,), (313_600 + 16_000 + 8_000 + 313_600,)
    ),
    # (16 + 1) 32 + (16 * 32 + 1) 64 + (3136 + 1) 256 + 2 (256 + 1) 20, and back
    # (20 + 1) 256 + (256 + 1) 3136 + (16 * 64 + 1) 32 + (16 * 32 + 1)
    "conv_vae": Count(
        "its layers",
        MNIST,
        0,
        (1_691_369,),
        (2 * (14 * 14 * 512 + 7 * 7 * 32_768 + 802_816) + 10_240 + 5_120,),
    ),
    # 100-1200-1200-784 and 784-1200-240-1
    "gan": Count(
        "its layers", MNIST, 0, (2_503_984, 1_230_481), (2_500_800, 1_229_040)
    ),
    # The public PyTorch example at 64x64 has 3,576,704 and 2,765,568: it leaves out the
    # biases of the last layers and of the first convolution.
    "dcgan": Count(
        "the PyTorch example",
        (64, 64, 3),
        0,
        (3_576_704 + 3, 2_765_568 + 64 + 1),
        (
            819_200 + 3 * 33_554_432 + 3_145_728,
            3_145_728 + 3 * 33_554_432 + 8_192,
        ),
    ),
    # The tutorial's generator has 256 + 128 biases more, which batch norm takes away.
    "wgan_gp": Count(
        "the tutorial",
        (64, 64, 3),
        0,
        (2_471_555 - 256 - 128, 1_030_273),
        (
            460_800 + 9 * 9 * 512 * 256 + 81 * 25 * 256 * 128 + 441 * 16 * 128 * 3,
            400 * 25 * 3 * 64 + 36 * 25 * 64 * 128 + 25 * 128 * 256 + 256,
        ),
    ),
    # At 32x32 the paper's table; the arithmetic is in tests/networks/test_wgan_gp.py.
    "wgan_gp_resnet": Count("the paper's table", CIFAR, 0, (1_204_099, 1_053_825)),
}
# At 64x64 the authors' program.
_WGAN_GP_AT_64 = Count("the authors' program", (64, 64, 3), 0, (8_540_483, 7_491_841))


def _counts() -> dict[str, list[Count]]:
    counts = {name: [count] for name, count in _ARITHMETIC.items()}
    counts["wgan_gp_resnet"].append(_WGAN_GP_AT_64)
    for name, (parameters, millions) in TORCHVISION.items():
        counts[name] = [
            Count("torchvision", IMAGENET, 1000, (parameters,), millions=millions)
        ]
    for name, (parameters, multiply_adds) in RESNETS_ON_CIFAR.items():
        counts[name] = [
            Count("He et al., table 6", CIFAR, 10, (parameters,), (multiply_adds,))
        ]
    for name, parameters in VGG_ON_SMALL_IMAGES.items():
        counts[name].append(Count("the 512 head", CIFAR, 100, (parameters,)))
    for name, parameters in SMALL_STEM.items():
        small = {"stem": "small"}
        counts[name].append(
            Count("pytorch-cifar100", CIFAR, 100, (parameters,), options=small)
        )
    return counts


COUNTS = _counts()

# Places of dropout: the layer before each, and the fraction dropped.
DROPOUTS = {
    "vgg": {"hidden1": 0.5, "hidden2": 0.5},  # 1409.1556, section 3.1
    "gan": {"relu1": 0.3, "relu2": 0.3},  # after each hidden layer of the opponent
    "lstm": {"lstm1": 0.25},  # between the layers, and before the logits
}
