"""TensorBoard's event files, written without TensorFlow.

A file is a chain of records, and a record is one protocol buffer, an `Event`:

    record:  length (uint64), its checksum (uint32), the event, its checksum
    Event:   1 wall_time (double), 2 step (int64), 3 file_version (string),
             5 summary (Summary), 7 session_log (SessionLog)
    Summary: 1 value (repeated), each 1 tag (string), and one of
             2 simple_value (float), 4 image (Image)
    Image:   1 height, 2 width, 3 colorspace (its channels), 4 encoded_image_string
    SessionLog: 1 status (1 is START)

A hundred lines of our own, because tensorboardX imports PyTorch wherever it is
installed, hands its events to a thread, and may lose the last ones when the
process is killed. Here a row is on its way to the disk when the call returns.
"""

import functools
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from classicnets import pictures

_DOUBLE, _BYTES, _FLOAT, _INTEGER = 1, 2, 5, 0  # the wire types


def new_file(folder: Path) -> Path:
    """Start an event file after all those that the folder has."""
    # TensorBoard reads the files by name: the seconds order them, and the count
    # keeps apart two that were started within one second.
    count = len(list(folder.glob("events.out.tfevents.*")))
    path = folder / f"events.out.tfevents.{int(time.time()):010d}.{count:04d}"
    _append(path, _field(3, _BYTES, b"brain.Event:2"))
    return path


def forget_from(path: Path, step: int) -> None:
    """Make TensorBoard drop the values of `step` and later, in any file."""
    start = _field(7, _BYTES, _field(1, _INTEGER, 1))
    _append(path, _field(2, _INTEGER, step) + start)


def write_scalars(path: Path, values: Mapping[str, float], step: int) -> None:
    """Append one event with the values, under their names."""
    summary = b"".join(
        _field(
            1,
            _BYTES,
            _field(1, _BYTES, name.encode()) + _field(2, _FLOAT, float(value)),
        )
        for name, value in values.items()
    )
    _append(path, _field(2, _INTEGER, step) + _field(5, _BYTES, summary))


def write_image(path: Path, name: str, image: np.ndarray, step: int) -> None:
    """Append one event with a picture.

    Args:
        path: Of the event file.
        name: What TensorBoard shows it under.
        image: (height, width, 1, 3 or 4) uint8.
        step: The epoch, or whatever the other values of the file count.
    """
    encoded = _field(4, _BYTES, pictures.encode_png(image))
    for number, size in enumerate(image.shape, start=1):  # height, width, colorspace
        encoded += _field(number, _INTEGER, size)
    value = _field(1, _BYTES, name.encode()) + _field(4, _BYTES, encoded)
    summary = _field(1, _BYTES, value)
    _append(path, _field(2, _INTEGER, step) + _field(5, _BYTES, summary))


def _append(path: Path, event: bytes) -> None:
    event = _field(1, _DOUBLE, time.time()) + event
    length = struct.pack("<Q", len(event))
    with path.open("ab") as file:
        file.write(length + _checksum(length) + event + _checksum(event))


def _field(number: int, wire_type: int, value: float | bytes) -> bytes:
    key = _varint(number << 3 | wire_type)
    if isinstance(value, bytes):
        return key + _varint(len(value)) + value
    if wire_type == _DOUBLE:
        return key + struct.pack("<d", value)
    if wire_type == _FLOAT:
        return key + struct.pack("<f", value)
    return key + _varint(int(value))


def _varint(value: int) -> bytes:
    """Return seven bits per byte, lowest first; the high bit says that more follow."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _checksum(data: bytes) -> bytes:
    """Return the CRC-32C (Castagnoli), masked as in TensorFlow's records."""
    table, crc = _checksum_table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    # The mask keeps a checksum over data that holds checksums from degenerating.
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)


@functools.cache
def _checksum_table() -> list[int]:
    """Return what each byte does to the checksum: faster than bit by bit."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table
