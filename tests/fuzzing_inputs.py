"""Inputs of a fuzzed reader: intact files with damaged bytes, or with other parts."""

import ast
import csv
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from classicnets import recipe

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
WORDS = (
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"99999999",
    b"1" * 30,
    b"1" * 5000,
    b"[" * 9999,
)
WHOLE_NUMBERS = st.integers() | st.sampled_from((-1, 0, 2**31, 2**63, 10**18, 10**400))
TEXT = st.text() | st.sampled_from(("\ud800", "\0", "a\nb", "train"))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE_NUMBERS | st.floats() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
SEEDS = st.integers(0, 2**32 - 1)
PROGRESS = b'{"epoch": 1, "step": 2, "best": {"epoch": 0, "value": 0.5}}'


def damage(content: bytes, other: bytes, number: int) -> bytes:
    """Cut, flip, overwrite, insert, remove, repeat, splice; once or several times."""
    source = random.Random(number)
    broken = bytearray(content)
    for _ in range(source.choice((1, 1, 1, 2, 4, 16))):
        # Headers stand at the beginning, and are short.
        most = len(broken) if source.random() < 0.5 else min(len(broken), 128)
        start = source.randrange(most + 1)
        end = min(start + source.choice((1, 2, 4, 8, 64, 1024)), len(broken))
        match source.randrange(12):  # most often what leaves the rest in its place
            case 0:
                del broken[start if source.random() < 0.5 else end :]
            case 1 | 8 | 9 if start < len(broken):
                broken[start] ^= 1 << source.randrange(8)
            case 2:
                filling = source.choice((b"\0", b"\xff", source.randbytes(1)))
                broken[start:end] = filling * (end - start)
            case 3:
                broken[start:start] = source.randbytes(end - start)
            case 4:
                del broken[start:end]
            case 5:
                broken[end:end] = broken[start:end] * source.choice((1, 2, 100))
            case 6:
                broken[start:] = other[source.randrange(len(other) + 1) :]
            case _:
                extreme(broken, start, source)
    return bytes(broken)


def extreme(broken: bytearray, start: int, source: random.Random) -> None:
    """Write an extreme number in place of one in binary, or in digits."""
    digits = list(re.finditer(rb"\d+", broken))
    if digits and source.random() < 0.5:
        found = source.choice(digits)
        broken[found.start() : found.end()] = source.choice(WORDS)
        return
    size = source.choice((1, 2, 4, 8))
    value = source.choice(NUMBERS) % 256**size
    order = source.choice(("little", "big"))
    broken[start : start + size] = value.to_bytes(size, order)


def members(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Archives that are intact, with a damaged member."""

    def build(content: bytes, number: int) -> bytes:
        files = unzipped(content)
        source = random.Random(number)
        name = source.choice(list(files))
        other = source.choice(list(files.values()))
        files[name] = damage(files[name], other, number)
        return zipped(files, source.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))

    return st.builds(build, st.sampled_from(valid), SEEDS)


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: Mapping[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def chunks(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """PNGs whose checksums are right, with a damaged chunk."""

    def build(content: bytes, number: int) -> bytes:
        found, place = [], 8
        while place < len(content):
            size = int.from_bytes(content[place : place + 4], "big")
            found.append(content[place + 4 : place + 8 + size])
            place += 12 + size
        source = random.Random(number)
        chosen = source.randrange(len(found))
        kind, inside = found[chosen][:4], found[chosen][4:]
        found[chosen] = kind + damage(inside, content, number)
        return content[:8] + b"".join(
            struct.pack(">I", len(chunk) - 4) + chunk + zlib.crc32(chunk).to_bytes(4)
            for chunk in found
        )

    return st.builds(build, st.sampled_from(valid), SEEDS)


def scans(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """JPEGs with the last scan again and again, and sides that may be others."""

    def build(content: bytes, count: int, height: int, width: int) -> bytes:
        start, end = content.rindex(b"\xff\xda"), len(content) - 2
        frame = re.search(rb"\xff[\xc0-\xc2]...", content, re.DOTALL)
        sides = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        whole = content[:start] + content[start:end] * count + content[end:]
        return whole[: frame.end()] + sides + whole[frame.end() + 4 :]

    side = st.sampled_from((1, 20, 24, 200, 3000, 9000, 65535))
    counts = st.sampled_from((1, 2, 10, 100, 1000))
    return st.builds(build, st.sampled_from(valid), counts, side, side)


def bombs(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Archives of arrays, one of them of zeros, which pack to a thousandth."""

    def build(content: bytes, number: int, size: int, promised: int) -> bytes:
        files = unzipped(content)
        name = list(files)[number % len(files)]
        head = with_header(files[name], {"shape": (promised // 64, 8, 8)}, 0)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for each, whole in files.items():
                archive.writestr(each, head + bytes(size) if each == name else whole)
            place = list(files).index(name)
            archive.filelist[place].file_size = len(head) + promised
        return stream.getvalue()

    sizes = st.sampled_from((6400, 10**5, 2 * 10**6, 10**7))
    promised = st.sampled_from((6400, 10**6, 2 * 10**9, 2**40))
    return st.builds(build, st.sampled_from(valid), SEEDS, sizes, promised)


def wide_models(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Models whose sizes are all multiplied: of each layer, or in the weights alone."""

    def build(content: bytes, factor: int, shape: list[int]) -> bytes:
        import h5py

        files = unzipped(content)
        files["config.json"] = re.sub(
            rb'(?<="units": )\d+|(?<="filters": )\d+|(?<=\[null, )\d+',
            lambda number: b"%d" % (int(number[0]) * factor),
            files["config.json"],
        )
        if shape:
            stream = io.BytesIO(files["model.weights.h5"])
            with h5py.File(stream, "a") as file:
                file.create_dataset("more/vars/0", shape=shape, dtype="f4")
            files["model.weights.h5"] = stream.getvalue()
        return zipped(files)

    shapes = st.lists(st.sampled_from((1, 10, 1000, 45000)), max_size=3)
    return st.builds(
        build, st.sampled_from(valid), st.sampled_from((1, 2, 100, 10**4)), shapes
    )


def with_value(content: bytes, place: int, value: Any) -> bytes:
    """JSON with one of its values replaced."""
    holder = [json.loads(content)]
    places: list[tuple[Any, Any]] = [(holder, 0)]
    for container, key in places:
        inner = container[key]
        if isinstance(inner, dict):
            places += [(inner, name) for name in inner]
        elif isinstance(inner, list):
            places += [(inner, number) for number in range(len(inner))]
    container, key = places[place % len(places)]
    container[key] = value
    return json.dumps(holder[0]).encode()


def values(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """JSON with another value somewhere."""
    return st.builds(with_value, st.sampled_from(valid), SEEDS, JSON_VALUES)


def lines_of_values(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """JSONL of which a line has another value somewhere."""

    def build(content: bytes, number: int, place: int, value: Any) -> bytes:
        lines = content.splitlines()
        number %= len(lines)
        lines[number] = with_value(lines[number], place, value)
        return b"\n".join(lines)

    return st.builds(build, st.sampled_from(valid), SEEDS, SEEDS, JSON_VALUES)


def headers(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Safetensors with another value in the header, its length right."""

    def build(content: bytes, place: int, value: Any) -> bytes:
        end = 8 + int.from_bytes(content[:8], "little")
        header = with_value(content[8:end], place, value)
        return len(header).to_bytes(8, "little") + header + content[end:]

    types = st.sampled_from(("BF16", "F8_E4M3", "F4", "F64", "I64", "C64", "BOOL"))
    return st.builds(build, st.sampled_from(valid), SEEDS, JSON_VALUES | types)


def signed_progress(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Checkpoints with any progress and the right digest."""
    from safetensors.numpy import load, save

    from classicnets.runs.checkpoint import _digest

    def build(content: bytes, place: int, value: Any) -> bytes:
        tensors = load(content)
        text = with_value(PROGRESS, place, value).decode()
        metadata = {"progress": text, "sha256": _digest(tensors, text)}
        return save(tensors, metadata=metadata)

    return st.builds(build, st.sampled_from(valid), SEEDS, JSON_VALUES)


def configs(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Models with another value in config.json."""

    def build(content: bytes, place: int, value: Any) -> bytes:
        files = unzipped(content)
        return zipped(
            files | {"config.json": with_value(files["config.json"], place, value)}
        )

    return st.builds(build, st.sampled_from(valid), SEEDS, JSON_VALUES)


def array_headers(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Archives of arrays, one with another header."""

    def build(content: bytes, number: int, changes: dict, tail: int, how: int) -> bytes:
        files = unzipped(content)
        name = list(files)[number % len(files)]
        return zipped(files | {name: with_header(files[name], changes, tail)}, how)

    hows = st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    files = st.sampled_from(valid)
    return st.builds(build, files, SEEDS, array_header(), tails(), hows)


def arrays(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Arrays with another header."""
    return st.builds(with_header, st.sampled_from(valid), array_header(), tails())


def array_header() -> st.SearchStrategy[dict]:
    """What is changed in a header."""
    sizes = st.integers(-2, 30) | st.sampled_from((28, 10**4, 10**9, 2**31, 2**63))
    kinds = ("|u1", "|i1", "<f4", ">i8", "|b1", "<c16", "|O", "<U4", "<U999999999")
    kinds += ("|V0", "|S0", "<M8[ns]", "<f2", "x")
    shapes = st.lists(sizes, max_size=5).map(tuple)
    return st.fixed_dictionaries(
        {},
        optional={
            "descr": st.sampled_from(kinds) | st.just([("a", "<i4"), ("b", "|O")]),
            "fortran_order": st.booleans() | st.none(),
            "shape": shapes | shapes | st.none(),
        },
    )


def tails() -> st.SearchStrategy[int]:
    """How many zeros follow a header; -1 where the values stay."""
    return st.sampled_from((-1, -1, -1, 0, 1, 100, 24 * 64, 10**5, 10**7))


def with_header(content: bytes, changes: dict, tail: int) -> bytes:
    """An array with changes in its header."""
    length = int.from_bytes(content[8:10], "little")
    header = ast.literal_eval(content[10 : 10 + length].decode()) | changes
    text = f"{header}\n".encode()
    values = bytes(tail) if tail >= 0 else content[10 + length :]
    return content[:8] + len(text).to_bytes(2, "little") + text + values


def recipes(_: list[bytes]) -> st.SearchStrategy[bytes]:
    """TOML with some of a recipe's keys, or others, and any values."""
    dates = st.datetimes().map(str) | st.times().map(str) | st.dates().map(str)
    # JSON's numbers, texts and lists are TOML's.
    plain = JSON_VALUES.map(json.dumps) | dates | st.sampled_from(("nan", "{a=1}"))
    nested = st.integers(1, 2000).map(lambda deep: "[" * deep + "]" * deep)
    key = st.sampled_from([*recipe.FIELDS, "network_options.depth", "epoch"])
    rows = st.dictionaries(key, plain | nested | TEXT, max_size=4)
    return rows.map(
        lambda rows: "".join(
            f"{key} = {value}\n"
            for key, value in (
                {"network": '"vgg"', "data": '"x"', "epochs": 1} | rows
            ).items()
        ).encode("utf-8", "surrogatepass")
    )


def cells(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """CSV of which some cells are others, those of the first line too."""

    def build(content: bytes, changes: Mapping[int, str]) -> bytes:
        rows = list(csv.reader(io.StringIO(content.decode())))
        for place, cell in changes.items():
            row = rows[place % len(rows)]
            row[place // len(rows) % len(row)] = cell
        stream = io.StringIO()
        csv.writer(stream).writerows(rows)
        return stream.getvalue().encode("utf-8", "surrogatepass")

    cell = st.sampled_from(("1", "nan", "train", "", "1e999", "good")) | TEXT
    changes = st.dictionaries(st.integers(0, 99), cell, min_size=1)
    return st.builds(build, st.sampled_from(valid), changes)


def encodings(_: list[bytes]) -> st.SearchStrategy[bytes]:
    """Texts as other programs may write them."""
    codes = ("utf-8-sig", "utf-16-le", "utf-32", "gb18030", "latin-1", "shift_jis")
    return st.builds(
        lambda text, code: text.encode(code, "replace"), TEXT, st.sampled_from(codes)
    )
