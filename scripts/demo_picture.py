"""Takes the pictures of the demo for the home page: `PYTHONPATH=. python scripts/demo_picture.py`.

It serves the demo, opens its start page in the system's Chromium, and writes one picture for each
colour scheme.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "docs" / "assets"
SIZE = {"width": 960, "height": 600}


def main() -> None:
    """Both pictures."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    command = [sys.executable, "-m", "examples.demo", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport=SIZE, color_scheme=scheme)  # type: ignore[arg-type]
                page.goto(f"http://localhost:{port}/", wait_until="networkidle")
                page.evaluate(
                    "port => document.body.innerHTML ="
                    " document.body.innerHTML.replaceAll(port, ':8000')",
                    f":{port}",
                )
                picture = BytesIO(page.screenshot())
                few_colours = Image.open(picture).convert("RGB").quantize(48)
                few_colours.save(ASSETS / f"demo-{scheme}.png", optimize=True)
            browser.close()
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
