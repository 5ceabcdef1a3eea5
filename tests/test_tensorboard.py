"""Event files, read back by a reader that is not ours."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from classicnets.runs import tensorboard


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


@pytest.mark.parametrize("channels", [1, 3])
def test_tensorflow_reads_a_picture_as_it_was(tmp_path, channels):
    tensorflow = pytest.importorskip("tensorflow")
    image = np.random.default_rng(0).integers(256, size=(300, 170, channels))
    path = tensorboard.new_file(tmp_path)
    tensorboard.write_image(path, "samples", image.astype(np.uint8), 40)

    _, record = tensorflow.data.TFRecordDataset(str(path))
    event = tensorflow.compat.v1.Event.FromString(record.numpy())
    assert event.step == 40
    (value,) = event.summary.value
    assert value.tag == "samples"
    assert value.WhichOneof("value") == "image"
    shape = value.image.height, value.image.width, value.image.colorspace
    assert shape == (300, 170, channels)
    drawn = Image.open(io.BytesIO(value.image.encoded_image_string))
    np.testing.assert_array_equal(np.atleast_3d(np.asarray(drawn)), image)


def test_files_started_within_one_second_are_kept_apart_and_in_order(tmp_path):
    files = [tensorboard.new_file(tmp_path) for _ in range(3)]
    assert sorted(tmp_path.iterdir()) == files
