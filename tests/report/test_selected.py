"""The page of a selection: every number in its place, its chance beside it, and its protocol."""

import copy

import pytest

from gpsseg.report.charts.of_selection import by_images, by_top_k
from gpsseg.report.selected import render_selection

CRITERIA = ("gradient", "taylor")
CONTENT = {
    "hash": "ab" * 32,
    "criterion": "gradient",
    "level": "neuron",
    "images": 60,
    "overlap_with_half": 0.582,
    "selected": 59184,
    "stability": {
        "part_images": [15, 15, 15, 15],
        "chance": 0.0973,
        "entries": 59184,
        "halves": {"divisions": 3, "images": 30, "overlap": 0.406, "lowest": 0.4, "highest": 0.41},
        "of_images": [{"images": 1, "overlap": 0.3}, {"images": 60, "overlap": 1.0}],
        "other_seed": {"seed": 6, "images": 28, "overlap": 0.429},
    },
    "of_top_k": [
        {
            **{"top_k": k, "entries": 1000 * k, "share": 0.007 * k, "score": 0.034 * k},
            **{"channels": 0.105, "channels_by_chance": 0.298, "chance": 0.03, "halves": 0.321},
        }
        for k in (1, 2)
    ],
    "of_criteria": [
        {
            "criterion": name,
            "chance": 0.0971,
            "overlap": {other: 1.0 if other == name else 0.518 for other in CRITERIA},
        }
        for name in CRITERIA
    ],
    "channels": {
        "used": 0.173,
        "by_chance": 0.527,
        "weights": [
            {
                **{"weight": "net.a.weight", "inputs": 32, "used": 8, "by_chance": 25.4},
                **{"neurons": 16, "most": [{"channel": 19, "neurons": 14}]},
            }
        ],
    },
    "backbone": "unet",
    **{"top_k": 3, "decoder_top_k": "dense", "seed": 5, "image_size": 96, "precision": "bf16"},
    **{"data": "real", "dataset": "mine", "title": "Mine <b>", "citation": "", "licence": "CC0"},
    "split": {"name": "official", "sha256": "cd" * 32},
    "layers": [
        {"layer": "net.a", "role": "encoder", "weights": 1000, "selected": 20, "whole": 0},
        {"layer": "net.b", "role": "encoder", "weights": 1000, "selected": 10, "whole": 0},
    ],
}


def rendered(**changes):
    content = copy.deepcopy(CONTENT)
    for name, value in changes.items():
        if value is None:
            del content[name]
        else:
            content[name] = value
    return " ".join(render_selection(content).split())


def test_what_is_measured_stands_beside_chance_and_protocol():
    page = rendered()
    for text in (
        "59,184 entries selected by the criterion gradient, by 60 training images",
        "would have 9.73 % in common",
        '<b>40.6 %</b><span class="sub">40.0 % to 41.0 %</span>',
        "<b>58.2 %</b>",
        "Random weights of seed 5, and of seed 6",
        "<td>28</td>",
        "<b>42.9 %</b>",
        '10.5 % <span class="interval">(29.8 %)</span>',
        '32.1 % <span class="interval">(3.00 %)</span>',
        "51.8 %",
        "At random: 9.71 %",
        "17.3 % of the input channels are used",
        "52.7 % would be",
        "19 (14)",
        "8 of 32",
        "2.00 %",  # of the first layer's entries
        "Mine &lt;b&gt; (real)",
        "official, SHA-256 cdcdcdcdcdcd",
        "15, 15, 15, 15 images",
        "3 a neuron in the encoder; the decoder trains whole",
    ):
        assert text in page, text
    assert "Mine <b>" not in page
    assert "SYNTHETIC" not in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_a_drawn_sample_is_named_so():
    page = rendered(data="synthetic sample")
    assert page.count("SYNTHETIC SAMPLE") == 2, "in its title and above all"
    assert "Of a synthetic sample." in page


def test_of_several_centres_there_are_layers_and_nothing_else():
    few = ("hash", "criterion", "level", "images", "selected", "layers")
    merged = {name: CONTENT[name] for name in few} | {"merged": [{}, {}]}
    page = " ".join(render_selection(merged).split())
    assert "Several centres" in page
    assert "2; of each a file of candidates" in page
    for name in ("stability", "entries", "criteria", "channels"):
        assert f'id="{name}"' not in page
        assert f'href="#{name}"' not in page
    assert 'id="weights"' in page


def test_of_one_image_nothing_is_claimed():
    alone = {"part_images": [0, 1], "chance": 0.1, "of_images": [{"images": 1, "overlap": 1.0}]}
    rows = [{k: v for k, v in row.items() if k != "halves"} for row in CONTENT["of_top_k"]]
    page = rendered(stability=alone, of_top_k=rows, images=1, overlap_with_half=None)
    assert "One image says nothing about what others would select." in page
    assert "Halves agree on" not in page


def test_a_criterion_that_looks_at_no_image_has_layers_and_channels():
    page = rendered(
        **dict.fromkeys(("stability", "of_top_k", "of_criteria", "overlap_with_half")),
        images=0,
        criterion="magnitude",
    )
    assert "by the criterion magnitude, without looking at images" in page
    assert 'id="channels"' in page
    assert 'id="stability"' not in page


@pytest.mark.parametrize("level", ["layer", "net"])
def test_where_entries_compete_is_said(level):
    where = {"layer": "layer", "net": "network"}[level]
    assert f"as the best of {'each ' if level == 'layer' else 'the '}{where}" in rendered(
        level=level
    )


def test_mixes_and_late_layers_are_said():
    page = rendered(mix="random", mix_share=0.25, chosen_from="late", late_share=0.5)
    assert "by the criterion gradient, 25 % of them by random, by 60 training images" in page
    assert "the last 50 % of the encoder" in page


def test_of_a_mix_it_is_said_whose_entries_are_measured():
    assert "itself chose" not in rendered()
    rows = [dict(row) for row in CONTENT["of_top_k"]]
    del rows[0]["halves"]
    page = rendered(
        **{"mix": "random", "mix_share": 0.5, "of_top_k": rows},
        stability=CONTENT["stability"] | {"entries": 29592},
    )
    assert "what gradient itself chose, 29,592 entries of the mix. What random added" in page
    assert "into two halves; of what gradient itself chose." in page
    assert "<td>–</td>" in page
    none = {"part_images": [1, 1], "entries": 0, "chance": 0.0}
    page = rendered(mix="random", mix_share=0.99, stability=none, overlap_with_half=None)
    assert "It chose none" in page
    assert "One image says nothing" not in page


def test_charts_say_their_numbers():
    curve = by_images(CONTENT["stability"]["of_images"], 0.0973)
    assert "1 image: 30.0%; 60 images: 100.0%. Chance would give 9.7%." in curve.description
    assert "chance 9.7%" in curve.svg
    lines = by_top_k(CONTENT["of_top_k"])
    assert "of all score: 3.4% with K = 1, 6.8% with K = 2" in lines.description
    assert "halves agree: 32.1% with K = 1" in lines.description
    assert by_images(CONTENT["stability"]["of_images"][:1], 0.1) is None
    assert by_top_k([]) is None
