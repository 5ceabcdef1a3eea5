"""A stopped training goes on as if it had never been stopped."""

import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import classicnets as cn
from classicnets import training
from classicnets.runs import checkpoint
from classicnets.runs.run import Run
from classicnets.terminal import Watch

TORTURE = Path(__file__).with_name("torture.py")
SMALL = {
    "data": "digits",
    "epochs": 3,
    "batch_size": 256,
    "checkpoint_steps": 2,
    "steps_per_call": 2,
    "network_options": {"hidden_units": [16], "latent_size": 4},
}


def train(tmp_path, **changes):
    given = SMALL | changes
    return cn.train("vae-digits", runs=tmp_path, name="v", verbose=False, **given)


def stopped(tmp_path, after, **changes):
    """Return a run that a signal stopped in the call after so many steps."""

    class Stop(training.keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == after:
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(cn.Stopped, match="classicnets resume") as caught:
        train(tmp_path, callbacks=[Stop()], **changes)
    assert caught.value.signal == signal.SIGTERM
    return Run(tmp_path / "v-0")


@pytest.mark.parametrize(
    "task",
    [
        *("classifier", "wgan_gp"),
        *(pytest.param(name, marks=pytest.mark.thorough) for name in ("lstm", "vae")),
    ],
)
def test_a_killed_training_ends_as_the_one_that_was_left_alone(task):
    command = [sys.executable, str(TORTURE), "--kills", "1", "--tasks", task]
    found = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "'different': []" in found.stdout


@pytest.mark.parametrize("after", [1, 3, 4])
def test_a_stopped_training_saves_and_goes_on(tmp_path, after):
    """Within the first epoch, and at the end of it."""
    whole = train(tmp_path / "whole")
    run = stopped(tmp_path, after)
    assert run.status["state"] == "stopped"
    assert list((run.path / "checkpoints").glob("step-*"))
    again = cn.resume(run.path, verbose=False)

    assert again.status["state"] == "finished"
    assert again.environment["resumed"][0]["step"] > 0
    assert [row["epoch"] for row in again.history] == [1, 2, 3]
    for row, expected in zip(again.history, whole.history):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert row["total_seconds"] >= 0


def test_a_finished_training_can_be_made_longer(tmp_path):
    run = train(tmp_path, schedule="constant")
    with pytest.raises(cn.UserError, match="trained for all of its 3 epochs"):
        cn.resume(run, verbose=False)
    longer = cn.resume(run, verbose=False, epochs=4)
    assert [row["epoch"] for row in longer.history] == [1, 2, 3, 4]
    assert Run(run.path).recipe.epochs == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 5}, "the recipe must be .* seed is 5, was 0"),
        ({"split_seed": 5}, "the recipe must be .* split_seed is 5"),
        ({"learning_rate": 0.5}, "learning_rate is 0.5, was .* --allow-changed recipe"),
        ({"network_options": {"hidden_units": [8]}}, "network_options"),
        ({"network": "autoencoder"}, "the recipe must .* network is 'autoencoder'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_decides_a_training_must_not_change(tmp_path, changes, message):
    run = stopped(tmp_path, 2)
    before = contents(run.path)
    with pytest.raises(cn.UserError, match=message):
        cn.resume(run.path, verbose=False, **changes)
    assert contents(run.path) == before


def test_a_change_that_is_allowed_goes_on(tmp_path):
    run = stopped(tmp_path, 2)
    given = {"allow_changed": ["recipe"], "learning_rate": 1e-4}
    again = cn.resume(run.path, verbose=False, **given)
    assert again.recipe.learning_rate == 1e-4
    options = {"hidden_units": [8], "latent_size": 4}
    given = {"allow_changed": ["recipe"], "network_options": options, "epochs": 9}
    with pytest.raises(cn.UserError, match="holds the state of another network"):
        cn.resume(run.path, verbose=False, **given)


def test_other_data_are_refused(tmp_path, tiny_set):
    path = tiny_set(shape=(8, 8, 1), train=600)
    run = stopped(tmp_path, 2, data=str(path))
    with np.load(path) as arrays:
        images = dict(arrays)
    images["x_train"][0, 0, 0] ^= 1
    np.savez(path, **images)
    with pytest.raises(cn.UserError, match="the data must be that of the run so far"):
        cn.resume(run.path, verbose=False)


def test_a_run_has_one_writer(tmp_path):
    run = stopped(tmp_path, 2)
    script = (
        "import sys, time, classicnets as cn\n"
        "with cn.Run(sys.argv[1]).locked(): print('in', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(cn.UserError, match="must not be trained twice at a time"):
            cn.resume(run.path, verbose=False)
        other.kill()
    # The lock of a dead process is none.
    assert cn.resume(run.path, verbose=False).status["state"] == "finished"


# -- damage --------------------------------------------------------------------------


def test_the_newest_whole_checkpoint_is_found(tmp_path):
    run = stopped(tmp_path, 4)
    older, newest = sorted((run.path / "checkpoints").glob("step-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    again = cn.resume(run.path, verbose=False)
    assert again.environment["resumed"][0]["step"] == int(older.stem[5:])
    assert len(again.history) == 3


def test_without_a_whole_checkpoint_nothing_is_begun_anew(tmp_path):
    run = stopped(tmp_path, 4)
    for file in (run.path / "checkpoints").iterdir():
        file.write_bytes(b"")
    with pytest.raises(
        cn.UserError, match=r"no checkpoint is whole: .* begins a new run"
    ):
        cn.resume(run.path, verbose=False)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path):
    run = stopped(tmp_path, 1)
    for file in (run.path / "checkpoints").iterdir():
        file.unlink()
    assert len(cn.resume(run.path, verbose=False).history) == 3


def test_every_flipped_bit_of_a_checkpoint_is_noticed(tmp_path):
    variables = [training.keras.Variable(np.arange(6.0), name="v")]
    path = tmp_path / "c.safetensors"
    checkpoint.write(path, variables, {"epoch": 3, "text": "é"})
    content = path.read_bytes()
    assert checkpoint.restore(path, variables)["epoch"] == 3
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            tensors, progress = checkpoint.read(path)
        except checkpoint.DamagedError:
            continue
        # Spaces that pad the header and the names of unread keys mean nothing.
        assert progress == {"epoch": 3, "text": "é"}
        np.testing.assert_array_equal(*tensors.values(), np.arange(6.0))
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(checkpoint.DamagedError, match=re.escape(str(path))):
            checkpoint.read(path)


def test_a_full_disk_costs_nothing(tmp_path):
    run = stopped(tmp_path, 4)
    limited = f"ulimit -f 8; exec {sys.executable} -m classicnets resume {run.path}"
    found = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    assert found.returncode == 1, found.stderr
    last = found.stderr.splitlines()[-1]
    assert re.search(r"classicnets: .*: .*/v-0/.*go on with: classicnets resume", last)
    assert "Traceback" not in found.stderr
    assert len(cn.resume(run.path, verbose=False).history) == 3


def test_a_disk_without_room_is_noticed_before_the_training(tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    with pytest.raises(cn.RunError, match=r"2 checkpoints need .* MB are free"):
        train(tmp_path)
    assert Run(tmp_path / "v-0").history == []


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    variable = training.keras.Variable([1.0, 2.0], name="kernel")
    path = tmp_path / "c.safetensors"
    checkpoint.write(path, [variable], {})
    variable.assign([1.0, float("nan")])
    with pytest.raises(
        cn.RunError, match=r"c is not saved, kernel of .* is not finite"
    ):
        checkpoint.write(path, [variable], {})
    np.testing.assert_array_equal(*load_file(path).values(), [1.0, 2.0])


@pytest.fixture
def interrupt():
    """Return a function that sets what Ctrl-C does, until the end of the test."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_ends_at_once(interrupt):
    interrupt(signal.default_int_handler)
    with Watch() as watch:
        signal.raise_signal(signal.SIGINT)
        assert watch.received == signal.SIGINT
        with pytest.raises(cn.Stopped, match="at once"):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_job_in_the_background_ignores_ctrl_c(interrupt):
    interrupt(signal.SIG_IGN)
    with Watch() as watch:
        signal.raise_signal(signal.SIGINT)
        assert watch.received is None


def test_signals_are_left_alone_outside_of_the_main_thread():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def watch():
        with Watch():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert seen == [before]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
