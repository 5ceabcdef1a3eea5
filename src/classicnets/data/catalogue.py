"""The named data sets, as they can be described before they are there."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dataset:
    """A named set.

    Args:
        title: What it shows, and who made it.
        image: (height, width, channels); None for texts.
        train_examples, test_examples: How many there are.
        class_names: The name of class 0, 1, ...
    """

    title: str
    image: tuple[int, int, int] | None
    train_examples: int
    test_examples: int
    class_names: tuple[str, ...]


_DIGIT_NAMES = tuple("0123456789")
_FASHION_NAMES = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
_CIFAR10_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_CIFAR100_NAMES = tuple(
    """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy
    bridge bus butterfly camel can castle caterpillar cattle chair chimpanzee clock
    cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest
    fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter
    palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit
    raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
    worm""".split()  # noqa: SIM905 - a hundred lines of names would hide the rest
)

DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        "handwritten digits, 8x8, upscaled (Alpaydin, Kaynak 1998; in scikit-learn)",
        (32, 32, 1),
        1438,
        359,
        _DIGIT_NAMES,
    ),
    "mnist": Dataset(
        "handwritten digits (LeCun, Cortes, Burges 1998)",
        (28, 28, 1),
        60000,
        10000,
        _DIGIT_NAMES,
    ),
    "fashion_mnist": Dataset(
        "pictures of clothing (Xiao, Rasul, Vollgraf 2017)",
        (28, 28, 1),
        60000,
        10000,
        _FASHION_NAMES,
    ),
    "cifar10": Dataset(
        "photographs of 10 kinds of things (Krizhevsky 2009)",
        (32, 32, 3),
        50000,
        10000,
        _CIFAR10_NAMES,
    ),
    "cifar100": Dataset(
        "photographs of 100 kinds of things, fine labels (Krizhevsky 2009)",
        (32, 32, 3),
        50000,
        10000,
        _CIFAR100_NAMES,
    ),
    "imdb": Dataset(
        "film reviews, texts (Maas et al. 2011)",
        None,
        25000,
        25000,
        ("negative", "positive"),
    ),
}
