"""Headless Chromium over the DevTools protocol: as much of it as the test of the playground needs."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
PATIENCE = 600
"""Seconds after which what a test waits for counts as never coming."""
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40, "End": 35}


class Browser:
    """One tab. `errors` has everything that the page or its policy complained about."""

    def __init__(self, socket: ClientConnection, downloads: Path) -> None:
        self._socket, self._ids = socket, count(1)
        self.downloads, self.errors = downloads, list[str]()
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return dict(message["result"])
            self._heard(message)

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(message["params"]["exceptionDetails"]))
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.errors.append(message["params"]["entry"]["text"])

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value of the expression as soon as it is true."""
        end = time.monotonic() + PATIENCE
        while not (value := self.js(f"(v => v instanceof Node || v)({expression})")):
            assert time.monotonic() < end, (expression, self.errors, self.js("document.body.innerText"))
            time.sleep(0.05)
        return value

    def focus(self, selector: str) -> None:
        self.js(f"document.querySelector({json.dumps(selector)}).focus()")

    def _middle(self, selector: str) -> Any:
        return self.js(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();"
            f" return [r.x + r.width / 2, r.y + r.height / 2]; }})(document.querySelector({json.dumps(selector)}))"
        )

    def click(self, selector: str) -> None:
        """A real click in the middle of the element, once what loads around it no longer moves it."""
        place = None
        while place != (place := self._middle(selector)):
            time.sleep(0.1)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def key(self, name: str, modifiers: int = 0) -> None:
        text = {"Enter": "\r", " ": " "}.get(name)
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" and not modifiers else {}
            code = KEYS[name]
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, modifiers=modifiers, **more
            )

    def type(self, selector: str, text: str) -> None:
        """Replaces what the field holds by what is typed."""
        self.focus(selector)
        self.js("document.activeElement.select()")
        self.call("Input.insertText", text=text)

    def size(self, width: int, height: int, dark: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def downloaded(self, name: str) -> str:
        """The text of a file that the page saved."""
        path, end = self.downloads / name, time.monotonic() + PATIENCE
        while not path.is_file():
            assert time.monotonic() < end, list(self.downloads.iterdir())
            time.sleep(0.05)
        return path.read_text("utf-8")


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A headless Chromium with a fresh profile under `folder`."""
    profile, downloads = folder / "profile", folder / "downloads"
    downloads.mkdir(parents=True)
    process = subprocess.Popen(
        [
            str(CHROMIUM),
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"),
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port_file, end = profile / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not port_file.is_file() or not port_file.read_text().strip():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        port = port_file.read_text().split()[0]
        targets = httpx.get(f"http://127.0.0.1:{port}/json").json()
        address = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        with connect(address, max_size=None) as socket:
            yield Browser(socket, downloads)
    finally:
        process.terminate()
        process.wait()
