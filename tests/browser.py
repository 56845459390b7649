"""A headless Chromium for tests, without network, and what a probe inside the page told."""

import html
import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = next(
    (
        p
        for n in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
        if (p := shutil.which(n))
    ),
    None,
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
TELL = """const tell = (name, value) =>
  document.documentElement.setAttribute("data-" + name, JSON.stringify(value));"""


def browse(path, profile, *action):
    """Run headless Chromium on a file, without network."""
    quiet = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    )
    more = "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1"
    command = [
        CHROMIUM,
        *quiet.split(),
        *more.split(),
        "--proxy-server=127.0.0.1:9",
        f"--user-data-dir={profile}",
        *action,
    ]
    return subprocess.run(
        [*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout


def told(page, script, folder, width=1280):
    """What `script` told (name, value) after it ran at the end of a copy of `page` (text of HTML)."""
    probe = folder / "probe.html"
    probe.write_text(page.replace("</body>", f"<script>{TELL}\n{script}</script></body>"), encoding="utf-8")
    window = f"--window-size={width},3900"
    dom = browse(probe, folder / "profile", "--dump-dom", "--virtual-time-budget=2000", window)
    root = re.search(r"<html[^>]*>", dom).group(0)
    return {name: json.loads(html.unescape(text)) for name, text in re.findall(r'data-(\w+)="([^"]*)"', root)}
