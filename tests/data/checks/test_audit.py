"""The data check: every kind of fault is found, and sound sets have none."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.datasets import CheckConfig
from gpsseg.config.shared import SourceConfig
from gpsseg.data.cards.card import load_card
from gpsseg.data.cards.own import card_of
from gpsseg.data.case import Case
from gpsseg.data.checks.audit import audit
from gpsseg.data.splits.split import find_cases
from gpsseg.data.synthetic.scenes import polyp_case
from gpsseg.datasets import check
from gpsseg.errors import UserError
from gpsseg.report.check import _overlay, summary
from gpsseg.report.thumbnails import leak_picture


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Twelve pairs; 1 to 7 have a fault or something odd each, 9 is a copy of 8."""
    root = tmp_path / "Study"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for i in range(12):
        image, mask = polyp_case(np.random.default_rng([3, 8 if i == 9 else i]), 96)
        Image.fromarray(image).save(root / "images" / f"{i}.jpg", quality=90 - i)
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / "masks" / f"{i}_mask.png")
    (root / "images" / "1.jpg").write_bytes(b"\xff\xd8 cut off")
    Image.new("L", (5, 5)).save(root / "masks" / "2_mask.png")
    for number, value in ((3, 0), (4, 255)):
        with Image.open(root / "images" / f"{number}.jpg") as image:
            Image.new("L", image.size, value).save(root / "masks" / f"{number}_mask.png")
    with Image.open(root / "masks" / "5_mask.png") as mask:
        mask.convert("RGB").save(root / "masks" / "5_mask.jpg", quality=80)
    (root / "masks" / "5_mask.png").unlink()
    (root / "masks" / "6_mask.png").unlink()
    (root / "images" / "7.jpg").unlink()
    return root


def test_every_kind_of_fault_is_found(broken: Path) -> None:
    card = card_of(SourceConfig(images=broken / "images", masks=broken / "masks"))
    found = find_cases(card, None, require_masks=False)
    assert [path.name for path in found.lone_masks] == ["7_mask.png"]
    result = audit(found.cases, ["masks/7_mask.png"])
    faults = "\n".join(result.faults)
    assert len(result.faults) == 4
    for message in (
        r"1\.jpg is not a readable image",
        r"2_mask\.png: the mask is 5x5 but its image is",
        r"6\.jpg is an image without a mask\.",
        r"masks/7_mask\.png is a mask without an image\.",
    ):
        assert re.search(message, faults), message
    assert [look.case.id for look in result.empty] == ["3"]
    assert [look.case.id for look in result.full] == ["4"]
    assert [look.case.id for look in result.not_binary] == ["5"]
    assert [{leak.train_id, leak.test_id} for leak in result.duplicates] == [{"8", "9"}]
    assert len(result.sound) == 8
    assert sum(count for _, count in result.sizes) == 8


def test_a_mask_of_other_capitals_is_named_with_its_image() -> None:
    """Not one that differs otherwise, or that has the image's very name."""
    cases = [Case(name, Path(f"{name}.png")) for name in ("c0", "c1", "c2")]
    faults = audit(cases, ["m/C0_Mask.PNG", "m/c1_seg.png", "m/x.png"]).faults
    hint = " C0_Mask.PNG would fit c0 but for its capitals: spell both alike."
    assert [fault.endswith(hint) for fault in faults] == [True] + [False] * 5


def test_faults_that_are_not_printed_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(13):
        for kind in ("images", "masks") if number == 0 else ("images",):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.new("L", (8, 8), 255).save(tmp_path / kind / f"{number}.png")
    folders = {"images": tmp_path / "images", "masks": tmp_path / "masks"}
    check(CheckConfig(**folders, output=tmp_path / "page.html", duplicates=False))
    said = capsys.readouterr().out
    assert said.count("is an image without a mask") == 10
    assert "... and 2 other faults: see the page." in said


def test_the_page_is_one_file_and_names_everything(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "new" / "check.html"
    config = CheckConfig(images=broken / "images", masks=broken / "masks", output=page)
    check(config)
    html = page.read_text(encoding="utf-8")
    for text in ("Faults: 4", "2_mask.png: the mask is 5x5", "Near-duplicates: 1 pair<", "8 = 9"):
        assert text in html
    assert html.count("data:image/jpeg") == 8 + 2
    assert not re.search(r"(src|href)=\"(?!data:|#)", html), "loads nothing"
    assert "<script" not in html
    said = capsys.readouterr().out
    assert "11 images: 8 sound, 4 faults" in said
    assert "masks: 1 empty, 1 full, 1 with more than two levels (up to " in said
    with pytest.raises(UserError, match=r"check\.html already exists; gpsseg never overwrites"):
        check(config)


@pytest.mark.parametrize(("left_out", "status"), [("none", 3), ("[1267]*", 0)])
def test_the_exit_status_tells_scripts_of_faults(
    broken: Path, tmp_path: Path, left_out: str, status: int
) -> None:
    for file in broken.glob(f"*/{left_out}"):
        file.unlink()
    words = [
        "check",
        "--images",
        "images",
        "--masks",
        "masks",
        "--output",
        str(tmp_path / "c.html"),
    ]
    command = [sys.executable, "-m", "gpsseg.datasets", *words, "--no-duplicates"]
    done = subprocess.run(command, cwd=broken, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    assert (tmp_path / "c.html").exists()


def test_a_page_of_one_image_is_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in "im":
        (tmp_path / kind).mkdir()
        picture = np.zeros((20, 20), np.uint8)
        picture[:5, :4] = 255
        Image.fromarray(picture).save(tmp_path / kind / "a.png")
    page = tmp_path / "c.html"
    check(CheckConfig(images=tmp_path / "i", masks=tmp_path / "m", output=page))
    said, html = capsys.readouterr().out, page.read_text(encoding="utf-8")
    assert "1 image: 1 sound, 0 faults" in said
    assert "lesion size: median 5.0% of the image\n" in said
    assert f"1 image; no groups (patients, sequences) are known; {tmp_path}" in html
    assert "Near-duplicates: none found</h2>" in html
    for bar in ("looking at images: 1/1", "comparing images: 1/1"):
        assert said.count(bar) == 1


def test_a_sound_set_has_no_fault(kvasir: Path, tmp_path: Path) -> None:
    config = CheckConfig(data_root=kvasir, output=tmp_path / "c.html", duplicates=False)
    result = check(config)
    assert (len(result.sound), result.faults, result.empty, result.full) == (8, [], [], [])
    assert len(result.not_binary) == 8, "Kvasir's masks are JPEG"
    assert all(look.share and 0 < look.share < 1 for look in result.sound)
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "SYNTHETIC SAMPLE" in page
    assert "Near-duplicates: not looked for" in page, "and not: none found"


def test_two_levels_are_two_whatever_they_are(tmp_path: Path) -> None:
    for folder in ("i", "m"):
        (tmp_path / folder).mkdir()
    values = np.repeat([[0], [1]], 8, axis=0).repeat(8, axis=1).astype(np.uint8)
    Image.new("RGB", (8, 16)).save(tmp_path / "i" / "palette.png")
    mask = Image.fromarray(values).convert("P")
    mask.putpalette([0, 0, 0, 128, 0, 0] + [0] * 762)
    mask.save(tmp_path / "m" / "palette.png")
    Image.new("RGB", (8, 16)).save(tmp_path / "i" / "deep.png")
    Image.fromarray(values.astype(np.uint16) * 4095).save(tmp_path / "m" / "deep.png")
    card = card_of(SourceConfig(images=tmp_path / "i", masks=tmp_path / "m"))
    result = audit(find_cases(card, None).cases, duplicates=False)
    assert [look.share for look in result.looks] == [0.5, 0.5]
    assert result.not_binary == []


def test_images_that_exif_turns_are_listed_and_shown(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: the sizes fit, and still the mask may not
    for folder, kind in (("i", "RGB"), ("m", "L")):
        (tmp_path / folder).mkdir()
        Image.new(kind, (9, 9), "white").save(tmp_path / folder / "a.png")
        Image.new(kind, (9, 9), "white").save(tmp_path / folder / "b.png", exif=exif)
    page = tmp_path / "c.html"
    result = check(CheckConfig(images=tmp_path / "i", masks=tmp_path / "m", output=page))
    assert [look.case.id for look in result.turned] == ["b"]
    assert "Images turned by their EXIF orientation" in page.read_text(encoding="utf-8")


def test_file_names_may_hold_any_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("i", "m"):
        (tmp_path / folder).mkdir()
        for name in (b"\xe4b.png", b"cut\xff.png"):
            try:
                Image.new("L", (9, 9), 255).save(tmp_path / folder / os.fsdecode(name))
            except OSError:
                pytest.skip("this file system allows UTF-8 names only")
    (tmp_path / "i" / os.fsdecode(b"cut\xff.png")).write_bytes(b"")
    page = tmp_path / "c.html"
    result = check(CheckConfig(images=tmp_path / "i", masks=tmp_path / "m", output=page))
    assert [look.case.id for look in result.sound] == ["\ufffdb"]
    assert "cut\ufffd.png is an empty file" in page.read_text(encoding="utf-8")
    assert "cut\ufffd.png is an empty file" in capsys.readouterr().out


def test_ids_are_escaped(tmp_path: Path) -> None:
    for folder in ("i", "m"):
        (tmp_path / folder).mkdir()
        for name in ("<b>1", "2"):
            Image.new("L", (9, 9), 255).save(tmp_path / folder / f"{name}.png")
    page = tmp_path / "c.html"
    check(CheckConfig(images=tmp_path / "i", masks=tmp_path / "m", output=page))
    assert "<b>1" not in page.read_text(encoding="utf-8")
    assert "&lt;b&gt;1" in page.read_text(encoding="utf-8")


def test_the_size_of_lesions_leaves_images_without_one_out(tmp_path: Path) -> None:
    for folder in ("i", "m"):
        (tmp_path / folder).mkdir()
    for name, rows in (("a", 0), ("b", 0), ("c", 0), ("d", 2), ("e", 4)):
        mask = np.zeros((10, 10), np.uint8)
        mask[:rows] = 255
        Image.fromarray(mask).save(tmp_path / "m" / f"{name}.png")
        Image.new("RGB", (10, 10)).save(tmp_path / "i" / f"{name}.png")
    page = tmp_path / "c.html"
    result = check(CheckConfig(images=tmp_path / "i", masks=tmp_path / "m", output=page))
    assert "lesion size: median 30.0% of the image, half 25.0% to 35.0%" in summary(result)


def test_real_kvasir_has_no_fault(real_data: Path) -> None:
    found = find_cases(load_card("kvasir"), real_data, require_masks=False)
    assert len(found.cases) == 1000
    assert not found.lone_masks
    result = audit(found.cases[:40], duplicates=False)
    assert result.faults == []
    assert result.empty == []


def test_deep_images_are_pictured_by_the_range_of_their_set(tmp_path: Path) -> None:
    """One of 10 bits among 12: 1000 of 4095 is 62, and test images settle nothing."""
    for name, top in (("dark", 1000), ("bright", 4000), ("test", 60000)):
        for kind, value in (("images", np.uint16(top)), ("masks", np.uint8(255))):
            path = tmp_path / kind / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((8, 9), value)).save(path)
    card = card_of(SourceConfig(images=tmp_path / "images", masks=tmp_path / "masks"))
    cases = find_cases(card, None).cases
    result = audit(cases, tests=[case for case in cases if case.id == "test"])
    assert {look.case.id: look.colour[0] for look in result.looks} == {
        "dark": 62,
        "bright": 249,
        "test": 255,
    }
    with Image.open(io.BytesIO(_overlay(result.looks[1]))) as picture:
        assert result.looks[1].case.id == "dark"
        assert abs(np.asarray(picture)[4, 4, 0].astype(int) - (0.75 * 62 + 0.25 * 255)) < 4
    dark = tmp_path / "images" / "dark.png"
    with Image.open(io.BytesIO(leak_picture(dark, dark, result.greys).train)) as picture:
        assert abs(int(np.asarray(picture)[4, 4, 0]) - 62) < 4
