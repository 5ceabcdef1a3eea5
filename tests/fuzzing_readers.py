"""The readers of a user's files, with small intact files of the kind of each."""

import contextlib
import importlib.util
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fuzzing_inputs as inputs
import numpy as np
from hypothesis import strategies as st
from PIL import Image

from classicnets import data, recipe, terminal
from classicnets.data.images.decoding import pillow_warnings, probe
from classicnets.errors import UserError

TEXTS = [f"{'good' if row % 2 else 'bad'} film, word{row}" for row in range(24)]
RECIPE = b'network = "resnet20"\ndata = "digits"\nepochs = 3\nseed = 5\n'


@dataclass(frozen=True)
class Reader:
    """What reads a kind of files.

    Args:
        file: The path of the input below a folder, which is empty at first and stays.
        intact: Makes small files that are as they should be.
        read: Takes the path.
        others: Strategies of more inputs, given the intact files.
        share: Of the inputs, where 1 is usual; slow readers get fewer.
        refusal: The exception that refuses an input.
    """

    file: str
    intact: Callable[[], list[bytes]]
    read: Callable[[Path], Any]
    others: tuple[Callable[[list[bytes]], st.SearchStrategy[bytes]], ...] = ()
    share: float = 1
    refusal: type[Exception] = UserError


def pictures(kind: str) -> list[bytes]:
    """Pictures of all modes that a format knows, and two frames where it can."""
    noise = np.random.default_rng(0).integers(256, size=(24, 20, 4), dtype=np.uint8)
    drawn, contents = Image.fromarray(noise), []
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation
    for mode in ("RGB", "L", "P", "RGBA", "CMYK", "I;16", "1"):
        for more in (
            {},
            {"progressive": True, "exif": exif},
            {"lossless": True},
            {"save_all": True, "append_images": [drawn.convert("RGB")]},
        ):
            stream = io.BytesIO()
            try:
                drawn.convert("RGB").convert(mode).save(stream, kind, **more)
            except (OSError, ValueError, KeyError):
                continue
            contents.append(stream.getvalue())
    return list(dict.fromkeys(contents))


def npz(**changes: Any) -> bytes:
    source, stream = np.random.default_rng(0), io.BytesIO()
    content = {
        "x_train": source.integers(256, size=(24, 8, 8, 3), dtype=np.uint8),
        "y_train": np.arange(24) % 3,
        "x_test": source.integers(256, size=(9, 8, 8, 3), dtype=np.uint8),
        "y_test": np.arange(9) % 3,
        "class_names": np.array(["cat", "dog", "cow"]),
    }
    np.savez_compressed(stream, **(content | changes))
    return stream.getvalue()


def all_npz() -> list[bytes]:
    floats = np.random.default_rng(1).random((24, 8, 8), np.float32)
    return [npz(), npz(x_train=floats, x_test=floats[:9])]


def imdb_npz() -> list[bytes]:
    from classicnets.data.texts.imdb import as_arrays

    rows = [[4, 5, 4 + row % 5] for row in range(8)]
    part = rows, np.arange(8) % 2
    words = {f"word{number}": number for number in range(1, 6)}
    stream = io.BytesIO()
    np.savez(stream, **as_arrays(part, part, words))
    return [stream.getvalue()]


def table(separator: str) -> list[bytes]:
    rows = [
        f"{text.replace(separator, '')}{separator}{row % 2}{separator}train"
        for row, text in enumerate(TEXTS)
    ]
    return ["\n".join([separator.join(("text", "label", "split")), *rows]).encode()]


def jsonl() -> list[bytes]:
    rows = [{"text": text, "label": row % 2} for row, text in enumerate(TEXTS)]
    return ["\n".join(map(json.dumps, rows)).encode()]


def parquets() -> list[bytes]:
    import pyarrow
    from pyarrow import parquet

    columns = {"text": TEXTS, "label": [row % 2 for row in range(len(TEXTS))]}
    contents = []
    for compression in ("none", "snappy", "zstd"):
        stream = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), stream, compression=compression)
        contents.append(stream.getvalue())
    return contents


def cache_file(pattern: str) -> list[bytes]:
    """A file of the cache of a folder of pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        read_picture_folder(folder / "root" / "a" / "0.png")
        return [next((folder / "cache" / "folders").glob(pattern)).read_bytes()]


def texts() -> list[bytes]:
    written = ("ein schöner Film", "好电影 👍")
    return [text.encode(code) for text in written for code in ("utf-8", "utf-16")]


def tokenizers() -> list[bytes]:
    from classicnets.data.texts.vocabulary import build_vocabulary
    from classicnets.data.texts.words import split_words, word_rules

    words = split_words(word_rules(), TEXTS)
    return [
        build_vocabulary(words, 20, skip_top)[0].to_str().encode()
        for skip_top in (0, 2)
    ]


def checkpoints() -> list[bytes]:
    from classicnets.runs.checkpoint import write

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoints" / "step.safetensors"
        write(path, network().variables, json.loads(inputs.PROGRESS))
        return [path.read_bytes()]


@cache
def network():
    """A stem and a head, named as in a ResNet."""
    import keras
    from keras import layers

    pixels = keras.Input((8, 8, 3), name="images")
    x = layers.Conv2D(4, 3, use_bias=False, name="stem_conv")(pixels)
    x = layers.BatchNormalization(name="stem_norm")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(pixels, layers.Dense(3, name="logits")(x), name="small")


def saved(file: str) -> Callable[[], list[bytes]]:
    """The network's weights, or all of it, as Keras saves them."""

    def make() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            save = network().save_weights if file.endswith(".h5") else network().save
            save(path)
            return [path.read_bytes()]

    return make


def torch_weights() -> dict[str, np.ndarray]:
    """The network's weights with torchvision's names."""
    kernel, *norm, head, bias = (np.array(w) for w in network().get_weights())
    names = ("weight", "bias", "running_mean", "running_var")
    return {
        "conv1.weight": np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)),
        **{f"bn1.{name}": array for name, array in zip(names, norm)},
        "fc.weight": np.ascontiguousarray(head.T),
        "fc.bias": bias,
    }


def safetensors() -> list[bytes]:
    from safetensors.numpy import save

    return [save(torch_weights())]


def pth() -> list[bytes]:
    import torch

    tensors = {name: torch.from_numpy(w) for name, w in torch_weights().items()}
    contents = []
    for zipped_up in (True, False):
        stream = io.BytesIO()
        torch.save(tensors, stream, _use_new_zipfile_serialization=zipped_up)
        contents.append(stream.getvalue())
    return contents


def read_picture(path: Path) -> None:
    with pillow_warnings():
        try:
            probe(path)
        finally:
            data.read_image(path, image_size=16, channels=3)


def read_data(path: Path, source: str | Path = "", **options: Any) -> None:
    splits = data.load(source or path, progress=False, **options)
    splits.open_test()
    json.dumps(splits.class_names, ensure_ascii=False).encode()  # as a run keeps them


@contextlib.contextmanager
def folders(**named: Path) -> Iterator[None]:
    """Make $CLASSICNETS_DATA and $CLASSICNETS_CACHE other folders for a while."""
    before = dict(os.environ)
    os.environ.pop("CLASSICNETS_DATA", None)
    os.environ |= {f"CLASSICNETS_{key}": str(folder) for key, folder in named.items()}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def read_named(path: Path) -> None:
    with folders(DATA=path.parent):
        read_data(path, path.stem)


def read_imdb(path: Path) -> None:
    with folders(CACHE=path.parent):
        read_data(path, "imdb")


def read_picture_folder(path: Path) -> None:
    root = path.parents[1]
    for name in ("a", "b"):
        for number, picture in enumerate(pictures("PNG")[:4]):
            other = root / name / f"{number}.png"
            if not other.exists():
                other.parent.mkdir(parents=True, exist_ok=True)
                other.write_bytes(picture)
    with folders(CACHE=root.parent / "cache"):
        read_data(path, root, allow_corrupt=True)


def cached(file: str) -> Callable[[Path], None]:
    """Read a folder of pictures from the cache, where the input replaces a file."""

    def read(path: Path) -> None:
        picture, cache = path.parent / "root" / "a" / "0.png", path.parent / "cache"
        read_picture_folder(picture)  # fills the cache where something was damaged
        kept = next((cache / "folders").glob(file))
        intact = kept.read_bytes()
        kept.write_bytes(path.read_bytes())
        try:
            read_picture_folder(picture)
        finally:
            kept.write_bytes(intact)

    return read


def read_odd_folder(path: Path) -> None:
    """Read a folder of pictures in which the input says what else is there."""
    root, content = path.parent / "odd", path.read_bytes()
    shutil.rmtree(root, ignore_errors=True)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number, picture in enumerate(pictures("PNG")[:4]):
            (root / name / f"{number}.png").write_bytes(picture)
    for number, byte in enumerate(content[:20]):
        name = os.fsencode(root / "ab"[byte % 2]) + b"/%d" % number
        odd = os.fsdecode(name + content[number : number + 9].replace(b"/", b"_"))
        odd = odd.replace("\0", "_") + ".png"
        match byte // 2 % 6:
            case 0:
                os.mkfifo(odd)
            case 1:
                os.symlink("/dev/zero", odd)
            case 2:
                os.symlink(root, odd)  # a circle
            case 3:
                os.symlink(root / "nowhere", odd)
            case 4:
                Path(odd).mkdir()
            case _:
                Path(odd).write_bytes(pictures("PNG")[0])
                os.truncate(odd, 2**40 if byte > 250 else 1000)
    with folders(CACHE=path.parent / "cache"):
        read_data(path, root, allow_corrupt=True)
        for odd in os.scandir(root / "a"):
            with contextlib.suppress(UserError):
                data.read_image(odd.path, image_size=8, channels=1)
    text = content.decode(errors="surrogateescape")
    line = terminal.plain(text)
    assert not set("\x1b\x9b\r\udcff").intersection(line), "codes for the terminal"
    terminal.echo(text, err=True)


def read_text_folder(path: Path) -> None:
    for row, text in enumerate(TEXTS):
        other = path.parents[1] / "ab"[row % 2] / f"{row}.txt"
        other.parent.mkdir(exist_ok=True)
        other.write_text(text)
    data.read_text(path)
    read_data(path, path.parents[1], allow_corrupt=True)


def read_recipe(path: Path) -> None:
    """A recipe that is read is written into a run, and read again."""
    found = recipe.load(path)
    written = path.with_name("written.toml")
    written.write_text(recipe.to_toml(found), encoding="utf-8")
    try:
        again = recipe.load(written)
    except UserError as error:
        raise AssertionError(f"what is written cannot be read: {error}") from error
    assert repr(again) == repr(found), "what is written is not what is read"


def read_tokenizer(path: Path) -> None:
    tokenizer = data.load_tokenizer(path)
    data.encode(tokenizer, TEXTS, max_tokens=8)


def read_checkpoint(path: Path) -> None:
    from classicnets.runs.checkpoint import Checkpoints

    variables = network().variables
    kept = Checkpoints(path.parent, variables, variables)
    kept.find_newest()
    kept.restore()


def read_weights(path: Path) -> None:
    from classicnets.weights.loading import load_weights

    try:
        load_weights(network(), path)
    except ValueError as error:
        # A training run makes a UserError of it; what names no file is no refusal.
        if path.name not in str(error):
            raise AssertionError(f"a refusal that names no file: {error!r}") from error
        raise


def read_model(path: Path) -> None:
    from classicnets.runs.run import Run

    (path.parent / "recipe.toml").write_bytes(RECIPE)
    Run(path.parent).load("model")


# The files of two runs, a classifier and a GAN.
RUNS: dict[str, dict[str, Callable[[], bytes]]] = {
    "classifier": {
        "recipe.toml": lambda: RECIPE,
        "status.json": lambda: plain(state="finished", process=7, seconds=9.5),
        "environment.json": lambda: plain(
            backend="jax", class_names=["cat", "dog"], data={"name": "digits"}
        ),
        "metrics.json": lambda: plain(
            test={
                **{"examples": 9, "loss": 0.5, "top1": 0.9, "seconds": 0.1},
                "confusion": [[4, 1], [0, 4]],
                "per_class": [
                    {"name": name, "examples": 4, "recall": 0.8, "precision": 1.0}
                    for name in ("cat", "dog")
                ],
            }
        ),
        "history.csv": lambda: history("accuracy", "validation_top1"),
        "samples/test.npz": lambda: samples(),
        "tokenizer.json": lambda: tokenizers()[0],
    },
    "gan": {
        "recipe.toml": lambda: RECIPE.replace(b"resnet20", b"wgan_gp"),
        "metrics.json": lambda: plain(
            test={"examples": 9, "fid": 3.5, "kid": 0.1, "kid_deviation": 0.01}
        ),
        "history.csv": lambda: history("critic_loss", "validation_kid"),
        "samples/epoch-0001.png": lambda: pictures("PNG")[0],
    },
}


def plain(**content: Any) -> bytes:
    return json.dumps(content).encode()


def history(*columns: str) -> bytes:
    names = ["epoch", "loss", "seconds", *columns]
    rows = [[epoch, 1 / epoch, 2.5, *(0.5 for _ in columns)] for epoch in (1, 2, 3)]
    return "\n".join(",".join(map(str, row)) for row in [names, *rows]).encode()


def samples() -> bytes:
    stream = io.BytesIO()
    pixels = np.arange(4 * 64 * 3, dtype=np.uint8).reshape(4, 8, 8, 3)
    labels = np.arange(4) % 2
    chances = np.full(4, 0.9, np.float32)
    arrays = {"labels": labels, "predicted": labels, "probability": chances}
    np.savez_compressed(stream, images=pixels, **arrays)
    return stream.getvalue()


def run_file(kind: str, file: str) -> Reader:
    """All that reads a run's files, where the input is one of them."""

    def read(path: Path) -> None:
        from classicnets.reports import report
        from classicnets.runs.run import Run

        folder = path.parents[file.count("/")]
        for name, content in RUNS[kind].items():
            if name != file and not (folder / name).exists():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(content())
        run = Run(folder)
        report.write(run)
        for name in ("recipe", "environment", "status", "metrics", "tokenizer"):
            getattr(run, name)

    others = {".json": (inputs.values,), ".csv": (inputs.cells,)}
    others[".npz"] = (inputs.members, inputs.array_headers)
    others[".toml"], others[".png"] = (inputs.recipes,), (inputs.chunks,)
    return Reader(
        f"{kind}/{file}",
        lambda: [RUNS[kind][file]()],
        read,
        others[Path(file).suffix],
        share=0.25,
    )


READERS = {
    **{
        kind: Reader(
            f"picture.{kind.lower()}",
            lambda kind=kind: pictures(kind),
            read_picture,
            {"PNG": (inputs.chunks,), "JPEG": (inputs.scans,)}.get(kind, ()),
        )
        for kind in ("JPEG", "PNG", "BMP", "WebP", "GIF")
    },
    "folder of images": Reader(
        "root/a/new.png", lambda: pictures("PNG"), read_picture_folder, share=0.3
    ),
    "folder with odd files": Reader(
        *("odd.bin", lambda: [bytes(range(6)), RECIPE], read_odd_folder), share=0.3
    ),
    **{
        f"cache, {name}": Reader(
            "input", lambda file=file: cache_file(file), cached(file), others, share=0.2
        )
        for name, file, others in (
            ("state", "*.json", (inputs.values,)),
            ("index.json", "*/index.json", (inputs.values,)),
            ("images.npy", "*/images.npy", (inputs.arrays,)),
            ("labels.npy", "*/labels.npy", (inputs.arrays,)),
        )
    },
    ".npz": Reader(
        "arrays.npz",
        all_npz,
        read_data,
        (inputs.members, inputs.array_headers, inputs.bombs),
    ),
    "named .npz": Reader(
        "mnist.npz", all_npz, read_named, (inputs.members, inputs.array_headers), 0.3
    ),
    "imdb.npz": Reader(
        *("data/imdb.npz", imdb_npz, read_imdb),
        (inputs.members, inputs.array_headers),
        share=0.5,
    ),
    "imdb.parquet": Reader("imdb.parquet", parquets, read_named, share=0.3),
    "CSV": Reader("table.csv", lambda: table(","), read_data, (inputs.cells,)),
    "TSV": Reader("table.tsv", lambda: table("\t"), read_data, share=0.3),
    "JSONL": Reader("table.jsonl", jsonl, read_data, (inputs.lines_of_values,)),
    "Parquet": Reader("table.parquet", parquets, read_data, share=1.5),
    "folder of texts": Reader(
        *("root/a/new.txt", texts, read_text_folder, (inputs.encodings,)), share=0.5
    ),
    "tokenizer.json": Reader(
        "tokenizer.json", tokenizers, read_tokenizer, (inputs.values,)
    ),
    "recipe": Reader(
        "recipe.toml", lambda: [RECIPE], read_recipe, (inputs.recipes,), 1.5
    ),
    "checkpoint": Reader(
        "step-00000002.safetensors",
        checkpoints,
        read_checkpoint,
        (inputs.headers, inputs.signed_progress),
    ),
    **{f"{kind}, {file}": run_file(kind, file) for kind in RUNS for file in RUNS[kind]},
    "model.keras": Reader(
        *("run/model.keras", saved("model.keras"), read_model),
        (inputs.members, inputs.configs, inputs.wide_models),
        share=0.5,
    ),
    **{
        f"weights, {ending}": Reader(
            f"weights{ending}", intact, read_weights, others, 0.4, ValueError
        )
        for ending, intact, others in (
            (".keras", saved("model.keras"), (inputs.members, inputs.configs)),
            (".weights.h5", saved("model.weights.h5"), ()),
            (".safetensors", safetensors, (inputs.headers,)),
            (".pth", pth, ()),
        )
        if ending != ".pth" or importlib.util.find_spec("torch")
    },
}
