"""Named sets: where they are looked for, the download, and the real data if there."""

import gzip
import http.server
import importlib.util
import os
import shutil
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from classicnets import data
from classicnets.errors import UserError


def save_set(path, n=60, classes=10, shape=(28, 28)):
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = (np.arange(n) % classes).astype(np.uint8)
    images = np.zeros((n, *shape), np.uint8)
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)


def test_digits_are_scikit_learns_upscaled():
    from sklearn.datasets import load_digits

    splits = data.load("digits")
    parts = [splits.train, splits.validation, splits.open_test()]
    assert [len(part) for part in parts] == [1293, 145, 359]
    assert len(splits.train) + len(splits.validation) == (
        data.DATASETS["digits"].train_examples
    )
    assert data.DATASETS["digits"].test_examples == 359
    assert splits.class_names == tuple("0123456789")
    assert splits.train.inputs.shape[1:] == data.DATASETS["digits"].image
    images = np.concatenate([part.inputs[:] for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    expected, expected_labels = load_digits(return_X_y=True)
    assert np.array_equal(np.bincount(labels), np.bincount(expected_labels))
    # Upscaling keeps the brightness, up to clipping where the curve overshoots.
    assert abs(images.mean() - expected.mean() * 255 / 16) < 3


def test_digits_at_8_pixels_are_the_originals():
    from sklearn.datasets import load_digits

    splits = data.load("digits", image_size=8)
    parts = [splits.train, splits.validation, splits.open_test()]
    ours = np.concatenate([part.inputs[:] for part in parts]).reshape(-1, 64)
    theirs = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))


def test_digits_have_one_test_whatever_the_seed():
    tests = [data.load("digits", split_seed=s).open_test() for s in (0, 1)]
    assert np.array_equal(tests[0].inputs[:], tests[1].inputs[:])


def test_a_name_is_sought_in_the_data_folder_before_the_cache(
    tmp_path, cache, monkeypatch
):
    monkeypatch.delenv("CLASSICNETS_DATA", raising=False)
    save_set(cache / "mnist.npz", n=60)
    assert len(data.load("mnist").open_test()) == 60
    save_set(tmp_path / "sets" / "mnist.npz", n=80)
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "sets"))
    assert len(data.load("mnist").open_test()) == 80
    (tmp_path / "sets" / "mnist.npz").unlink()
    assert len(data.load("mnist").open_test()) == 60


def test_a_data_folder_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"CLASSICNETS_DATA must name a folder"):
        data.load("mnist")


def test_a_named_set_has_its_class_names(cache, monkeypatch):
    monkeypatch.delenv("CLASSICNETS_DATA", raising=False)
    save_set(cache / "fashion_mnist.npz")
    splits = data.load("fashion_mnist")
    assert splits.name == "fashion_mnist"
    assert splits.class_names[9] == "ankle boot"


def test_class_names_are_as_many_as_published_and_differ():
    counts = {name: len(set(d.class_names)) for name, d in data.DATASETS.items()}
    assert counts == {
        "digits": 10,
        "mnist": 10,
        "fashion_mnist": 10,
        "cifar10": 10,
        "cifar100": 100,
        "imdb": 2,
    }
    for name in ("cifar10", "cifar100"):
        names = data.DATASETS[name].class_names
        assert list(names) == sorted(names)


def test_importing_data_imports_nothing_slow():
    code = (
        "import sys, classicnets.data; "
        "print([m for m in ('keras', 'sklearn', 'tensorflow', 'jax', 'torch', "
        "'tokenizers', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# The download. Keras fetches from fixed https addresses. A proxy on this machine, with
# a certificate made for the test, stands in for the far end; our code and Keras's run
# as they are, in a process of their own.

ORIGIN = "storage.googleapis.com"


def idx(array):
    """The IDX bytes of a uint8 array: a header of 4 bytes, then 4 for each length."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(
        length.to_bytes(4, "big") for length in array.shape
    )
    return gzip.compress(header + array.tobytes())


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers CONNECT by playing the far end itself."""

    files: dict[str, bytes]
    context: ssl.SSLContext

    def do_CONNECT(self):
        self.send_response(200)
        self.end_headers()
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.handle_one_request()

    def do_GET(self):
        content = self.files.get(self.path.rpartition("/")[2])
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")
        self.wfile.flush()
        self.close_connection = True

    def finish(self):
        super().finish()
        self.connection.close()

    def log_message(self, *arguments):
        pass


def load_in_a_process(name, tmp_path, proxy, certificate=""):
    code = (
        "import sys; from classicnets import data; "
        f"splits = data.load({name!r}); test = splits.open_test(); "
        "print(len(splits.train), len(splits.validation), len(test), "
        "int(test.inputs[:].sum()), splits.class_names[0])"
    )
    environment = {
        key: value
        for key, value in os.environ.items()
        if key.lower() not in ("no_proxy", "all_proxy", "classicnets_data")
    } | {
        "https_proxy": proxy,
        "HTTPS_PROXY": proxy,
        "SSL_CERT_FILE": str(certificate),
        "KERAS_HOME": str(tmp_path / "keras"),
    }
    if importlib.util.find_spec("jax"):
        environment["KERAS_BACKEND"] = "jax"  # the fastest to import; none is used
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=300,
    )


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_a_download_is_kept_whole_in_the_cache(tmp_path, cache, monkeypatch):
    monkeypatch.delenv("CLASSICNETS_DATA", raising=False)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={ORIGIN}", "-addext", f"subjectAltName=DNS:{ORIGIN}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8)
    labels = (np.arange(60) % 10).astype(np.uint8)
    Proxy.files = {
        "train-images-idx3-ubyte.gz": idx(images),
        "train-labels-idx1-ubyte.gz": idx(labels),
        "t10k-images-idx3-ubyte.gz": idx(images[:30]),
        "t10k-labels-idx1-ubyte.gz": idx(labels[:30]),
    }
    Proxy.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    Proxy.context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy = f"http://127.0.0.1:{server.server_port}"
        done = load_in_a_process("fashion_mnist", tmp_path, proxy, certificate)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    # stdout has our line alone: Keras's progress is on stderr.
    expected = f"50 10 30 {int(images[:30].sum())} T-shirt/top"
    assert done.stdout.splitlines() == [expected]
    assert [path.name for path in cache.iterdir()] == ["fashion_mnist.npz"]
    # From now on no network is needed.
    assert len(data.load("fashion_mnist").open_test()) == 30


@pytest.mark.parametrize(
    ("name", "file"), [("mnist", "mnist.npz"), ("imdb", "imdb.parquet")]
)
def test_without_a_network_the_error_names_the_file_to_bring(
    tmp_path, cache, name, file
):
    nobody = "http://127.0.0.1:9"  # the discard port: nothing listens
    done = load_in_a_process(name, tmp_path, nobody)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode != 0
    assert last.startswith(f"classicnets.errors.UserError: {name} is neither here nor")
    assert f"put FOLDER/{file} there and set CLASSICNETS_DATA=FOLDER" in last
    assert not list(cache.glob("*"))


# The real data, where a person has it.


def real(name):
    folder = os.environ.get("CLASSICNETS_DATA", "")
    there = bool(folder) and (Path(folder) / f"{name}.npz").exists()
    return pytest.mark.skipif(not there, reason=f"needs {name}.npz in CLASSICNETS_DATA")


@real("cifar100")
def test_the_real_cifar100_has_the_published_counts_and_statistics():
    splits = data.load("cifar100")
    test = splits.open_test()
    assert (len(splits.train), len(splits.validation), len(test)) == (
        45000,
        5000,
        10000,
    )
    assert (np.bincount(splits.train.labels) == 450).all()
    assert (np.bincount(splits.validation.labels) == 50).all()
    assert (np.bincount(test.labels) == 100).all()
    assert splits.class_names == data.DATASETS["cifar100"].class_names
    both = np.concatenate([splits.train.inputs[:], splits.validation.inputs[:]])
    # 3,072 values an image: the mean and the standard deviation from the histogram.
    for channel, (mean, std) in enumerate(
        [(0.5071, 0.2673), (0.4865, 0.2564), (0.4409, 0.2762)]
    ):
        counts = np.bincount(both[..., channel].ravel(), minlength=256)
        share, value = counts / counts.sum(), np.arange(256) / 255
        ours = (share * value).sum()
        assert ours == pytest.approx(mean, abs=5e-5)
        assert np.sqrt((share * (value - ours) ** 2).sum()) == pytest.approx(
            std, abs=5e-5
        )


@real("mnist")
def test_the_real_mnist_has_the_published_counts():
    splits = data.load("mnist")
    train = np.concatenate([splits.train.labels, splits.validation.labels])
    published = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train).tolist() == published
    published = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(splits.open_test().labels).tolist() == published
