"""What leaks from training into testing is found; what only looks alike is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from gpsseg.data.cards.card import load_card
from gpsseg.data.checks import pictures
from gpsseg.data.checks.leaks import find_duplicates, find_leaks
from gpsseg.data.checks.likeness import candidates, likeness, oriented, read_grey, sketch
from gpsseg.data.checks.pictures import COPY, GROUP, NEAR, TURNED, VIEW, Leak, _following
from gpsseg.data.splits.split import Case, make_split
from gpsseg.data.synthetic.scenes import synthesize
from gpsseg.errors import UserError

Folder = list[Case]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Sixteen different synthetic colonoscopy images."""
    folder = tmp_path_factory.mktemp("images")
    synthesize("kvasir", folder, cases=16, seed=3, size=200)
    return [Case(p.stem, p) for p in sorted((folder / "Kvasir-SEG" / "images").iterdir())]


def planted(images: Folder, folder: Path, change, save="JPEG", **options) -> tuple[Leak, ...]:
    """Leaks between images 0..11 and a test set of 12..15 and a changed copy of image 3."""
    path = folder / f"planted.{save.lower()}"
    change(Image.open(images[3].image).convert("RGB")).save(path, save, **options)
    return find_leaks(images[:12], [*images[12:], Case("planted", path)])


def cut(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 20, height // 20, width, height - height // 30))


def framed(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image.resize((300, 240)), (70, 5, 20, 12), fill=(3, 2, 4))


CHANGES = {
    "saved as a poor JPEG": (lambda i: i, {"quality": 40}),
    "saved as PNG": (lambda i: i, {"save": "PNG"}),
    "enlarged": (lambda i: i.resize((611, 543)), {}),
    "brighter": (lambda i: ImageEnhance.Brightness(i).enhance(1.25), {}),
    "less contrast, no colour": (lambda i: ImageEnhance.Contrast(i.convert("L")).enhance(0.7), {}),
    "cut": (cut, {}),
    "in a black frame": (framed, {}),
    "brighter and cut": (lambda i: ImageEnhance.Brightness(cut(i)).enhance(1.2), {"quality": 60}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(images, tmp_path, name):
    change, options = CHANGES[name]
    (leak,) = planted(images, tmp_path, change, **options)
    assert (leak.train_id, leak.test_id, leak.kind) == (images[3].id, "planted", NEAR)
    assert leak.similarity is not None
    assert pictures.SAME <= leak.similarity <= 1


@pytest.mark.parametrize("turn", list(Image.Transpose), ids=lambda turn: turn.name)
def test_flipped_and_turned_copies_are_found(images, tmp_path, turn):
    (leak,) = planted(images, tmp_path, lambda image: image.transpose(turn), quality=85)
    assert (leak.train_id, leak.kind) == (images[3].id, TURNED)


def test_a_neighbouring_view_is_found(images, tmp_path):
    """The camera moves by a twelfth of the image, and the light changes."""

    def moved(image: Image.Image) -> Image.Image:
        width, height = image.size
        box = (width // 12, height // 16, width + width // 12, height + height // 16)
        return ImageEnhance.Contrast(image.transform(image.size, 0, data=_affine(box))).enhance(0.8)

    (leak,) = planted(images, tmp_path, moved)
    assert leak.train_id == images[3].id
    assert leak.kind in (NEAR, VIEW)


def _affine(box: tuple[int, int, int, int]) -> tuple[float, ...]:
    return (1, 0, box[0], 0, 1, box[1])


def test_different_images_are_no_pair(images):
    assert find_leaks(images[:10], images[10:]) == ()


def test_different_skin_lesions_are_no_pair(tmp_path):
    synthesize("isic2017", tmp_path, cases=24, seed=5, size=128)
    cases = [Case(p.stem, p) for p in sorted(tmp_path.rglob("*Data/*.jpg"))]
    assert len(cases) == 24
    assert find_leaks(cases[:16], cases[16:]) == ()


def test_equal_bytes_under_another_name_are_an_exact_copy(images, tmp_path):
    path = tmp_path / "other name.jpg"
    path.write_bytes(images[0].image.read_bytes())
    found = find_leaks(images[:5], [Case("other name", path)])
    assert found == (Leak(images[0].id, "other name", COPY, 1.0),)


def test_the_same_file_on_both_sides_is_an_exact_copy(images, tmp_path):
    link = tmp_path / "link.jpg"
    link.symlink_to(images[0].image)
    assert [leak.kind for leak in find_leaks(images[:1], [Case("link", link)])] == [COPY]


def test_one_group_on_both_sides_is_a_leak_once_for_each_test_image(images):
    train = [replace(case, group="patient 1") for case in images[:3]]
    test = [replace(images[3], group="patient 1"), replace(images[4], group="patient 2")]
    assert find_leaks(train, test) == (Leak(images[0].id, images[3].id, GROUP, None),)


def test_cases_without_a_group_share_none(images):
    assert find_leaks(images[:2], images[2:4]) == ()


def test_blank_images_are_no_near_copies(tmp_path):
    cases = []
    for i, value in enumerate((0, 128, 255)):
        path = tmp_path / f"{i}.png"
        Image.fromarray(np.full((40 + i, 50, 3), value, np.uint8)).save(path)
        cases.append(Case(str(i), path))
    assert find_leaks(cases[:2], cases[2:]) == ()


def test_nothing_to_compare_is_no_leak(images):
    assert find_leaks([], images) == find_leaks(images, []) == ()


def test_an_unreadable_image_is_named(images, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"broken\.jpg"):
        find_leaks(images[:2], [Case("broken", broken)])


def test_sixteen_bit_images_keep_their_contrast(images, tmp_path):
    grey = np.asarray(Image.open(images[0].image).convert("L")).astype(np.uint16) * 257
    path = tmp_path / "deep.png"
    Image.fromarray(grey).save(path)
    assert likeness(read_grey(path), read_grey(images[0].image)) > 0.9


def test_likeness_of_a_picture_with_itself_is_one_and_the_sketch_is_a_unit_vector(images):
    grey = read_grey(images[0].image)
    assert likeness(grey, grey) == pytest.approx(1, abs=1e-3)
    assert np.linalg.norm(sketch(grey)) == pytest.approx(1, abs=1e-5)


def test_candidates_name_the_orientation(images):
    sketches = np.stack([sketch(read_grey(case.image)) for case in images[:6]])
    for orientation in range(8):
        turned = oriented(sketches[4:5], orientation)
        ((best, way), *_) = candidates(sketches, turned, 2)[0]
        assert best == 4
        assert np.allclose(oriented(turned, way), sketches[4:5])


def test_many_test_images_are_compared_block_by_block(images, monkeypatch):
    monkeypatch.setattr(pictures, "BLOCK", 2)
    copies = [Case(f"copy {i}", case.image) for i, case in enumerate(images[:5])]
    found = find_leaks(images, copies)
    assert [(leak.train_id, leak.test_id) for leak in found] == [
        (images[i].id, f"copy {i}") for i in range(5)
    ]


# Training image -> test image. Each was looked at: 13 Kvasir-SEG test images are training images in
# a frame.
KNOWN = {
    "kvasir": {
        "cju1dfeupuzlw0835gnxip369": "cjyzul1qggwwj07216mhiv5sy",
        "cju1g20bdwq6u0835e16xugcd": "cjyzurzvohqnr0794es1itzek",
        "cju2i6acqvo6l0799u20fift8": "cjz14qsk2wci60794un9ozwmw",
        "cju33za6l2qy70988jhrlp2ev": "cjyzjzssvd8pq0838f4nolj5l",
        "cju3tp94kfstl08181awh6z49": "cjyzk8qieoboa0848ogj51wwm",
        "cju45jpvfn6c809873pv1i34s": "cjyzkmjy8evns070165gf9dmq",
        "cju5ddda9bkkt0850enzwatb1": "cjyzkpsbjdsjq07211dfi4sru",
        "cju5jx7jzf7c90871c2i9aiov": "cjyzl833ndne80838pzuq6ila",
        "cju5y4hgqmk0i08180rjhbwvp": "cjyzlw7f9faqr070129au64sq",
        "cju77g99iyxc00817zqi2ppor": "cjyztzaqtrv430848l8xgcerw",
        "cju7b10ce1mnm08011c5bwyr4": "cjyzu3reghjya0794w7pwoi50",
        "cju7ehljc2or70871261br8ai": "cjyzufihqquiw0a46jatrbwln",
        "cju7fnfv02tt90801djnix9m8": "cjyzuio1qgh040763k56deohv",
    },
    "isic2017": {
        "ISIC_0000157": "ISIC_0014946",
        "ISIC_0000171": "ISIC_0015124",
        "ISIC_0000215": "ISIC_0015313",
        "ISIC_0012970": "ISIC_0012127",  # the same bytes
    },
}


@pytest.mark.parametrize(
    "every", [12, pytest.param(1, marks=pytest.mark.slow)], ids=["a share", "all"]
)
@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_of_the_real_sets_is_found_and_nothing_else(real_data, name, every):
    """Among all images; or among every twelfth beside those that are known."""
    split, known = make_split(load_card(name), real_data), KNOWN[name]
    train, test = (
        [case for place, case in enumerate(cases) if place % every == 0 or case.id in wanted]
        for cases, wanted in (
            ((*split.train, *split.val), {*known}),
            (split.test, {*known.values()}),
        )
    )
    found = find_leaks(train, test)
    assert {leak.train_id: leak.test_id for leak in found} == known
    assert len(found) == len(known)
    assert {leak.train_id for leak in found if leak.kind == COPY} == {"ISIC_0012970"} & {*known}
    assert {leak.kind for leak in found} <= {COPY, NEAR}


def test_within_one_set_every_picture_is_sketched_once(
    images: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(pictures, "sketch", lambda grey: drawn.append(1) or sketch(grey))
    assert find_duplicates(images) == ()
    assert len(drawn) == len(images)


def test_groups_of_two_sets_count_unless_they_are_small_numbers(tmp_path):
    """Patient 7 of one hospital is not patient 7 of another; patient MRN-1042 is."""
    rng, cases = np.random.default_rng(0), {}
    for side in ("train", "test"):
        for group in ("7", "MRN-1042"):
            path = tmp_path / f"{side}-{group}.png"
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
            cases.setdefault(side, []).append(Case(path.stem, path, group=group))
    found = find_leaks(cases["train"], cases["test"], names=False)
    assert [leak.test_id for leak in found if leak.kind == "same group"] == ["test-MRN-1042"]
    assert len(find_leaks(cases["train"], cases["test"])) == 2


def test_frames_that_follow_are_compared_within_one_set_too(tmp_path):
    names = ["IMG_0001", "IMG_0002", "IMG_0009"]
    cases = [Case(name, tmp_path / f"{name}.png") for name in names]
    assert _following(cases, cases) == [[1], [0], []]
    assert _following(cases[:1], cases[1:]) == [[0], []]
