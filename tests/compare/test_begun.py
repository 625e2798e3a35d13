"""A comparison that is taken up again: with more runs, never with other settings."""

import json
from types import SimpleNamespace

import pytest

from gpsseg import device
from gpsseg.compare import batch_size, begun
from gpsseg.compare.cells import Cell
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.errors import UserError


def test_a_folder_is_taken_up_with_more_methods_but_not_with_other_settings(tmp_path, tools):
    settings = tools.config(tmp_path / "c", epochs=2)
    begun.open_comparison(settings)
    begun.open_comparison(
        tools.config(tmp_path / "c", epochs=2, methods=("lora",), seeds=(0, 1, 2))
    )
    with pytest.raises(UserError, match="begun with epochs 2, got 3"):
        begun.open_comparison(tools.config(tmp_path / "c", epochs=3))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UserError, match="no comparison"):
        begun.open_comparison(tools.config(tmp_path / "other"))


def test_equal_settings_are_no_change_however_they_are_spelled(tmp_path, monkeypatch, tools):
    monkeypatch.chdir(tmp_path)
    begun.open_comparison(tools.config(tmp_path / "c", data_root="data", weight_decay=0))
    again = tools.config(tmp_path / "c", data_root=tmp_path / "data", weight_decay=0.0, workers=2)
    begun.open_comparison(again)
    monkeypatch.setenv("GPSSEG_DATA", str(tmp_path / "other"))
    begun.open_comparison(again)


def test_a_shared_option_counts_from_the_first_method_that_has_it(tmp_path, tools):
    begun.open_comparison(tools.config(tmp_path / "c", methods=("lora",)))
    begun.open_comparison(tools.config(tmp_path / "c", methods=("lora", "gps"), top_k=3))
    begun.open_comparison(tools.config(tmp_path / "c", methods=("lora",)))
    with pytest.raises(UserError, match="begun with top_k 3, got None"):
        begun.open_comparison(tools.config(tmp_path / "c", methods=("gps",)))


def test_the_data_root_of_the_environment_is_a_setting_too(tmp_path, monkeypatch, kvasir, tools):
    monkeypatch.setenv("GPSSEG_DATA", str(kvasir))
    settings = tools.config(tmp_path / "c", val_share=0.3)
    begun.open_comparison(settings)
    tools.finished(settings, Cell("gps", None, 1.0, 0), [0.5])
    monkeypatch.delenv("GPSSEG_DATA")
    run = {"config": {"method": "gps", "dataset": "kvasir", "val_share": 0.3}}
    (settings.output / "cells" / "gps-all-lr1-seed0" / "config.json").write_text(json.dumps(run))
    with pytest.raises(UserError, match=r"begun with data_root .*data, got None"):
        begun.open_comparison(settings)


def test_runs_added_to_an_old_comparison_are_tested_on_its_images(tmp_path, tools):
    """Version 0.1 took shares of groups, and its settings do not say of what shares are."""
    settings = tools.config(tmp_path / "c")
    begun.open_comparison(settings)
    assert begun.split_as_begun(settings) == settings, "begun now"
    path = tmp_path / "c" / "settings.json"
    content = json.loads(path.read_text())
    assert content.pop("shares") == "images"
    path.write_text(json.dumps(content))
    cell = tmp_path / "c" / "cells" / "gps-all-lr1-seed0"
    cell.mkdir(parents=True)
    (cell / "split.json").write_text(json.dumps({"name": "seeded-88-12"}))
    begun.open_comparison(settings)
    assert begun.split_as_begun(settings).split == "seeded-88-12-by-groups"


def test_a_comparison_that_version_0_1_began_is_gone_on_with_but_not_in_silence(
    tmp_path, tools, capsys
):
    config = tools.config(tmp_path / "c", data_root="data")
    begun.open_comparison(config)
    begun.open_comparison(config)
    assert "version 0.1" not in capsys.readouterr().out
    path = tmp_path / "c" / "settings.json"
    content = json.loads(path.read_text())
    del content["schema"]
    path.write_text(json.dumps(content))
    begun.open_comparison(config)
    assert "was begun by version 0.1, whose warm-up differs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "then", "now"), [("loss", "bce-iou", "structure"), ("patience", None, 1)]
)
def test_an_option_that_came_later_was_at_its_default(tmp_path, tools, option, then, now):
    """Else runs with another loss would stand in one table with those that are there."""
    begun.open_comparison(tools.config(tmp_path / "c"))
    path = tmp_path / "c" / "settings.json"
    content = json.loads(path.read_text())
    del content[option]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"begun with {option} {then}, got {now}"):
        begun.open_comparison(tools.config(tmp_path / "c", **{option: now}))
    begun.open_comparison(tools.config(tmp_path / "c"))


def begun_without(options, folder, tools, *cells):
    """A comparison of a version that had none of these options, with finished runs of gps."""
    config = tools.config(folder, methods=("gps", "lora"))
    begun.open_comparison(config)
    path = folder / "settings.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in content.items() if k not in options}))
    for method in cells:
        tools.finished(config, cell := Cell(method, None, 1.0, 0), [0.5])
        path = folder / "cells" / cell.name / "config.json"
        path.write_text(json.dumps({"config": {"method": method.partition(":")[0]}}))


@pytest.mark.parametrize(
    ("option", "then", "now"),
    [("layers", "all", "late"), ("mix", None, "random"), ("biases", "layers", "all")],
)
def test_an_option_of_some_methods_was_at_its_default_where_one_of_them_has_runs(
    tmp_path, tools, option, then, now
):
    """Finished runs of gps would else stand for what they are not; also if gps is left out now."""
    begun_without([option], tmp_path / "c", tools, "gps")
    for methods in (("gps", "lora"), ("gps:top_k=3", "lora")):
        with pytest.raises(UserError, match=f"begun with {option} {then}, got {now}"):
            begun.open_comparison(tools.config(tmp_path / "c", methods=methods, **{option: now}))
    begun.open_comparison(tools.config(tmp_path / "c"))


def test_an_option_may_come_new_where_every_run_sets_it_itself_or_has_none(tmp_path, tools):
    names = ("layers", "late_share", "selection_images")
    runs = ("gps:layers=all,late_share=0.5,criterion=random", "lora", "peft:loha,rank=4")
    begun_without(names, tmp_path / "c", tools, *runs)
    cell = tmp_path / "c" / "cells" / Cell(runs[0], None, 1.0, 0).name / "config.json"
    cell.write_text(json.dumps({"config": {"method": "gps", "criterion": "random"}}))
    new = {"layers": "late", "late_share": 0.25, "selection_images": 7}
    begun.open_comparison(tools.config(tmp_path / "c", **new))


def test_what_an_older_version_began_goes_on_though_it_may_no_longer_be_begun(tmp_path, tools):
    """gps by no gradient; what comes new to the folder is not taken, nor any where none is."""
    text = "gps:criterion=random,top_k=2"
    old = tools.config(tmp_path / "c", methods=(text, "lora"))
    with pytest.raises(UserError, match=f"--methods {text}: .* Pass --method shira"):
        begun.refuse_new_methods(old)
    tools.finished(old, Cell(text, None, 1.0, 0), [0.5])
    begun.refuse_new_methods(tools.config(tmp_path / "c", methods=(text, "lora", "shira")))
    assert FinetuneConfig(**old.settings_of(text)).criterion == "random"
    with pytest.raises(UserError, match="gps:criterion=random: --method gps scores by"):
        begun.refuse_new_methods(
            tools.config(tmp_path / "c", methods=(text, "gps:criterion=random"))
        )


FACTS = SimpleNamespace(batch_size=2, batch_size_on_gpu=8)


def test_all_runs_have_the_batch_size_that_the_first_had(tmp_path, monkeypatch, tools):
    """Also where the comparison goes on at a GPU, or a measurement would now find another."""
    found = iter([16, 4])
    monkeypatch.setattr(batch_size, "in_own_process", lambda *a: next(found))
    monkeypatch.setattr(batch_size, "_images", lambda config: 200)  # in 12 epochs 2400

    def settled(name, asked, gpu=False):
        config = tools.config(tmp_path / name, batch_size=asked)
        begun.open_comparison(config)
        monkeypatch.setattr(device, "count_of", lambda kind: int(gpu))
        return batch_size.with_batch_size(config, (), FACTS).batch_size

    assert [settled("measured", "auto"), settled("measured", "auto")] == [16, 16]
    assert [settled("own", None), settled("own", None, gpu=True)] == [2, 2]
    assert settled("gpu", None, gpu=True) == 8
    assert settled("given", 3) == 3


def test_a_comparison_of_before_goes_on_with_its_runs_batch_size(tmp_path, tools):
    config = tools.config(tmp_path / "c")
    begun.open_comparison(config)
    tools.finished(config, Cell("gps", None, 1.0, 0), [0.5])  # in batches of 4
    assert batch_size.with_batch_size(config, (), FACTS).batch_size == 4


def test_a_comparison_measures_for_each_way_to_add_layers(tmp_path, monkeypatch, tools):
    measured, sizes = [], {"gps": 8, "lora": 4}

    def measure(backbone, config, images, machine, any_method):
        assert any_method
        measured.append((config.method, images))
        return sizes[config.method]

    monkeypatch.setattr(batch_size, "measure_batch_size", measure)
    methods = ("gps", "lora")
    config = tools.config(tmp_path, methods=methods, batch_size="auto", image_size=32)
    runs = [FinetuneConfig(**config.settings_of(method)) for method in methods]
    assert batch_size._measure(runs, config, 9) == 4
    assert measured == [("gps", 9), ("lora", 9)]
