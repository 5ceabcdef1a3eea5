"""Open every page of the built site in headless Chromium, at a phone's width too.

    python tools/look.py [FOLDER] [--shots FOLDER]

It says which pages are wider than the window, which pictures are missing, and what the
console complains of. Needs the program `chromium` and nothing else: it speaks to it in
the DevTools protocol over a pipe, as files that may be opened without a server.
"""

import argparse
import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"phone": 390, "desk": 1280}
# What a page is asked when it has been loaded.
QUESTION = """
new Promise(answer => {
  for (const picture of document.images) picture.loading = "eager";
  const all = [...document.images].map(i => i.decode().catch(() => null));
  Promise.all(all).then(() => answer(JSON.stringify({
    width: document.documentElement.scrollWidth,
    window: window.innerWidth,
    missing: [...document.images].filter(i => !i.naturalWidth).map(i => i.src),
    widest: [...document.querySelectorAll("article *")]
      .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1)
      .slice(0, 3).map(e => e.tagName + "." + e.className),
    language: document.documentElement.lang,
  })));
})
"""


class Browser:
    """A headless Chromium, spoken to over a pipe."""

    def __init__(self, program: str, profile: str) -> None:
        ours, theirs = os.pipe(), os.pipe()
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        arguments += ["--remote-debugging-pipe", f"--user-data-dir={profile}"]
        arguments += ["--allow-file-access-from-files"]

        def take_pipes() -> None:  # Chromium reads from 3 and writes to 4
            ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ours[0], theirs[1])]
            for number, end in enumerate(ends, start=3):
                os.dup2(end, number)

        self._process = subprocess.Popen(
            [program, *arguments, "about:blank"],
            preexec_fn=take_pipes,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._write, self._read = ours[1], theirs[0]
        self._rest, self._number = b"", 0
        self.complaints: list[str] = []
        self._session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message: dict[str, Any] = {
            "id": self._number,
            "method": method,
            "params": params,
        }
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def wait(self, event: str) -> None:
        """Wait for an event."""
        while self._next().get("method") != event:
            pass

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = os.read(self._read, 1 << 20)
            if not read:
                raise RuntimeError("chromium ended")
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        answer = json.loads(message)
        if answer.get("method") == "Log.entryAdded":
            self.complaints.append(answer["params"]["entry"]["text"])
        if answer.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(answer["params"]["exceptionDetails"]["text"]))
        return answer

    def look(self, page: Path, width: int, shot: Path | None) -> list[str]:
        """Return what is wrong with a page at a width; keep a picture of it."""
        size = {"width": width, "height": 844, "deviceScaleFactor": 1}
        self.ask("Emulation.setDeviceMetricsOverride", **size, mobile=width < 800)
        self.complaints = []
        self.ask("Page.navigate", url=page.resolve().as_uri())
        self.wait("Page.loadEventFired")
        answer = self.ask("Runtime.evaluate", expression=QUESTION, awaitPromise=True)
        facts = json.loads(answer["result"]["value"])
        wrong = list(self.complaints)
        if facts["width"] > facts["window"] or facts["window"] > width:
            wrong.append(f"{facts['width']} pixels wide: {facts['widest']}")
        wrong += [f"no picture {source}" for source in facts["missing"]]
        if facts["language"] not in ("en", "zh-CN"):
            wrong.append(f"in the language {facts['language']!r}")
        if shot:
            options = {"captureBeyondViewport": True, "format": "png"}
            answer = self.ask("Page.captureScreenshot", **options)
            shot.write_bytes(base64.b64decode(answer["data"]))
        return wrong

    def close(self) -> None:
        """End it."""
        self._session = None
        os.write(self._write, b'{"id": 0, "method": "Browser.close"}\0')
        self._process.wait(timeout=30)


def program() -> str | None:
    """Return the path of a Chromium, if one is installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def look(
    folder: Path,
    pages: list[Path],
    widths: dict[str, int] = WIDTHS,
    shots: Path | None = None,
) -> list[str]:
    """Open pages of a folder; return what is wrong with them, one line each."""
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    wrong = []
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(str(program()), profile)
        for page in pages:
            name = page.relative_to(folder).as_posix()
            for kind, width in widths.items():
                flat = name.replace("/", "-").removesuffix(".html")
                shot = shots / f"{flat}-{kind}.png" if shots else None
                faults = browser.look(page, width, shot)
                wrong += [f"{name}, {kind}: {fault}" for fault in faults]
        browser.close()
    return wrong


def main() -> None:
    """Look, and say what is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "site")
    parser.add_argument("--shots", type=Path, help="keep a picture of each page here")
    options = parser.parse_args()
    if program() is None:
        sys.exit("look needs chromium: apt-get install chromium")
    pages = sorted(options.folder.rglob("*.html"))
    wrong = look(options.folder, pages, shots=options.shots)
    print(*wrong, sep="\n")
    print(f"{len(pages)} pages at {' and '.join(map(str, WIDTHS.values()))} pixels")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
