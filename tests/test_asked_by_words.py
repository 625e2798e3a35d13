"""A run that is asked by words, from its images to what is made of it."""

import json
from pathlib import Path

import pytest

from gpsseg.config.delta import DeltaInfoConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.export import ExportConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.resuming import read_config
from gpsseg.delta import info
from gpsseg.evaluate import evaluate
from gpsseg.export import export
from gpsseg.finetune import finetune
from gpsseg.runs.members import load_all, load_networks
from gpsseg.runs.method import load_base
from gpsseg.scoring import words


def test_the_card_s_word_reaches_a_network(sam3_folder: Path):
    from gpsseg.data.cards.card import load_card

    config = FinetuneConfig(backbone=str(sam3_folder))
    assert load_base(config, load_card("kvasir")).facts.text == "polyp"


@pytest.mark.slow
def test_a_run_keeps_the_word_that_it_chose(sam3_folder, tmp_path, capsys, monkeypatch):
    asked = []
    plain = words.score_cases
    monkeypatch.setattr(words, "score_cases", lambda *a, **k: asked.append(a[1]) or plain(*a, **k))
    tiny = {"train_size": 4, "batch_size": 2, "epochs": 1, "cache": "off", "image_size": 64}
    tiny |= {"backbone": str(sam3_folder), "device": "cpu", "precision": "fp32"}
    run = finetune(
        FinetuneConfig(**tiny, selection_images=1, text=("polyp", "lesion"), output=tmp_path / "a")
    )
    metrics = json.loads((run / "metrics.json").read_text())
    word = metrics["words"]["chosen"]
    assert read_config(run).text == (word,)
    assert set(metrics["words"]["dice"]) == {"polyp", "lesion"}
    assert metrics["prompt"] == f"text prompt: {word}"
    train = json.loads((run / "split.json").read_text())["train"]
    assert [{case.id for case in cases} for cases in asked] == [set(train)] * 2
    page = (run / "report.html").read_text()
    assert f"text prompt: {word}" in page
    assert "chosen on 4 training images" in page
    assert "chosen on 4 training images" in capsys.readouterr().out

    assert load_networks(run).model.facts.text == word
    (whole,) = load_all([run], with_base=True)
    whole.model.tell("text", "mole")
    whole.members[0]()
    assert whole.model.facts.text == word
    again = evaluate(EvaluateConfig(run=run, output=tmp_path / "b"))
    assert again["prompt"] == metrics["prompt"]
    assert again["words"] == metrics["words"]
    assert again["after"]["per-image"]["dice"] == metrics["after"]["per-image"]["dice"]
    assert info(DeltaInfoConfig(delta=run))["settings"]["text"] == [word]
    folder = export(ExportConfig(run=run, output=tmp_path / "c", format="transformers"))
    assert f"TEXT = {word!r}" in (tmp_path / "c" / "segment.py").read_text()
    assert folder
    more = finetune(FinetuneConfig(**tiny, start_from=run, output=tmp_path / "d"))
    assert read_config(more).text == (word,)
