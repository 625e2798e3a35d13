"""`delta diff`: two deltas of one base, by hand."""

import math
from pathlib import Path

import pytest
import torch

from gpsseg.config.delta import DiffConfig
from gpsseg.delta import diff
from gpsseg.delta.differing import difference
from gpsseg.errors import UserError
from gpsseg.gps import Delta


def delta(base_hash: str = "x", **sparse: dict[int, float]) -> Delta:
    pairs = {
        f"{layer}.weight": (
            torch.tensor(list(entries), dtype=torch.int32),
            torch.tensor(list(entries.values())),
        )
        for layer, entries in sparse.items()
    }
    return Delta(pairs, {}, {"base": f"net {base_hash}", "base_hash": base_hash})


def test_shared_entries_and_how_far_their_values_lie_apart() -> None:
    """Also where positions are in no order; entries 2 and 5 are shared, by 3 and 4."""
    one = delta(a={5: 1.0, 0: 9.0, 2: 1.0}, b={0: 1.0})
    other = delta(a={2: 4.0, 5: 5.0, 7: 1.0})
    row, layers = difference(one, other)
    assert (row["one"], row["other"], row["both"]) == (4, 3, 2)
    assert row["jaccard"] == 2 / 5
    assert row["rms"] == pytest.approx(math.sqrt((9 + 16) / 2))
    assert row["most"] == 4
    assert [(each["layer"], each["both"]) for each in layers] == [("a", 2), ("b", 0)]
    assert (row["selected"]["one"], row["selected"]["jaccard"]) == (3, 2 / 4)


def test_a_tensor_that_is_whole_in_one_shares_what_the_other_selects() -> None:
    one = Delta({}, {"a.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}, {"base_hash": "x"})
    row, _ = difference(one, delta(a={3: 6.0}))
    assert (row["one"], row["other"], row["both"], row["rms"]) == (4, 1, 1, 2.0)
    assert row["selected"]["one"] == 0


def test_sizes_relative_to_the_base_and_their_angle() -> None:
    """The first moves entry 0 by 3 and entry 1 by 4; the second entry 0 by -5."""
    base = {"a.weight": torch.tensor([1.0, 1.0, 1.0])}
    row, _ = difference(delta(a={0: 4.0, 1: 5.0}), delta(a={0: -4.0}), base)
    assert row["one_moves"] == pytest.approx(math.sqrt(25 / 2))
    assert row["other_moves"] == 5
    assert row["cosine"] == pytest.approx(-15 / (5 * 5))


def test_a_position_that_the_base_has_not_is_named() -> None:
    with pytest.raises(UserError, match=r"a\.weight has 3 entries in the base.*entry 8"):
        difference(delta(a={8: 1.0}), delta(a={0: 1.0}), {"a.weight": torch.zeros(3)})


def test_deltas_of_two_bases_are_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        delta(name, a={0: 1.0}).save(tmp_path / f"{name}.safetensors")
    with pytest.raises(UserError, match=r"made from net one with hash one.*net other.*one base"):
        diff(DiffConfig(one=tmp_path / "one.safetensors", other=tmp_path / "other.safetensors"))


def test_the_command_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    delta(a={0: 1.0, 1: 1.0}).save(tmp_path / "one.safetensors")
    delta(a={1: 1.5}).save(tmp_path / "other.safetensors")
    paths = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    found = diff(DiffConfig(one=paths[0], other=paths[1], layers=True))
    said = capsys.readouterr().out
    assert found["jaccard"] == 0.5
    assert "1 entries: 50.0% of A, 100.0% of B, Jaccard index 0.500" in said
    assert "differ by 0.5 (root mean square), at most 0.5" in said
    assert said.splitlines()[-1].split() == ["2", "1", "1", "0.5", "a"]
