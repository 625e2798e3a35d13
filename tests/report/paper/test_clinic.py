"""What is measured for clinicians is in the paper, in words."""

import csv
import json

from gpsseg.report.scores import OF_PROTOCOL

KEYS = ("false_find_share", "pq ", "pq,", "sensitivity_over", "f1 ")


def test_clinical_measures_answer_what_is_asked_of_a_diagnosis(folder, tools):
    text = tools.paper(folder, "claim")
    item = text.partition("**38**")[2].partition("**39**")[0]
    for words in (
        "79 of 127 lesions found (IoU of 0.5); 11 are not touched at all; 19 false finds "
        "in 19 images, 18 of which touch no lesion. 10 parts of the truth of under 3 pixels count "
        "as none.",
        "Sensitivity, pixels of a lesion: 0.637 [0.572, 0.703] (14 images; 12 groups)",
        "Images without a lesion on which something is predicted: 0.825 [0.733, 0.917] (5 images; "
        "3 groups)",
        "Panoptic quality: 0.448 (13 images; one group: no interval)",
        "In pixels: predicted minus true areas are -517 [-739, -295] on average (bias, of the 16 "
        "images with a lesion in either mask); 95 % of the differences lie between -971 [no "
        "interval] and -63 [-81, -45] (limits of agreement; Bland and Altman, 1986) "
        "[@bland1986agreement].",
    ):
        assert words in item, words
        assert words in tools.part(text, "Results"), words
    assert not [key for key in KEYS if key in text]


def test_scores_by_a_column_are_those_of_subgroups(folder, tools):
    text = tools.paper(folder, "tripod-ai")
    words = (
        'By centre: "Oslo" 0.901 [0.872, 0.930] over 12 images in 10 groups (71 of 88 lesions '
        "found, 24 false finds); not given 0.662 [no interval] over 2 images, which is few (71 of"
    )
    assert words in text.partition("**23a**")[2].partition("**23b**")[0]
    assert words in text.partition("**23b**")[2].partition("**24**")[0]
    participants = text.partition("**20b**")[2].partition("**20c**")[0]
    assert words in participants
    assert "size of their foreground: 0 to 37 % of the image: 13; none: 5." in participants
    assert words in tools.part(text, "Results")


def test_images_with_a_lesion_are_counted_apart(folder, tools):
    after = {"dice": 0.7, "dice_with_lesion": 0.5, "dice_with_lesion_ci95": [0.4, 0.6]}
    varied = {"resampled": "group", "units": 12, "seeds": 1}
    after |= {"with_lesion": varied, "images_with_lesion": 14, "images": 19}
    tools.change(folder, "metrics.json", after={"per-image": after})
    row = "| after | per-image | mDice, images with a lesion | 0.500 | [0.400, 0.600] | 12 groups |"
    assert f"{row} 14 |" in tools.paper(folder)


def test_every_row_s_number_of_images_is_that_of_its_score(folder, tools):
    """That a number is somewhere in the folder is not enough."""
    tools.paper(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    keys = {name: key for names in OF_PROTOCOL.values() for key, name in names.items()}
    keys |= {"mDice": "dice", "mIoU": "iou", "Dice": "dice", "IoU": "iou"}
    found = []
    with folder.parent.joinpath("paper", "out.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            scores, key = metrics[row["stage"]][row["protocol"]], keys[row["score"]]
            assert float(row["value"]) == scores[key]
            own = scores.get(f"{key}_over", scores)
            assert int(row["images"]) == own.get("images", 19)
            some = scores.get(f"{key}_ci95") and own["units"]
            assert row["interval_over"].partition(" groups")[0] == (str(some) if some else "")
            found.append(int(row["images"]))
    assert sorted(found) == [5, 13, 14, *[19] * 6]
    assert "95 % intervals, each over what its row says." in tools.paper(folder, name="b.md")
