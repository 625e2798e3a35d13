"""The pictures of the pages: of a run's report, and of what it finds in images that are new to it.

    python docs/pictures/make.py RUN [FOLDER]

RUN must be of the synthetic sample: no patient's image belongs here. Needs Chromium for the report.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

WIDTH = 1000  # of the page, in pixels
TILE = (280, 245)  # of an overlay
SHOWN = {  # name -> what of the page is left out
    "report-scores": "main > section:not(#scores), #scores > dl, footer",
    "report-examples": "body > div, header, main > section:not(#examples), footer",
}


def main(run: Path, folder: Path) -> None:
    """Draw all of them into ``folder``; without Chromium the overlays alone."""
    told = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["data"]
    if told != "synthetic sample":
        raise SystemExit(f"pictures are made of the synthetic sample alone, got: {run} of {told}")
    save(overlays(run), folder / "overlay.png", 256)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    for name, left_out in SHOWN.items() if browser else ():
        save(screenshot(str(browser), run / "report.html", left_out), folder / f"{name}.png", 160)
    if not browser:
        print("No chromium: the report's pictures stay as they are.")


def overlays(run: Path, count: int = 3) -> Image.Image:
    """Side by side what `predict --overlays` draws into the first of the images that are new."""
    from gpsseg.config.predict import PredictConfig
    from gpsseg.data.synthetic.scenes import synthesize
    from gpsseg.predict import predict

    with tempfile.TemporaryDirectory() as scratch:
        new = synthesize("kvasir", Path(scratch) / "new", cases=6, seed=5) / "images"
        chosen = tuple(sorted(new.iterdir())[:count])
        masks = predict(
            PredictConfig(run=(run,), input=chosen, output=Path(scratch) / "masks", overlays=True)
        )
        strip = Image.new("RGB", (count * TILE[0], TILE[1]))
        for place, mask in enumerate(masks):
            with Image.open(mask.with_name(f"{mask.stem}_overlay.jpg")) as drawn:
                strip.paste(ImageOps.fit(drawn, TILE), (place * TILE[0], 0))
    return strip


def screenshot(browser: str, report: Path, left_out: str) -> Image.Image:
    """What is left of a report without what the CSS selector names, cut at its edges."""
    text = report.read_text(encoding="utf-8")
    rules = f"{left_out} {{display: none !important}} section {{border: 0 !important}}"
    style = f"<style>{rules}</style></head>"
    with tempfile.TemporaryDirectory() as scratch:
        page, taken = Path(scratch) / "page.html", Path(scratch) / "page.png"
        page.write_text(text.replace("</head>", style, 1), encoding="utf-8")
        flags = "--headless --no-sandbox --disable-gpu --hide-scrollbars --disable-sync"
        size = [f"--window-size={WIDTH},2000", f"--user-data-dir={scratch}/profile"]
        asked = [browser, *flags.split(), *size, f"--screenshot={taken}", page.as_uri()]
        subprocess.run(asked, check=True, capture_output=True, timeout=120)
        with Image.open(taken) as whole:
            picture = whole.convert("RGB")
    edge = picture.getpixel((WIDTH - 1, 1999))
    found = ImageChops.difference(picture, Image.new("RGB", picture.size, edge)).getbbox()
    top, bottom = (found[1], found[3]) if found else (0, 2000)
    return picture.crop((0, max(0, top - 16) if top else 0, WIDTH, min(2000, bottom + 16)))


def save(picture: Image.Image, path: Path, colours: int) -> None:
    """Write a PNG of few colours."""
    few = picture.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: python docs/pictures/make.py RUN [FOLDER]")
    given = [Path(argument) for argument in sys.argv[1:]]
    main(given[0], given[1] if len(given) == 2 else Path(__file__).parent)
