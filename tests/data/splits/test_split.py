"""Finding a set, pairing images with masks, and splitting them."""

import dataclasses
import shutil
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gpsseg.config.shared import SourceConfig
from gpsseg.data.cards.card import Card, load_card
from gpsseg.data.cards.own import card_of
from gpsseg.data.splits.carve import carve
from gpsseg.data.splits.place import SYNTHETIC
from gpsseg.data.splits.split import Case, find_cases, make_split
from gpsseg.data.synthetic.scenes import synthesize
from gpsseg.errors import UserError
from gpsseg.files import bundled

PARTS = ("train", "val", "test")
KVASIR = load_card("kvasir")
ISIC = load_card("isic2017")


def write_pairs(root: Path, images: str, masks: str, names: list[str]) -> None:
    """One-pixel images and masks; ``masks`` holds ``{id}``."""
    for name in names:
        for path in (root / images / f"{name}.jpg", root / masks.replace("{id}", name)):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (1, 1)).save(path)


def write_kvasir(data_root: Path, count: int, lists: bool = True) -> list[str]:
    """Kvasir-SEG's layout; the lists are deliberately not in the files' order."""
    names = [f"p{i:03d}" for i in range(count)]
    root = data_root / "Kvasir-SEG"
    write_pairs(root, "images", "masks/{id}.jpg", names)
    if lists:
        (root / "splits").mkdir()
        backwards = names[::-1]
        (root / "splits" / "train.txt").write_text("\n".join(backwards[: count * 3 // 4]) + "\n")
        (root / "splits" / "val.txt").write_text("\r\n".join(backwards[count * 3 // 4 :]))
    return names


def write_isic(data_root: Path, parts: dict[str, list[str]]) -> Path:
    for part, names in parts.items():
        prefix = f"ISIC-2017_{part}"
        masks = f"{prefix}_Part1_GroundTruth/{{id}}_segmentation.png"
        write_pairs(data_root / "ISIC-2017", f"{prefix}_Data", masks, names)
    return data_root / "ISIC-2017"


def test_the_official_lists_decide(tmp_path: Path) -> None:
    names = write_kvasir(tmp_path, 40)
    split = make_split(KVASIR, tmp_path, val_share=0.2)
    assert (split.name, split.data) == ("official-880-120", "real")
    assert split.ids["test"] == names[::-1][30:], "the list's order"
    assert sorted(split.ids["train"] + split.ids["val"]) == names[10:]
    assert [n for n in names[::-1] if n in split.ids["train"]] == split.ids["train"]
    assert len(split.val) == 6
    first = split.train[0]
    assert first.image == tmp_path / "Kvasir-SEG" / "images" / f"{first.id}.jpg"
    assert first.mask == tmp_path / "Kvasir-SEG" / "masks" / f"{first.id}.jpg"


def test_seed_moves_validation_and_never_touches_test(tmp_path: Path) -> None:
    write_kvasir(tmp_path, 40)
    splits = [make_split(KVASIR, tmp_path, seed=seed) for seed in range(5)]
    assert len({split.test for split in splits}) == 1
    assert len({split.val for split in splits}) == 5
    assert splits[3] == make_split(KVASIR, tmp_path, seed=3)
    assert len({split.sha256 for split in splits}) == 5


def test_train_size_is_a_nested_seeded_subset(tmp_path: Path) -> None:
    write_kvasir(tmp_path, 300)
    whole, large, small = (make_split(KVASIR, tmp_path, size) for size in (None, 40, 10))
    assert (len(large.train), len(small.train)) == (40, 10)
    assert set(small.train) < set(large.train) < set(whole.train)
    assert set(small.val) <= set(large.val) <= set(whole.val)
    assert len(small.val) == 32
    assert small.test == whole.test
    assert set(make_split(KVASIR, tmp_path, 10, seed=1).train) != set(small.train)


@pytest.mark.parametrize("size", [0, -3, 1000])
def test_train_size_out_of_range(tmp_path: Path, size: int) -> None:
    write_kvasir(tmp_path, 40)
    with pytest.raises(UserError, match=rf"--train-size {size} is outside 1\.\.26, .* after 4 are"):
        make_split(KVASIR, tmp_path, size)


def test_without_the_official_lists_the_split_is_seeded(tmp_path: Path) -> None:
    names = write_kvasir(tmp_path, 50, lists=False)
    split = make_split(KVASIR, tmp_path)
    assert split.name == "seeded-88-12"
    assert (len(split.train), len(split.val), len(split.test)) == (37, 7, 6)
    assert sorted(chain(*split.ids.values())) == names
    assert split == make_split(KVASIR, tmp_path)
    other = make_split(KVASIR, tmp_path, seed=1)
    assert other.test == split.test, "all runs are tested on the same images"
    assert other.val != split.val


def test_a_split_that_is_passed_over_is_said_with_what_it_lacks(tmp_path: Path) -> None:
    write_kvasir(tmp_path, 50, lists=False)
    lists = tmp_path / "Kvasir-SEG" / "splits"
    assert make_split(KVASIR, tmp_path).notes == (
        f"note: split official-880-120 is not used, as there is no {lists / 'train.txt'} and "
        f"no {lists / 'val.txt'}; `python -m gpsseg.datasets info kvasir` says where to get it.",
    )
    assert make_split(KVASIR, tmp_path, split="seeded-88-12").notes == (), "as it was asked for"
    lists.mkdir()
    (lists / "train.txt").write_text("p001")
    (note,) = make_split(KVASIR, tmp_path).notes
    assert "train.txt" not in note
    own = dataclasses.replace(KVASIR, name="mine", root=tmp_path / "Kvasir-SEG")
    (note,) = make_split(own, None).notes
    assert note.endswith(f"as there is no {lists / 'val.txt'}.")
    isic = write_isic(tmp_path, {"Training": [f"t{i}" for i in range(9)], "Validation": ["v", "w"]})
    (note,) = make_split(ISIC, tmp_path).notes
    assert f"split official-2000-150-600 is not used, as there is no {isic}/ISIC-2017_Test" in note


def test_a_split_in_another_layout_is_not_missed(tmp_path: Path) -> None:
    write_pairs(tmp_path, "a", "b/{id}.jpg", list("uvwxyz"))
    one, two = ({"images": f"{x}/*.jpg", "masks": "b/{id}.jpg"} for x in ("PNG", "a"))
    both = [{"name": name, "all": how, "test_share": 0.2} for name, how in (("1", one), ("2", two))]
    split = make_split(dataclasses.replace(KVASIR, splits=both), tmp_path)
    assert (split.name, split.notes) == ("2", ())


def test_missing_set(tmp_path: Path) -> None:
    (tmp_path / "somewhere").mkdir()
    with pytest.raises(UserError) as caught:
        make_split(KVASIR, tmp_path / "somewhere")
    text = str(caught.value)
    assert f"neither in {tmp_path / 'somewhere' / 'Kvasir-SEG'} nor {tmp_path}" in text
    assert "Expected in Kvasir-SEG/: images/*.jpg with masks/{id}.jpg, listed in splits/tr" in text
    assert KVASIR.homepage in text
    with pytest.raises(UserError, match="neither in"):
        make_split(KVASIR, tmp_path / "no such folder")


@pytest.mark.parametrize("inside", [True, False], ids=["the set's folder", "its parent"])
def test_data_root_may_be_the_set_itself_or_its_parent(tmp_path: Path, inside: bool) -> None:
    write_kvasir(tmp_path, 40)
    root = tmp_path / "Kvasir-SEG"
    assert make_split(KVASIR, root if inside else tmp_path).root == root


def test_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_kvasir(tmp_path / "a", 40)
    write_kvasir(tmp_path / "b", 8)
    monkeypatch.setenv("GPSSEG_DATA", str(tmp_path / "a"))
    assert make_split(KVASIR, None).root == tmp_path / "a" / "Kvasir-SEG"
    assert make_split(KVASIR, tmp_path / "b").root == tmp_path / "b" / "Kvasir-SEG", "option wins"
    monkeypatch.setenv("GPSSEG_DATA", "")
    assert make_split(KVASIR, None).data == SYNTHETIC, "empty is not set"


def test_image_without_mask(tmp_path: Path) -> None:
    write_kvasir(tmp_path, 40)
    (tmp_path / "Kvasir-SEG" / "masks" / "p015.jpg").unlink()
    (tmp_path / "Kvasir-SEG" / "masks" / "p012.jpg").unlink()
    with pytest.raises(UserError) as caught:
        make_split(KVASIR, tmp_path)
    assert "p015.jpg has no mask: expected" in str(caught.value)
    assert str(Path("masks", "p015.jpg")) in str(caught.value)
    assert "1 more" in str(caught.value)


def test_a_list_that_names_a_missing_image(tmp_path: Path) -> None:
    write_kvasir(tmp_path, 40)
    (tmp_path / "Kvasir-SEG" / "images" / "p020.jpg").unlink()
    with pytest.raises(UserError, match=r"train\.txt lists p020 without an image"):
        make_split(KVASIR, tmp_path)


def test_a_list_saved_by_a_windows_editor(tmp_path: Path) -> None:
    write_kvasir(tmp_path, 40)
    expected = make_split(KVASIR, tmp_path)
    path = tmp_path / "Kvasir-SEG" / "splits" / "train.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b" \r\n") + b"\r\n")
    assert make_split(KVASIR, tmp_path) == expected


def test_an_image_in_train_and_test_is_refused(tmp_path: Path) -> None:
    write_kvasir(tmp_path, 40)
    with (tmp_path / "Kvasir-SEG" / "splits" / "val.txt").open("a") as file:
        file.write("\np030\n")
    with pytest.raises(UserError, match=r"p030 .*in the train part and in the test part"):
        make_split(KVASIR, tmp_path)


def test_two_images_of_one_name(tmp_path: Path) -> None:
    write_pairs(tmp_path / "Set", "images", "masks/{id}.png", ["a", "b"])
    Image.new("L", (1, 1)).save(tmp_path / "Set" / "images" / "a.png")
    card = own_card(images="images/*", masks="masks/{id}.png")
    with pytest.raises(UserError, match=r"a\.jpg and a\.png are two images of one name, a"):
        make_split(card, tmp_path)


def test_names_with_spaces_braces_and_non_ascii_and_hidden_files(tmp_path: Path) -> None:
    names = ["case {1}", "Läsion 2", "病变 3", "d.4", "e", "f", "g", "h"]
    write_pairs(tmp_path / "Set", "my images", "my masks/{id} mask.png", names)
    (tmp_path / "Set" / "my images" / "._e.jpg").write_bytes(b"\0")
    split = make_split(own_card(images="my images/*.jpg", masks="my masks/{id} mask.png"), tmp_path)
    assert sorted(chain(*split.ids.values())) == sorted(names)


def own_card(images: str, masks: str) -> Card:
    """A card as a user would write it: all images in one place."""
    rule = {"name": "mine", "all": {"images": images, "masks": masks}, "test_share": 0.25}
    return dataclasses.replace(KVASIR, name="mine", folder="Set", splits=[rule])


def test_a_set_without_a_sample_asks_for_data_root() -> None:
    with pytest.raises(UserError, match=r"no sample of mine\. Pass --data-root FOLDER"):
        make_split(own_card("a/*", "b/{id}"), None)


@pytest.mark.parametrize("name", ["kvasir", "isic2017"])
def test_the_bundled_sample_is_labelled(name: str) -> None:
    split = make_split(load_card(name), None)
    assert split.data == "synthetic sample"
    assert all(split.ids[part] for part in PARTS)


@pytest.mark.parametrize("card", [KVASIR, ISIC], ids=["kvasir", "isic2017"])
def test_a_synthesized_tree_is_synthetic_wherever_it_lies(tmp_path: Path, card: Card) -> None:
    synthesize(card.name, tmp_path, cases=4, seed=1, size=32)
    assert make_split(card, tmp_path).data == SYNTHETIC


def test_drawn_images_are_so_whoever_names_them(tmp_path: Path) -> None:
    """Folders of one's own, a table elsewhere, a few of them among real ones."""
    drawn = bundled("sample_data") / "kvasir" / "Kvasir-SEG"
    of_folders = SourceConfig(images=drawn / "images", masks=drawn / "masks")
    real = tmp_path / "real"
    for kind in ("images", "masks"):
        shutil.copytree(drawn / kind, real / kind)
    lines = [
        f"{home}/images/{path.name},{home}/masks/{path.name}"
        for home, some in ((real, slice(10)), (drawn, slice(10, 12)))
        for path in sorted((drawn / "images").iterdir())[some]
    ]
    tables = tmp_path / "lists"
    tables.mkdir()
    for name, rows in (("mixed", lines), ("real", lines[:10])):
        (tables / f"{name}.csv").write_text("\n".join(["image,mask", *rows]))
    linked, links = tmp_path / "linked", tmp_path / "links"
    linked.mkdir()
    (linked / "images").symlink_to(drawn / "images")
    (links / "images").mkdir(parents=True)
    for path in (drawn / "images").iterdir():
        (links / "images" / path.name).symlink_to(path)
    for source, data in (
        (of_folders, "synthetic sample"),
        (SourceConfig(images=linked / "images", masks=real / "masks"), "synthetic sample"),
        (SourceConfig(images=links / "images", masks=real / "masks"), "synthetic sample"),
        (SourceConfig(table=tables / "mixed.csv"), "synthetic sample"),
        (SourceConfig(table=tables / "real.csv"), "real"),
        (SourceConfig(images=real / "images", masks=real / "masks"), "real"),
    ):
        card = card_of(source)
        assert make_split(card, None).data == find_cases(card, None).data == data


def test_isic_without_and_with_its_test_folder(tmp_path: Path) -> None:
    train, validation = [f"t{i}" for i in range(20)], [f"v{i}" for i in range(6)]
    write_isic(tmp_path, {"Training": train, "Validation": validation})
    split = make_split(ISIC, tmp_path)
    assert split.name == "train-to-validation-2000-150"
    assert split.ids["test"] == validation
    assert len(split.val) == 3
    assert set(split.ids["val"]) < set(train)

    write_isic(tmp_path, {"Test_v2": ["x1", "x2"]})
    official = make_split(ISIC, tmp_path)
    assert official.name == "official-2000-150-600"
    assert official.ids == {"train": sorted(train), "val": validation, "test": ["x1", "x2"]}
    small = make_split(ISIC, tmp_path, train_size=5)
    assert (len(small.train), small.val) == (5, official.val)
    other = make_split(ISIC, tmp_path, train_size=5, seed=1)
    assert set(other.train) != set(small.train), "the seed draws the subset"

    shutil.rmtree(tmp_path / "ISIC-2017" / "ISIC-2017_Training_Data")
    with pytest.raises(UserError, match="ISIC 2017 Part 1 is neither in"):
        make_split(ISIC, tmp_path)


def test_train_size_says_that_it_thins_the_validation_images(tmp_path: Path) -> None:
    """Of 200 images 40 are for the test and 40 for validation: a tenth of these is below 32."""
    for kind in "im":
        (tmp_path / kind).mkdir()
        for number in range(200):
            (tmp_path / kind / f"{number}.png").touch()
    card = card_of(SourceConfig(images=tmp_path / "i", masks=tmp_path / "m"))
    split = make_split(card, None, train_size=12, val_share=0.25)
    assert (len(split.train), len(split.val)) == (12, 32)
    assert split.notes == (
        "--train-size 12 takes 32 of 40 validation images too: as large a share, but not below 32.",
    )
    assert make_split(card, None, train_size=120, val_share=0.25).notes == ()


def test_too_few_images(tmp_path: Path) -> None:
    write_kvasir(tmp_path, 2, lists=False)
    with pytest.raises(UserError, match="has no image left in the train part of its split"):
        make_split(KVASIR, tmp_path)
    assert len(make_split(KVASIR, tmp_path, training=False).test) == 1, "an evaluation needs none"


def named(groups: list[int | None]) -> list[Case]:
    return [
        Case(f"c{i}", Path(f"c{i}.png"), group=None if g is None else f"patient {g}")
        for i, g in enumerate(groups)
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_carving_covers_is_disjoint_and_keeps_groups_together(
    groups: list[int | None], share: float, seed: int
) -> None:
    cases = named(groups)
    carved = carve(cases, share, seed)
    rest, picked = carved.rest, carved.picked
    assert sorted(rest + picked, key=cases.index) == cases
    assert picked
    assert {c.group for c in rest if c.group}.isdisjoint({c.group for c in picked})
    assert [c for c in cases if c in picked] == picked, "order is kept"
    assert carve(cases, share, seed) == carved


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), share=st.floats(0.05, 0.5), size=st.none() | st.integers(1, 8))
def test_parts_of_a_split_are_disjoint(seed: int, share: float, size: int | None) -> None:
    split = make_split(KVASIR, None, size, share, seed)
    everything = [case for part in PARTS for case in getattr(split, part)]
    assert len(set(everything)) == len(everything)
    assert all(getattr(split, part) for part in PARTS)
    if size is None:
        assert len(everything) == 24
