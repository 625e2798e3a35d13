"""Which of a card's steps are fixed, so that what they make can be kept."""

import pytest
from monai.transforms import Compose, Flipd, RandFlipd

from gpsseg.data.steps import fixed_steps

FIXED, RANDOM = Flipd(keys="image"), RandFlipd(keys="image")


def of_the_users_own(data):
    return data


@pytest.mark.parametrize(
    ("steps", "fixed"),
    [
        ([], None),
        ([FIXED, FIXED], None),
        ([FIXED, RANDOM, FIXED, RANDOM], 1),
        ([FIXED, FIXED, of_the_users_own, RANDOM], 2),
    ],
)
def test_steps_are_fixed_up_to_the_first_that_may_draw(steps, fixed):
    assert fixed_steps(Compose(steps)) == fixed
