"""Of what the scores are: classes, drawn images, masks of others."""

import pytest


def test_classes_and_labels_that_are_told_apart_have_their_rows(folder, tools):
    adenoma = {"images": 7, "dice": 0.6173, "dice_ci95": [0.5, 0.7], "iou": 0.5}
    classes = {"before": {"adenoma": {"dice": 0.1117}}, "after": {"adenoma": adenoma}}
    tools.change(
        folder,
        "metrics.json",
        classes=classes,
        labels={"2": {**adenoma, "images": 19, "empty_truth": 3}},
    )
    text = tools.paper(folder)
    shown = "class adenoma, which 7 true masks show"  # the mean is over the others too
    assert f"| before | {shown} | mDice | 0.112 |  |  | 19 |" in text
    assert f"| after | {shown} | mDice | 0.617 | [0.500, 0.700] |  | 19 |" in text
    shown = "label 2, which 16 true masks show"
    assert f"| after | {shown} | mDice | 0.617 | [0.500, 0.700] |  | 19 |" in text
    assert (
        "By class, over all images, where a class absent from both masks scores 1 and from one 0: "
        '"adenoma", which 7 true masks show: mDice 0.617 [0.500, 0.700] and mIoU 0.500'
    ) in tools.part(text, "Results")
    assert "Scores that name no class are of all together, as one foreground." in text
    assert "probability of each class and of the background" in tools.paper(folder, "claim", "b.md")


def test_whoever_has_no_groups_reads_what_that_means(folder, tools):
    (folder / "per_image.csv").write_text("id,group,dice\na,,0.5\n", encoding="utf-8")
    text = tools.paper(folder)
    assert "No groups (such as patients or videos) were given for the test images" in text
    tools.change(folder, "metrics.json", backbone=None)
    text = tools.paper(folder, name="b.md")
    assert "No groups (such as patients or videos) were given, so that images of one" in text
    assert "split" not in tools.part(text, "Methods").partition("No groups")[2][:120]


DRAWN = {
    ("synthetic sample", "real"): (
        'Trained on drawn images in the place of "kvasir", tested on "kvasir".'
    ),
    ("real", "synthetic sample"): (
        'SYNTHETIC SAMPLE: Trained on "kvasir", tested on drawn images in the place of "kvasir".'
    ),
    (None, "synthetic sample"): (
        "SYNTHETIC SAMPLE: The test images come with the data set of training, drawn images in the "
        'place of "kvasir";'
    ),
    ("real", "real"): 'The test images come with the data set of training, "kvasir";',
}


@pytest.mark.parametrize("data", DRAWN)
def test_drawn_images_are_no_images_of_the_set(folder, tools, data):
    trained, tested = data
    tools.change(folder, "metrics.json", trained_on="kvasir", trained_on_data=trained, data=tested)
    text = tools.paper(folder, "claim").partition("**32**")[2].partition("**34**")[0]
    assert DRAWN[data] in text
    assert text.count("kvasir") == DRAWN[data].count("kvasir")
