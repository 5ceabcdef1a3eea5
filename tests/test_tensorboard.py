"""Event files, read back by a reader that is not ours."""

import struct

import pytest

from classicnets import tensorboard


def test_the_checksum_is_the_published_crc_32c():
    # RFC 3720, appendix B.4: 32 bytes of zeros give aa 36 91 8a, as it is sent.
    masked = struct.unpack("<I", tensorboard._checksum(bytes(32)))[0]
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    crc = (rotated >> 17 | rotated << 15) & 0xFFFFFFFF
    assert crc == 0x8A9136AA


def test_tensorflow_reads_what_was_written(tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    path = tensorboard.new_file(tmp_path)
    tensorboard.write_scalars(path, {"loss": 0.5, "验证": float("inf")}, 300)
    tensorboard.forget_from(path, 7)

    # The record's length and checksums are verified by the reader.
    records = [record.numpy() for record in tensorflow.data.TFRecordDataset(str(path))]
    event = tensorflow.compat.v1.Event
    first, second, third = (event.FromString(record) for record in records)
    assert first.file_version == "brain.Event:2"
    assert second.step == 300
    values = {value.tag: value.simple_value for value in second.summary.value}
    assert values == {"loss": 0.5, "验证": float("inf")}
    assert third.step == 7
    assert third.session_log.status == tensorflow.compat.v1.SessionLog.START


def test_files_started_within_one_second_are_kept_apart_and_in_order(tmp_path):
    files = [tensorboard.new_file(tmp_path) for _ in range(3)]
    assert sorted(tmp_path.iterdir()) == files
