"""The streams of random numbers: apart from each other, and the same for good."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import classicnets
from classicnets import data, streams
from classicnets.streams import Stream

PACKAGE = Path(classicnets.__file__).parent
EPOCHS = 10_000_000  # more than any run has
BY_EPOCH = {"ORDER", "AUGMENTATION", "CALLS", "WINDOWS", "BALANCE"}
# Published numbers hang on it, and a run has images or texts.
SAME_KEY = ("AUGMENTATION", "CALLS")
# Streams that several files draw from: why that is one use.
SHARED = {
    "AUGMENTATION": "verify repeats the steps of a run",
    "GREY": "verify repeats the steps of a run",
    "MIX": "verify repeats the steps of a run",
    "NOISE": "a run is a VAE's or a GAN's, and verify repeats the steps of one",
    "SAMPLES": "a run is a VAE's or a GAN's, and verify repeats its pictures",
    "SCORES": "a run is a VAE's or a GAN's, and verify repeats its bounds",
    "REAL": "the real images of the validation and those of the test",
}
# Files with a source of their own.
OWN_SOURCES = {
    "data/texts/cooccurrence.py": "the beginning of a decomposition, always the same",
    "engine/torch.py": "dropout, seeded by Keras's own seed generator",
    "inference/export.py": "inputs to compare the outputs of a file on",
    "pictures.py": "the order in which points are drawn over each other",
    "reports/paired.py": "the resamples of a bootstrap, always the same",
    "verification/drawing.py": "inputs and weights that are the same on every backend",
    "verification/first_steps.py": "inputs",
    "verification/formulas.py": "inputs",
    "verification/outputs.py": "inputs",
    "verification/step_cases.py": "inputs",
}
# The first word of the key (0, number) at steps 0 and 7, as NumPy's Philox gives it.
FIRST_WORDS = {
    "TEST": (0xD1B4E30B9F062B4C, 0xD9CD73BAC2764582),
    "VALIDATION": (0xF9D01FAAC0E44E22, 0x0775D0213A02F1CC),
    "FOLD": (0x1EDE120C07530B53, 0x84E0A6A811BC40A9),
    "ORDER": (0x02F4BA6408E4D89B, 0xC851C8581A9882F7),
    "AUGMENTATION": (0x68F2A1CB1907A6F3, 0x5C44DCD3C01D5822),
    "CALLS": (0x68F2A1CB1907A6F3, 0x5C44DCD3C01D5822),
    "WINDOWS": (0x9883E255099FE9FB, 0xC005B660CF363370),
    "BALANCE": (0x993C757B5091E053, 0xD667030719B79012),
    "NOISE": (0xDDC0DB910D20A4B6, 0xD3338F1659EA443D),
    "MIX": (0x6532BB63014569B3, 0x43A6306088F81AFE),
    "GREY": (0x1281BA634915DEF1, 0x41046BE244AEB1F5),
    "SAMPLES": (0x73B233C0A6D88E43, 0x90DC3D613913F312),
    "SCORES": (0xAB68067A26C14063, 0xFF2D3FA498F0B6D3),
    "REAL": (0x99DA92338386C896, 0xE0D0B9A4530B3B7B),
    "BINARY": (0x38E53AB050DF6390, 0x9A875AAA36316E23),
    "SUBSET": (0xE31B9D4B3B888B2C, 0x676948CFF5E1F713),
    "FLOOR": (0xE8ED8717CB01F924, 0xB6E406DC80DFFC0C),
    "RIVAL": (0xC0A12174BB6DA036, 0xCCCCD6E05FBEB76F),
}


def sources():
    """Yield every file of the package but `streams.py`: its path and its text."""
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        if name != "streams.py":
            yield name, file.read_text(encoding="utf-8")


def uses():
    """Return the files that draw from each stream."""
    files = {name: set() for name in Stream.__members__}
    for file, text in sources():
        for name in re.findall(r"\bStream\.([A-Z]+)", text):
            files[name].add(file)
    return files


@pytest.mark.parametrize("name", Stream.__members__)
def test_the_numbers_of_a_stream_are_those_of_the_published_results(name):
    words = [int(streams.philox(0, Stream[name], step).random_raw()) for step in (0, 7)]
    assert words == list(FIRST_WORDS[name])


def test_what_is_drawn_from_a_stream_is_what_was_drawn_for_the_published_results():
    assert streams.words(2, 0, Stream.ORDER).tolist() == [
        0x02F4BA6408E4D89B,
        0x3DD62B0B9CA8C5B2,
    ]
    assert data.epoch_order(8, seed=0, epoch=3).tolist() == [5, 4, 6, 7, 0, 1, 2, 3]
    np.testing.assert_array_equal(
        streams.normal(0, Stream.NOISE, [0, 7], (2,)),
        np.float32([[0.099303991, -1.43158591], [0.377065301, -0.588404]]),
    )
    np.testing.assert_array_equal(
        streams.uniform(0, Stream.MIX, [0, 7], (2,)),
        np.float32([[0.00496536493, 0.395305336], [0.535035729, 0.264254570]]),
    )
    np.testing.assert_array_equal(
        streams.codes(1, 3, 0), np.float32([[-0.248229161, -0.0267670155, -1.94441628]])
    )


def test_no_two_streams_have_a_key_in_common_in_ten_million_epochs():
    lasts = {name: EPOCHS - 1 if name in BY_EPOCH else 0 for name in Stream.__members__}
    overlaps = [
        (one, other)
        for one, other in itertools.combinations(Stream.__members__, 2)
        if Stream[one] <= Stream[other] + lasts[other]
        and Stream[other] <= Stream[one] + lasts[one]
    ]
    assert overlaps == [SAME_KEY]
    assert max(Stream) + EPOCHS < 2**64


def test_steps_of_a_stream_are_apart_by_their_counters():
    for step in (0, 1, 10**9):
        state = streams.philox(5, Stream.NOISE, step).state["state"]
        assert state["key"].tolist() == [5, Stream.NOISE]
        assert state["counter"].tolist() == [0, 0, 0, step]  # 2^192 numbers per step


def test_an_epoch_is_added_to_the_streams_that_have_room_for_it_alone():
    text = "".join(text for _, text in sources())
    assert set(re.findall(r"\bStream\.([A-Z]+) \+", text)) == BY_EPOCH


def test_every_stream_has_one_use():
    assert all(uses().values()), "a stream that nobody draws from"
    assert {name for name, files in uses().items() if len(files) > 1} == set(SHARED)


def test_every_random_number_comes_from_a_stream():
    source = r"np\.random\.\w+\(|default_rng|SFC64|random_state|keras\.random"
    own = {file for file, text in sources() if re.search(source, text)}
    assert own == set(OWN_SOURCES)
