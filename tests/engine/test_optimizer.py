"""AdamW where entries of one parameter have been selected at different times."""

import pytest
import torch
from torch import nn

from gpsseg.engine.optimizer import BORN, adamw, carry_over, correct_by_age

CPU = torch.device("cpu")


def test_what_stays_keeps_its_moments_and_age_and_what_is_new_has_none():
    old = {
        "step": torch.tensor(7.0),
        "exp_avg": torch.tensor([0.1, 0.2, 0.3]),
        "exp_avg_sq": torch.tensor([1.0, 2.0, 3.0]),
        BORN: torch.tensor([0.0, 4.0, 0.0]),
    }
    index, new_index = torch.tensor([2, 5, 9]), torch.tensor([1, 5, 9, 11])
    new = carry_over(old, index, new_index, torch.zeros(4))
    assert new["exp_avg"].tolist() == pytest.approx([0, 0.2, 0.3, 0])
    assert new["exp_avg_sq"].tolist() == [0, 2, 3, 0]
    assert new[BORN].tolist() == [7, 4, 0, 7], "updates before its own"
    assert new["step"] == 7


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_an_entry_that_comes_later_moves_as_one_of_its_own_would(decay):
    """And the one that was there from the start as if nobody had come, bit for bit."""
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(12, 2, generator=generator)
    both, alone, plain = (nn.Parameter(torch.tensor(v)) for v in ([1.0, 2.0], [2.0], [1.0, 2.0]))
    ours, lone, without = (adamw([p], decay, CPU) for p in (both, alone, plain))
    correct_by_age(ours)
    for number, gradient in enumerate(gradients):
        if number == 5:  # the second entry is selected now
            with torch.no_grad():
                both[1] = plain[1] = 2.0
            state = ours.state[both]
            ours.state[both] = carry_over(state, torch.tensor([0]), torch.tensor([0, 1]), both)
        both.grad, plain.grad = gradient.clone(), gradient.clone()
        ours.step()
        without.step()
        if number >= 5:
            alone.grad = gradient[1:].clone()
            lone.step()
            torch.testing.assert_close(both[1], alone[0], rtol=1e-6, atol=0)
        assert both[0] == plain[0]
    assert (both[1] - plain[1]).abs() > 1e-3, "as a part of the parameter it would have moved more"
