"""`delta push` and `pull`, against a hub on this machine."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gpsseg.errors import UserError
from gpsseg.predict.network import load_run

FILES = {"delta.safetensors", "config.json", "metrics.json", "README.md"}


def test_what_is_pushed_gives_the_same_masks_elsewhere(
    hub: Any, ask: Any, pushed_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = ask.push(pushed_run)
    said = capsys.readouterr().out
    assert hub.repos["clinic/polyps"]["private"] is True
    kept = hub.files_at("clinic/polyps", commit)[1]
    assert set(kept) == FILES
    for name, content in kept.items():
        assert f"bytes  {name}" in said
        assert b"SECRET" not in content, name
    asked = [each for each in hub.asked if "clinic/polyps" not in each and "PUT /blob" not in each]
    assert asked == ["POST /api/repos/create", "POST /api/validate-yaml"], "no telemetry"
    assert b"Pairs by kind: copy (1)" in kept["README.md"], "leaks are told"
    pulled = ask.pull(tmp_path / "pulled")
    delta = (pushed_run / "delta.safetensors").read_bytes()
    assert (pulled / "delta.safetensors").read_bytes() == delta
    digest = hashlib.sha256(delta).hexdigest()
    assert f"pull clinic/polyps@{commit} --sha256 {digest}" in said
    facts = json.loads((pulled / "pulled.json").read_text())
    assert (facts["repo"], facts["revision"], facts["sha256"]) == ("clinic/polyps", commit, digest)
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    here = load_run(pushed_run).predict(picture, probability=True)
    assert np.array_equal(load_run(pulled).predict(picture, probability=True), here)


def test_a_revision_is_pinned(hub: Any, ask: Any, pushed_run: Path, tmp_path: Path) -> None:
    """Without one the newest is resolved to its commit before anything is fetched."""
    first = ask.push(pushed_run)
    config = json.loads((pushed_run / "config.json").read_text())
    config["config"]["seed"] = 7
    (pushed_run / "config.json").write_text(json.dumps(config))
    second = ask.push(pushed_run)
    for name, given, commit in (
        ("a", {"repo": f"clinic/polyps@{first}"}, first),
        ("b", {"revision": first[:10]}, first),
        ("c", {}, second),
    ):
        pulled = ask.pull(tmp_path / name, **given)
        assert json.loads((pulled / "pulled.json").read_text())["revision"] == commit
        seed = json.loads((pulled / "config.json").read_text())["config"]["seed"]
        assert seed == (7 if commit == second else 0)
    fetched = [each for each in hub.asked if "/resolve/" in each]
    assert all(f"/resolve/{first}/" in each or f"/resolve/{second}/" in each for each in fetched)
    with pytest.raises(UserError, match="has no such revision"):
        ask.pull(tmp_path / "d", revision="beef")


def test_own_data_bring_their_card_without_its_places(
    hub: Any, ask: Any, pushed_run: Path, tmp_path: Path
) -> None:
    config = json.loads((pushed_run / "config.json").read_text())
    config["config"]["dataset"] = "dataset.yaml"
    (pushed_run / "config.json").write_text(json.dumps(config))
    card = yaml.safe_load(Path("pipelines/kvasir.yaml").read_text(encoding="utf-8"))
    card |= {"transforms": "rgb", "root": "/SECRET", "folder": "SECRET", "note": "SECRET"}
    card |= {
        "title": "Our polyps",
        "splits": [
            {
                "name": "SECRET",
                "all": {"images": "SECRET/*", "masks": "SECRET/{id}"},
                "test_share": 0.2,
            }
        ],
    }
    (pushed_run / "dataset.yaml").write_text(yaml.safe_dump(card | {"get": "SECRET"}))
    commit = ask.push(pushed_run)
    kept = hub.files_at("clinic/polyps", commit)[1]
    assert set(kept) == FILES | {"dataset.yaml"}
    assert not [name for name, content in kept.items() if b"SECRET" in content]
    pulled = ask.pull(tmp_path / "pulled")
    assert yaml.safe_load((pulled / "dataset.yaml").read_text())["title"] == "Our polyps"
    load_run(pulled)


@pytest.mark.parametrize("anonymous", [False, True])
def test_own_weights_are_named_and_stay_here(
    hub: Any, ask: Any, pushed_run: Path, tmp_path: Path, anonymous: bool
) -> None:
    """Not even named, of a nameless run, whose salt.txt says where they are."""
    own = tmp_path / "own" / "weights.pth"
    own.parent.mkdir()
    own.write_bytes(b"")
    config = json.loads((pushed_run / "config.json").read_text())
    config["config"] |= {"anonymous_ids": anonymous, "weights": str(own)}
    if anonymous:
        config["config"]["weights"] = "hidden, see salt.txt"
        salt = f"{'0' * 64}\n{json.dumps({'config': {'weights': str(own)}})}\n"
        (pushed_run / "salt.txt").write_text(salt)
    (pushed_run / "config.json").write_text(json.dumps(config))
    kept = hub.files_at("clinic/polyps", ask.push(pushed_run))[1]
    assert not [name for name, content in kept.items() if str(tmp_path).encode() in content]
    name = "own-file.pth" if anonymous else "weights.pth"
    assert json.loads(kept["config.json"])["config"]["weights"] == name
    assert b"--weights YOUR-WEIGHTS" in kept["README.md"]
    with pytest.raises(UserError, match=f"own file {name}, which is not in the repository"):
        ask.pull(tmp_path / "x")
    assert ask.pull(tmp_path / "x", weights=str(own))


@pytest.mark.parametrize("part", ["GET /api/models", "POST /api/repos/create", "/commit/"])
@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "token"), (403, "may not do that|token"), (500, "answers 500")],
)
def test_who_may_not_push_is_told_so(
    hub: Any, ask: Any, pushed_run: Path, part: str, status: int, said: str
) -> None:
    hub.broken[part] = status
    with pytest.raises(UserError, match=said) as error:
        ask.push(pushed_run)
    assert "hf_secret" not in str(error.value)


def test_without_a_token_nobody_is_asked(
    hub: Any, ask: Any, pushed_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UserError, match=r"must know who you are\. Get a token"):
        ask.push(pushed_run)
    assert hub.asked == []


def test_a_public_repository_takes_nothing_by_mistake(hub: Any, ask: Any, pushed_run: Path) -> None:
    hub.put("clinic/polyps", {"a": b""}, private=False)
    with pytest.raises(UserError, match=r"is public: everybody may read it. Pass --public"):
        ask.push(pushed_run)
    assert not [each for each in hub.asked if not each.startswith("GET")]
    assert ask.push(pushed_run, public=True)


def test_a_hub_that_cannot_be_reached_is_one_sentence(
    ask: Any, pushed_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://me:pass@127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for command in (lambda: ask.pull(tmp_path / "x"), lambda: ask.push(pushed_run)):
        with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9 cannot be reached") as error:
            command()
        assert "pass" not in str(error.value)
    assert not (tmp_path / "x").exists()


def test_what_is_not_there_or_no_delta_is_named(hub: Any, ask: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no clinic/polyps, or not for you"):
        ask.pull(tmp_path / "x")
    hub.put("clinic/polyps", {"model.safetensors": b"", "README.md": b""})
    with pytest.raises(UserError, match=r"no delta of gpsseg: it lacks delta\.safetensors and con"):
        ask.pull(tmp_path / "x")
    hub.put("clinic/polyps", {"delta.safetensors": b"x", "config.json": b"x" * (9 << 20)})
    with pytest.raises(UserError, match=r"a config\.json of 9,437,184 bytes, expected at most"):
        ask.pull(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_delta_that_is_damaged_on_its_way_is_not_written(
    hub: Any, ask: Any, pushed_run: Path, tmp_path: Path
) -> None:
    """By one bit: whichever of hub, pusher and user tells the hash finds it."""
    ask.push(pushed_run)
    good = (pushed_run / "delta.safetensors").read_bytes()
    hub.lies["delta.safetensors"] = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(UserError, match=r"and the hub tells '[0-9a-f]{64}'. It was damaged"):
        ask.pull(tmp_path / "x")
    hub.put("clinic/polyps", {"delta.safetensors": hub.lies["delta.safetensors"]})
    with pytest.raises(UserError, match=r"and config\.json tells '[0-9a-f]{64}'"):
        ask.pull(tmp_path / "x")
    hub.lies.clear()
    first = hub.repos["clinic/polyps"]["commits"][0][0]
    with pytest.raises(UserError, match="and you expect '000"):
        ask.pull(tmp_path / "x", revision=first, sha256="0" * 64)
    assert not (tmp_path / "x").exists()
    assert ask.pull(tmp_path / "x", revision=first, sha256=hashlib.sha256(good).hexdigest())


def test_a_connection_that_breaks_leaves_nothing(
    hub: Any, ask: Any, pushed_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask.push(pushed_run)
    hub.cut.add("delta.safetensors")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(UserError, match="cannot be reached, or is no hub"):
        ask.pull(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_pull_that_was_killed_begins_again(
    hub: Any, ask: Any, pushed_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its folder, which nobody else's has been taken for meanwhile."""
    ask.push(pushed_run)
    output = tmp_path / "x"

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gpsseg.delta.pulling.finish_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            ask.pull(output)
    assert (output / ".unfinished").is_file()
    with pytest.raises(UserError, match="begun with other settings and left unfinished"):
        ask.pull(output, revision="main")
    ask.pull(output)
    assert {path.name for path in output.iterdir()} == FILES | {"pulled.json"}


def test_an_output_that_exists_is_kept_and_nobody_is_asked(
    hub: Any, ask: Any, tmp_path: Path
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine").write_text("")
    with pytest.raises(UserError, match="already exists and is not empty"):
        ask.pull(tmp_path / "x")
    assert hub.asked == []


@pytest.mark.parametrize(
    "repo", ["polyps", "a/b/c", "../etc", "a/..", "-a/b", "a/b c", "a/b@", "a/b@../x", "a/b\n"]
)
def test_names_that_are_none(ask: Any, tmp_path: Path, repo: str) -> None:
    with pytest.raises(UserError, match=r"is no repository|is no revision"):
        ask.pull(tmp_path / "x", repo=repo)
