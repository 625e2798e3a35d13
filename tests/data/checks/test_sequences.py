"""Sequences of frames whose truth is known: what the leak check and proposed groups see of them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from gpsseg.data.case import Case
from gpsseg.data.checks.leaks import find_duplicates, find_leaks
from gpsseg.data.checks.names import name_of, next_to, same_names
from gpsseg.data.checks.pictures import CHAIN, NAME, VIEW, Leak
from gpsseg.data.synthetic.scenes import synthesize
from gpsseg.datasets.scenes import ALIKE, ALONE, GIVEN, propose_groups
from gpsseg.datasets.scenes import NAME as BY_NAME

SEQUENCES, FRAMES = 5, 8


def frame(scene: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
    """What a camera sees that pans by a tenth of its view from frame to frame, turns and nears."""
    side, turn = 210 * 0.97**number, math.radians(3 * number)
    x, y = 200 + 21 * number, 240 + 14 * math.sin(number)
    cos, sin, step = math.cos(turn), math.sin(turn), side / 240
    matrix = (
        *(step * cos, -step * sin, x - step * 120 * (cos - sin)),
        *(step * sin, step * cos, y - step * 120 * (sin + cos)),
    )
    seen = scene.transform((240, 240), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    seen = ImageEnhance.Brightness(seen).enhance(rng.uniform(0.85, 1.15))
    noisy = np.asarray(seen) + rng.normal(0, 3, (240, 240, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, Path]]:
    """(sequence, file): five synthetic scenes, each seen eight times; names say nothing."""
    folder = tmp_path_factory.mktemp("frames")
    synthesize("kvasir", folder, cases=SEQUENCES, seed=11, size=560)
    rng, files = np.random.default_rng(0), []
    for sequence, path in enumerate(sorted((folder / "Kvasir-SEG" / "images").iterdir())):
        with Image.open(path) as scene:
            for number in range(FRAMES):
                seen = frame(scene.convert("RGB"), number, rng)
                files.append((sequence, folder / f"{'abcde'[sequence]}{'stuvwxyz'[number]}.jpg"))
                seen.save(files[-1][1], quality=80)
    return files


@pytest.fixture(scope="module")
def cases(frames: list[tuple[int, Path]]) -> list[Case]:
    return [Case(path.stem, path) for _, path in frames]


def pairs_of(found: tuple[Leak, ...]) -> set[tuple[str, str]]:
    return {(leak.train_id[0], leak.test_id[0]) for leak in found}


def test_frames_of_a_known_sequence_on_both_sides_are_found(cases):
    """Every fifth frame tests; all of them share their sequence with training."""
    test = cases[::5]
    train = [case for case in cases if case not in test]
    found = find_leaks(train, test)
    assert all(one == other for one, other in pairs_of(found)), "no pair of two scenes"
    leaking = {leak.test_id for leak in found}
    assert len(leaking) >= len(test) - 1, f"{len(leaking)} of {len(test)}"


def test_sequences_on_one_side_are_no_leak(cases):
    assert find_leaks(cases[: 3 * FRAMES], cases[3 * FRAMES :]) == ()


def test_a_chain_of_views_leads_from_test_images_to_training(cases):
    """The first frame trains, the others test: the last is like it in nothing, but by the chain."""
    first = cases[:FRAMES]
    found = find_leaks([first[0], *cases[FRAMES:]], first[1:])
    kinds = {leak.test_id: leak.kind for leak in found}
    assert kinds[first[1].id] != CHAIN
    assert kinds[first[-1].id] == CHAIN
    assert {leak.train_id for leak in found} == {first[0].id}
    assert find_leaks([first[0], *cases[FRAMES:]], [first[-1]]) == ()


def test_numbers_that_follow_one_another_are_compared_more_closely(frames, tmp_path):
    """Two frames too far apart to be believed, unless they are numbers 7 and 8 of one folder."""
    numbered = []
    for number, (_, path) in enumerate(frames[: 2 * FRAMES]):
        numbered.append(Case(f"case {number}", tmp_path / f"{number:03d}.jpg"))
        numbered[-1].image.symlink_to(path)
    assert next_to(numbered) == [(i, i + 1) for i in range(2 * FRAMES - 1)]
    found = find_leaks(numbered[1::2], numbered[::2])
    assert {leak.test_id for leak in found} == {case.id for case in numbered[::2]}
    last = numbered[FRAMES - 1].id, numbered[FRAMES].id
    assert all({leak.train_id, leak.test_id} != {*last} for leak in found), "another scene"


def test_names_of_one_sequence_are_a_leak_unless_groups_are_given(cases):
    far = [
        replace(case, id=name)
        for case, name in zip(
            cases[::FRAMES][:4],
            ("patient1_1", "patient2_1", "patient1_2", "patient3_1"),
            strict=True,
        )
    ]
    assert find_leaks(far[:2], far[2:]) == (Leak("patient1_1", "patient1_2", NAME, None),)
    assert find_leaks(far[:2], far[2:], names=False) == (), "of two sets names say nothing"
    grouped = [replace(case, group=case.id) for case in far]
    assert find_leaks(grouped[:2], grouped[2:]) == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("patient12_003", "patient12"),
        ("seq3_frame045", "seq3"),
        ("Patient 07 left", "patient7"),
        ("sub-01_ses-02_3", "sub1"),
        ("A12-frame-7", "a12"),
        ("12_3", "12"),
        ("slide12_patch_003", "slide12"),
        ("image_001_aug1", "image_001"),
        ("IMG_0001", ""),
        ("ISIC_0012086", ""),
        ("cju0qkwl35piu0993l0dewei2", ""),
        ("20240131_101500", ""),
        ("fold1_003", ""),
        ("benign (12)", ""),
    ],
)
def test_what_a_name_tells(name: str, said: str) -> None:
    assert name_of(Case(name, Path("images") / f"{name}.png")) == said


def test_a_name_that_all_share_or_one_has_tells_nothing() -> None:
    def named(*names: str) -> list[Case]:
        return [Case(name, Path("x") / f"{name}.png") for name in names]

    assert same_names(named("s1_1", "s1_2", "s1_3")) == {}
    assert same_names(named("s1_1", "s1_2", "s2_1")) == {"s1_1": "s1", "s1_2": "s1"}
    folders = [Case(f"{p}/{i}", Path(f"patient_{p}") / f"{i}.png") for p in (1, 2) for i in (1, 2)]
    assert sorted(set(same_names(folders).values())) == ["patient1", "patient2"]


def test_groups_are_proposed_by_chains_of_views(frames, cases):
    proposals = propose_groups(cases, {})
    scenes: dict[str, set[int]] = {}
    for (sequence, _), proposal in zip(frames, proposals, strict=True):
        scenes.setdefault(proposal.group, set()).add(sequence)
    assert all(len(of) == 1 for of in scenes.values()), "no two scenes in one group"
    assert len(scenes) <= SEQUENCES + 2
    assert {p.why for p in proposals} <= {ALIKE, ALONE}


def test_what_ties_most_names_the_group(cases):
    apart = cases[::FRAMES]
    three = [replace(apart[0], id="seq1_1"), replace(apart[1], id="seq1_2"), apart[2]]
    two = [replace(apart[3], id="seq2_1"), replace(apart[4], id="seq2_2")]
    tags = {apart[2].id: ("feed", ""), "seq2_2": ("feed", "")}
    got = {p.case.id: (p.group, p.why) for p in propose_groups([*three, *two], tags)}
    assert got["seq1_1"] == got["seq1_2"] == ("seq1", BY_NAME)
    assert got[apart[2].id] == got["seq2_2"] == ("patient-feed", "patient tag")
    assert got["seq2_1"] == ("patient-feed", BY_NAME), "tied by its name to one with a tag"
    given = [replace(apart[0], group="Ann"), replace(apart[1], group="Ann"), apart[2]]
    whys = [(p.group, p.why) for p in propose_groups(given, {})]
    assert whys == [("Ann", GIVEN), ("Ann", GIVEN), ("alone-0002", ALONE)]


def test_pairs_within_one_set_are_views(cases):
    found = find_duplicates(cases[:FRAMES])
    assert {leak.kind for leak in found} >= {VIEW}
    assert all(leak.train_id != leak.test_id for leak in found)
