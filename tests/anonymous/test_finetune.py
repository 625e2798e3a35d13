"""`finetune` and `select` that name nobody."""

import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.select import SelectConfig
from gpsseg.errors import UserError
from gpsseg.finetune import finetune
from gpsseg.runs.folder import read_config
from gpsseg.select import select


def test_the_canaries_sing_where_nobody_hides_them(named: Path, tools: SimpleNamespace) -> None:
    where = "\n".join(tools.leaks(named))
    assert json.loads((named / "metrics.json").read_text())["title"] == tools.TITLE
    assert f"<h1>{tools.TITLE}</h1>" in (named / "report.html").read_text(encoding="utf-8")
    for name in ("config.json", "split.json", "metrics.json", "per_image.csv", "report.html"):
        assert name in where


def test_finetune(nameless: tuple[Path, Path], tools: SimpleNamespace) -> None:
    run, cache = nameless
    assert tools.leaks(run, cache) == []
    assert stat.S_IMODE((run / "salt.txt").stat().st_mode) == 0o600
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["leaks"]["pairs"], "pairs are told by their hashes"
    assert metrics["split"]["name"].startswith("split "), "the table's name is hashed"
    config = json.loads((run / "config.json").read_text())
    assert (config["config"]["data_root"], config["command"]) == ("hidden, see salt.txt", [])
    assert config["config"]["method"] == "gps"


def test_the_default_folder_of_a_run(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: SimpleNamespace
) -> None:
    """Also where it stopped: an error in the middle names files, and the log does not."""
    monkeypatch.chdir(tmp_path)

    def lost(*_: Any) -> None:
        raise UserError(f"{ward}/scans/JaneSECRET0.png or Jane SECRET X cannot be read.")

    monkeypatch.setattr("gpsseg.engine.train.save_state", lost)
    with pytest.raises(UserError, match="Jane SECRET X"):
        finetune(FinetuneConfig(dataset=str(ward / "cardSECRET.yaml"), cache="off", **tools.ONCE))
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("own-images-unet-efficientnet-lite0-gps-")
    assert tools.leaks(tmp_path) == []
    assert "UserError, said on the console only" in (run / "log.jsonl").read_text()


def test_a_stopped_run_on_a_card_is_resumed(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: SimpleNamespace
) -> None:
    """And so is one whose folder version 0.1 wrote: all in config.json and dataset.yaml."""
    from gpsseg.engine import state as resume

    keep = resume.save_state

    def stop(*arguments: Any) -> None:
        keep(*arguments)
        raise KeyboardInterrupt

    run, settings = tmp_path / "run", {**tools.ONCE, "epochs": 2, "cache": "off"}
    monkeypatch.setattr("gpsseg.engine.train.save_state", stop)
    with pytest.raises(KeyboardInterrupt):
        finetune(FinetuneConfig(dataset=str(ward / "cardSECRET.yaml"), output=run, **settings))
    monkeypatch.undo()
    monkeypatch.setattr("gpsseg.report.run.write_report", lambda *_: run / "report.html")
    split = (run / "split.json").read_text()
    assert tools.leaks(run) == []
    salt = (run / "salt.txt").read_text()
    (run / "salt.txt").unlink()
    with pytest.raises(UserError, match=r"has no salt\.txt: its image names are hashed"):
        finetune(FinetuneConfig(resume=run))
    (run / "salt.txt").write_text(salt)
    finetune(FinetuneConfig(resume=run))
    assert tools.leaks(run) == []
    tools.as_in_version_1(run, ward)
    (run / "metrics.json").unlink()
    finetune(FinetuneConfig(resume=run))
    assert (run / "split.json").read_text() == split


def test_select(ward: Path, tmp_path: Path, tools: SimpleNamespace) -> None:
    output, cache = tmp_path / "selection", tmp_path / "cache"
    own = {"images": ward / "scans", "masks": ward / "truth", "cache": str(cache)}
    settings = {name: value for name, value in tools.QUICK.items() if name != "batch_size"}
    select(SelectConfig(**own, **settings, output=output, anonymous_ids=True))
    assert tools.leaks(output, cache) == []


def test_own_weights_are_private_and_needed(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: SimpleNamespace
) -> None:
    import torch

    from gpsseg.backbones import load_backbone

    weights = tmp_path / "netSECRET.pth"
    torch.save(load_backbone(tools.QUICK["backbone"]).state_dict(), weights)
    run = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    own = {"table": ward / "listSECRET.csv", "weights": weights.name, "cache": "off"}
    from gpsseg.finetune import tune

    tune(
        FinetuneConfig(
            **own, output=run, **{**tools.ONCE, "method": "norm", "selection_images": None}
        )
    )
    assert tools.leaks(run) == []
    assert read_config(run).weights == str(weights)
    (run / "salt.txt").unlink()
    with pytest.raises(UserError, match=r"no salt\.txt, which says where the run's --weights lies"):
        read_config(run)


def test_a_nameless_start_on_own_images_begins_anew(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: SimpleNamespace
) -> None:
    """Stopped in its first epoch: what told where the images lie is not lost with the start."""
    import gpsseg.runs.training as module
    from gpsseg.runs.folder import read_config

    run, fit = tmp_path / "run", module.train_run

    def stop(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train_run", stop)
    own = {"images": ward / "scans", "masks": ward / "truth", "cache": "off"}
    with pytest.raises(KeyboardInterrupt):
        finetune(FinetuneConfig(**own, output=run, **tools.ONCE))
    monkeypatch.setattr(module, "train_run", fit)
    finetune(FinetuneConfig(resume=run))
    assert (run / "metrics.json").is_file()
    assert read_config(run).data_root == (ward).resolve()
