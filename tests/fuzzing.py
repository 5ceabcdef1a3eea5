"""Feed every reader of a user's files with broken ones, and see that it bears them.

    python tests/fuzzing.py --inputs 20000

Inputs are small intact files with damaged bytes, or with other parts: a number of a
header, a value of a JSON object, a cell. A reader must return or refuse an input by a
UserError of one line, within 10 s, with at most 1 GiB. It reads in a process of its
own: what crashes or hangs is killed, counted and gone on from.
"""

import argparse
import multiprocessing
import os
import re
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
from fuzzing_inputs import SEEDS, damage
from fuzzing_readers import READERS, Reader
from hypothesis import strategies as st

SECONDS, BYTES = 10, 2**30  # of one input, at most
CLOCK_SECONDS = 90  # for a process that waits and does not work
COPIES = 2  # inputs of a reader with the same finding
QUIET = hypothesis.settings(
    deadline=None,
    database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


def main() -> None:
    """Read the command line, feed all readers, print the table; 1 on a finding."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--inputs", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--seed", type=int, default=0, help="of the inputs")
    options = parser.parse_args()
    findings_folder = Path(tempfile.mkdtemp(prefix="fuzzing-"))
    shares = sum(READERS[name].share for name in options.readers)
    print(
        "| reader | inputs | refused | accepted | slowest, s | peak, MiB | findings |"
    )
    print("|---|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for name in options.readers:
        number = max(1, round(options.inputs * READERS[name].share / shares))
        with tempfile.TemporaryDirectory() as folder:
            counts = feed(name, number, options.seed, Path(folder), findings_folder)
        total.update({key: counts[key] for key in ("inputs", "refused", "accepted")})
        total["findings"] += counts["findings"]
        print(
            f"| {name} | {counts['inputs']:,} | {counts['refused']:,} |"
            f" {counts['accepted']:,} | {counts['seconds']:.1f} |"
            f" {counts['bytes'] / 2**20:.0f} | {counts['findings']} |",
            flush=True,
        )
    print(
        f"| all | {total['inputs']:,} | {total['refused']:,} | {total['accepted']:,} |"
        f" | | {total['findings']} |"
    )
    if total["findings"]:
        print(f"The inputs that were not borne: {findings_folder}")
        sys.exit(1)
    findings_folder.rmdir()


def feed(
    name: str, number: int, seed: int, folder: Path, findings_folder: Path
) -> Counter:
    """Count what came of a reader's inputs; those that it did not bear are kept."""
    counts: Counter[str] = Counter(inputs=0, seconds=0, bytes=0)
    reasons: Counter[tuple] = Counter()
    path = folder / READERS[name].file
    context = multiprocessing.get_context("spawn")
    while counts["inputs"] < number:
        ours, theirs = context.Pipe()
        job = (name, number - counts["inputs"], seed + counts["inputs"], folder, theirs)
        process = context.Process(target=work, args=job)
        process.start()
        theirs.close()
        while counts["inputs"] < number:
            try:
                ready = ours.poll(CLOCK_SECONDS)
                report = ours.recv() if ready else {"finding": "it hangs"}
            except EOFError:
                process.join()
                report = {"finding": f"it ends the process: {process.exitcode}"}
            if "error" in report:
                raise RuntimeError(f"{name} cannot be fuzzed:\n{report['error']}")
            if "started" in report:
                continue
            if "ended" in report:
                break
            counts["inputs"] += 1
            counts["seconds"] = max(counts["seconds"], report.get("seconds", 0))
            counts["bytes"] = max(counts["bytes"], report.get("bytes", 0))
            counts[report.get("outcome", "findings")] += 1
            if reason := report.get("finding"):
                last = reason.strip().splitlines()[-1]
                places = re.findall(r'classicnets/(\S+)", line (\d+)', reason)
                reasons[key := (last.split(":")[0], *places[-1:])] += 1
                if reasons[key] <= COPIES:
                    stem = re.sub(r"\W+", "-", f"{name} {counts['findings']}")
                    content = report.get("content") or path.read_bytes()
                    (findings_folder / f"{stem}{path.suffix}").write_bytes(content)
                    (findings_folder / f"{stem}.txt").write_text(reason)
                    print(f"{stem}: {key}, {last[:80]}", file=sys.stderr, flush=True)
            if "outcome" not in report and "bytes" not in report:  # it hangs or is gone
                break
        process.kill()
        process.join()
    return counts


def work(name: str, number: int, seed: int, folder: Path, pipe: Any) -> None:
    """Read inputs in this process and report on each."""
    # What libraries write about broken files is of no interest.
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    reader = READERS[name]
    try:
        # First intact files: they must be taken, and bring in what is imported late.
        for content in reader.intact():
            accepts(reader, content, folder)
        inputs = inputs_of(reader)
    except Exception:
        pipe.send({"error": traceback.format_exc()})
        return
    start = memory("VmRSS")
    most = memory("VmSize") + 4 * BYTES  # a stop; what counts is measured below
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    pipe.send({"started": True})

    @hypothesis.settings(QUIET, max_examples=number)
    @hypothesis.seed(seed)
    @hypothesis.given(inputs)
    def read_all(content: bytes) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        report: dict[str, Any] = {}
        begun = time.process_time()
        try:
            report["outcome"] = (
                "accepted" if accepts(reader, content, folder) else "refused"
            )
        except BaseException:
            report["finding"] = traceback.format_exc()
        report["seconds"] = time.process_time() - begun
        report["bytes"] = max(memory("VmHWM") - start, 0)
        if report["seconds"] > SECONDS:
            report["finding"] = f"it takes {report['seconds']:.0f} s"
        elif report["bytes"] > BYTES:
            report["finding"] = f"it takes {report['bytes'] / 2**20:,.0f} MiB"
        if "finding" in report:
            report.pop("outcome", None)
            report["content"] = content  # the file may be another one by then
        pipe.send(report)

    read_all()
    pipe.send({"ended": True})  # after fewer, where there are no others


def memory(field: str) -> int:
    """Return bytes of this process, as /proc/self/status counts them."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", text)[1]) * 1024


def accepts(reader: Reader, content: bytes, folder: Path) -> bool:
    """Return whether a reader takes an input; fail where it does not refuse it."""
    path = folder / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader.read(path)
        except reader.refusal as error:
            lines = str(error).splitlines()
            assert len(lines) == 1, f"a refusal of {len(lines)} lines: {lines}"
            return False
    return True


def inputs_of(reader: Reader) -> st.SearchStrategy[bytes]:
    """Return all inputs of a reader: intact files, damaged, and its others."""
    intact = reader.intact()
    files = st.sampled_from(intact)
    damaged = st.builds(damage, files, files, SEEDS)
    others = [other(intact) for other in reader.others]
    return st.one_of(damaged, *others)


if __name__ == "__main__":
    main()
