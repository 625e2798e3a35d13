"""What is pushed of a nameless run, and what a text for a paper knows of its data, name nobody."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from gpsseg.config.delta import PushConfig
from gpsseg.data.cards.card import load_card
from gpsseg.delta import push
from gpsseg.report.paper.facts import read_facts


def test_push(
    nameless: tuple[Path, Path],
    tmp_path: Path,
    tools: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own card is in salt.txt, beside the one for everybody."""
    run = nameless[0]
    assert "SECRET" in load_card(str(run / "dataset.yaml")).title, "which this machine may read"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    look = tmp_path / "look"
    push(PushConfig(delta=run, repo="clinic/polyps", dry_run=True, output=look))
    assert tools.leaks(look) == []
    card = yaml.safe_load((look / "dataset.yaml").read_text())
    assert (card["name"], card["title"]) == ("own-images", "own images")
    told = read_facts(run).card
    assert told
    assert (told.name, told.title) == ("own-images", "own images")
