"""LiteMedSAM from a file: whose it is decides what is said of it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gpsseg.backbones import litemedsam
from gpsseg.backbones.family import Order
from gpsseg.backbones.sam_kind import TUNED, UNKNOWN
from gpsseg.files import sha256_of_file


def test_a_file_is_the_published_one_by_its_hash_alone(
    make_tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, path = make_tiny("litemedsam").net, tmp_path / "litemedsam_tuned.pth"
    torch.save(net.state_dict(), path)
    monkeypatch.setattr(litemedsam, "tiny_net", lambda: net)

    def said(name: str) -> tuple[str, str]:
        facts = litemedsam.load(Order(name, weights=None if name == str(path) else str(path))).facts
        return facts.pretraining, facts.licence

    published = litemedsam.PUBLISHED
    assert said(str(path)) == (UNKNOWN, "the checkpoint's own")
    assert said("litemedsam") == (f"{published.pretraining} {TUNED}", published.licence)
    monkeypatch.setattr(litemedsam, "SHA256", sha256_of_file(path))
    whole = published.pretraining, published.licence
    assert [said(str(path)), said("litemedsam")] == [whole, whole]
