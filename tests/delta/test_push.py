"""`delta push`: what is said before anything leaves, and what can be read of it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from gpsseg.config.delta import AverageConfig, DeltaInfoConfig, PushConfig
from gpsseg.data.cards.card import load_card
from gpsseg.delta import average, info, pushing
from gpsseg.errors import UserError
from gpsseg.gps import Delta

FILES = {"delta.safetensors", "config.json", "metrics.json", "README.md"}


def said_by(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_dry_run_keeps_the_very_files_that_would_leave(
    hub: Any, ask: Any, pushed_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look = tmp_path / "look"
    assert ask.push(pushed_run / "delta.safetensors", dry_run=True, output=look) is None
    assert all(each.startswith("GET /api/models/") for each in hub.asked), "nothing leaves"
    assert f"kept for you to read in {look}" in said_by(capsys)
    kept = hub.files_at("clinic/polyps", ask.push(pushed_run))[1]
    assert {path.name: path.read_bytes() for path in look.iterdir()} == kept
    with pytest.raises(UserError, match="already exists and is not empty"):
        ask.push(pushed_run, dry_run=True, output=look)
    ask.push(pushed_run, dry_run=True)
    assert "To read them, keep them: --dry-run --output FOLDER" in said_by(capsys)
    with pytest.raises(UserError, match=r"--output x has no effect here: it goes with --dry-run"):
        PushConfig(delta=pushed_run, repo="clinic/polyps", output=Path("x"))


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("private", "public", "who"),
    [
        (None, False, "a new repository; private: those may read it whom you let"),
        (None, True, "a new repository; everybody may read it"),
        (True, False, "it is there, and private"),
        (True, True, "it is there, and private; --public does not change that"),
        (False, True, "it is there, and everybody may read it"),
    ],
)
def test_who_may_read_it_is_asked_before_it_is_said(
    hub: Any,
    ask: Any,
    pushed_run: Path,
    capsys: pytest.CaptureFixture[str],
    private: bool | None,
    public: bool,
    who: str,
    dry_run: bool,
) -> None:
    if private is not None:
        hub.put("clinic/polyps", {"a": b""}, private=private)
    ask.push(pushed_run, public=public, dry_run=dry_run)
    what = "would leave" if dry_run else "is to leave"
    said = said_by(capsys)
    assert f"This {what} this machine for http://127.0.0.1:" in said
    assert f"/clinic/polyps ({who}): " in said


def test_where_the_hub_cannot_be_asked_only_a_dry_run_lists_anything(
    ask: Any, hub: Any, pushed_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.broken["/api/models/"] = 500
    with pytest.raises(UserError, match="answers 500"):
        ask.push(pushed_run)
    assert "machine" not in said_by(capsys)
    ask.push(pushed_run, dry_run=True, output=tmp_path / "look")
    assert "(nobody knows who may read it there: http://127.0.0.1:" in said_by(capsys)
    assert {path.name for path in (tmp_path / "look").iterdir()} == FILES


@pytest.mark.parametrize("token", ["hf_sécret", "hf_sec\nret", "hf sec ret"])
def test_a_token_that_is_none_is_not_said_to_be_the_hub_s_fault(
    ask: Any, hub: Any, pushed_run: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    with pytest.raises(UserError, match=r"Your token for the hub holds a blank.*Copy it") as error:
        ask.push(pushed_run)
    assert token not in str(error.value)
    assert hub.asked == []


@pytest.mark.usefixtures("hub")
def test_a_delta_alone_is_told_what_it_lacks(ask: Any, pushed_run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "mean.safetensors"
    alone.write_bytes((pushed_run / "delta.safetensors").read_bytes())
    said = r"lies in no run's folder, and `predict` elsewhere needs the config\.json of one"
    with pytest.raises(UserError, match=said):
        ask.push(alone)


def test_the_card_names_the_classes_that_the_network_tells_apart(
    hub: Any, ask: Any, pushed_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = {"polyp": 1, "tool": 2}
    card = dataclasses.replace(load_card("kvasir"), classes=classes, separate=True)
    monkeypatch.setattr(pushing, "card_of", lambda config: card)
    told = hub.files_at("clinic/polyps", ask.push(pushed_run))[1]["README.md"].decode()
    assert "tuned to mark: polyp, tool\n" in told


def test_a_mean_is_pushed_as_what_it_is(
    hub: Any, ask: Any, pushed_run: Path, tmp_path: Path
) -> None:
    """Not as what the run was trained on whose settings it has; nor elsewhere when it is pulled."""
    (pushed_run / "salt.txt").unlink()
    paths = []
    for name, images in (("a", "50"), ("b", "100")):
        delta = Delta.load(pushed_run / "delta.safetensors")
        delta.metadata["train_images"] = images
        delta.metadata.pop("epochs", None)
        paths.append(tmp_path / f"{name}.safetensors")
        next(iter(delta.sparse.values()))[1].add_(int(images) / 1e6)
        delta.save(paths[-1])
    config = AverageConfig(deltas=tuple(paths), run=pushed_run, output=tmp_path / "mean SECRET")
    kept = hub.files_at("clinic/polyps", ask.push(average(config)))[1]
    assert set(kept) == FILES - {"metrics.json"} | {"adopted.json"}
    assert not [name for name, content in kept.items() if b"SECRET" in content]
    card = kept["README.md"].decode()
    assert "mean of 2 trainings" in card
    assert "150" in card
    for lie in ("on 6 images", "6 training images", "the seed 0"):
        assert lie not in card
    pulled = info(DeltaInfoConfig(delta=ask.pull(tmp_path / "pulled")))
    assert (len(pulled["averaged"]), pulled["train_images"]) == (2, 150)
    assert "seed" not in pulled["settings"]


def test_the_way_of_sending_that_waits_for_ever_is_not_taken(
    hub: Any, ask: Any, pushed_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for a token of its own, again and again where it gets none that it can use."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    assert ask.push(pushed_run)
    assert not [each for each in hub.asked if "xet" in each]
    assert constants.HF_HUB_DISABLE_XET is False, "the user's own choice is put back"
