"""A real browser without a window, where there is one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

QUIET = ("quic", "background-networking", "component-update", "sync", "dev-shm-usage", "gpu")
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{one}" for one in QUIET)]
# On a busy machine a slow page is no defect.
PATIENCE = 300.0

# Tips stand in trees of their own, within each other.
TIP = """const texts = [], walk = (root) => { for (const one of root.querySelectorAll("*")) {
  if (one.className === "bk-tooltip-content") texts.push(one.textContent);
  if (one.shadowRoot) walk(one.shadowRoot); } };
walk(document); return texts.join(" ");"""


class Browser:
    """Chromium, and what it complains about."""

    def __init__(self) -> None:
        from selenium.webdriver import Chrome, ChromeOptions
        from selenium.webdriver.chrome.service import Service

        options = ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in FLAGS:
            options.add_argument(flag)
        options.page_load_strategy = "none"  # else a slow page ends the connection
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
        self.driver.set_script_timeout(PATIENCE)
        self.driver.command_executor.client_config.timeout = int(PATIENCE)
        self.problems: list[str] = []

    def open(self, path: Path, *, dark: bool, width: int = 1200) -> None:
        """Load a page and wait for its script."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._command("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._command("Emulation.setDeviceMetricsOverride", **size)
        asked = f"?{scheme['value']}-{width}"
        self.driver.get(path.resolve().as_uri() + asked)
        self.wait_for("return location.search === arguments[0] && document.documentElement?.dataset.ready", asked)
        self._listen()

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns."""
        found = self.driver.execute_script(script, *arguments)
        self._listen()
        return found

    def run_async(self, script: str, *arguments: object) -> Any:
        """What a script gives to its last argument, a function."""
        return self.driver.execute_async_script(script, *arguments)

    def wait_for(self, script: str, *arguments: object) -> Any:
        """The first thing that a script returns which counts as true."""
        deadline = time.monotonic() + PATIENCE
        while not (found := self.run(script, *arguments)):
            assert time.monotonic() < deadline, f"in vain: {script} {self.problems}"
            time.sleep(0.05)
        return found

    def mouse(self, kind: str, x: float, y: float, **more: object) -> None:
        """An event of the mouse, in pixels of the window."""
        self._command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        """Press and release the left button."""
        for kind, held in (("mousePressed", 1), ("mouseReleased", 0)):
            self.mouse(kind, x, y, button="left", clickCount=1, buttons=held)

    def tip(self) -> str:
        """What is said beside the mouse, when something is."""
        return str(self.wait_for(TIP))

    def _command(self, name: str, **settings: object) -> None:
        self.driver.execute_cdp_cmd(name, settings)

    def _listen(self) -> None:
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        self.problems += [one["message"] for one in log if one["level"] in ("SEVERE", "WARNING")]


@pytest.fixture
def browser() -> Iterator[Browser]:
    pytest.importorskip("selenium", reason="selenium is not installed: pip install moe_mat[browser]")
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("chromium and its chromedriver are not installed")
    found = Browser()
    try:
        yield found
    finally:
        found.driver.quit()
