"""The page in headless Chromium: what is dropped is shown, and no other machine asked."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
import uvicorn

from gpsseg.config.demo import DemoConfig
from gpsseg.demo.serve import bound

PICTURES = "[...document.querySelectorAll('.picture img')]"
SHOWN = f"{PICTURES}.filter(each => each.complete && each.naturalWidth).length == 2"
TEXT = "document.body.innerText"
HEADS = (
    "[...document.querySelectorAll('input[type=number]')].filter(each => each.offsetParent)"
    ".map(each => [each.parentElement.previousElementSibling, each].map("
    "one => one.getBoundingClientRect().top))"
)
ICON = """document.querySelector('[data-testid="upload-icon"]')"""
UNDER_LABEL = (  # pixels between the drop box's label and the text below it
    "(text => (range => (range.selectNodeContents(text), range.getBoundingClientRect().top))"
    "(document.createRange()) - text.closest('.block').querySelector('label')"
    f".getBoundingClientRect().bottom)({ICON}.parentElement)"
)


@pytest.fixture
def address(served):
    taken = bound(DemoConfig(run=(Path("run"),), port=0))
    server = uvicorn.Server(
        uvicorn.Config(served[0], log_level="error", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{taken.getsockname()[1]}/"
    server.should_exit = True
    thread.join(10)
    taken.close()


def place_of(page, number: int) -> list[float]:
    """x, y, width and height of a picture on the page."""
    script = f"{PICTURES}[{number}].getBoundingClientRect()"
    return page.run(f"(({{x, y, width, height}}) => [x, y, width, height])({script})")


def press(page, text: str) -> None:
    """Click the button with this text."""
    buttons = "[...document.querySelectorAll('button, a')]"
    found = f"{buttons}.find(each => each.innerText.trim() == '{text}')"
    page.wait(f"(each => each && (each.click(), true))({found})")


def test_an_image_is_dropped_boxed_and_removed(served, address, chromium, tmp_path):
    white = tmp_path / "a <b>white<b> one.png"
    Image.fromarray(np.full((32, 64), 255, np.uint8)).save(white)
    with chromium.Browser(tmp_path / "profile", height=1200) as page:
        page.open(address)
        page.wait("document.querySelector('input[type=file]') !== null", 60)
        page.drop(white)
        page.wait(f"{SHOWN} && {TEXT}.includes('2,048 pixels, 100.0 % of the picture')")
        assert "nothing is marked" in page.run(TEXT), "by the base"
        assert page.run("document.querySelector('.name b') === null"), "a name is no markup"
        page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        press(page, "Download the mask")
        end, mask = time.monotonic() + 20, tmp_path / "a bwhiteb one_mask.png"
        while not (mask.is_file() and mask.stat().st_size) and time.monotonic() < end:
            page.run("0")
        with Image.open(mask) as image:
            assert (image.size, image.getextrema()) == ((64, 32), (255, 255))
        before = page.run(f"{PICTURES}[1].src")
        page.run("document.querySelectorAll('input[type=range]')[1].focus()")
        page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight")
        page.call("Input.dispatchKeyEvent", type="keyDown", windowsVirtualKeyCode=39)
        page.wait(f"{SHOWN} && {PICTURES}[1].src != '{before}'")
        before = page.run(f"{PICTURES}[1].src")
        page.run("document.querySelectorAll('input[type=radio]')[1].click()")
        page.wait(f"{TEXT}.includes('two opposite corners')")
        page.wait(f"{SHOWN} && {PICTURES}[1].src != '{before}'")  # else a click is on nothing
        for part in (0.25, 0.75):
            before = page.run(f"{PICTURES}[1].src")
            x, y, width, height = place_of(page, 1)
            page.click(x + part * width, y + part * height)
            page.wait(f"{SHOWN} && {PICTURES}[1].src != '{before}'")
        page.wait(f"{TEXT}.includes('25.0 %')")  # half of the width and of the height
        page.resize(400, 800)
        assert page.run("document.documentElement.scrollWidth") <= 400
        for label, number in page.run(HEADS):
            assert abs(label - number) < 10, "a slider's number is beside its label"
        assert page.run(f"{ICON}.getClientRects().length") == 0
        assert page.run(UNDER_LABEL) >= 0
        press(page, "Remove the file")
        page.wait(f"{PICTURES}.length == 0")
        asked = [each for each in page.requests if not each.startswith(("data:", "blob:"))]
        assert [each for each in asked if not each.startswith(address)] == []
        assert not [each for each in page.said if "Content Security" in each or "404" in each]
    root = served[1].sessions.root
    left = [path for path in root.rglob("*") if path.is_file() and path.stat().st_size]
    assert left == []
