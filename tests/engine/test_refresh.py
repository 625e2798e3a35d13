"""A training whose selection is made anew, on networks so small that it can be worked out."""

import contextlib
import json
import math

import pytest
import torch
from torch import nn

from gpsseg import gps
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.engine import train as engine
from gpsseg.engine.refresh import Refresh, Refreshing
from gpsseg.errors import TrainingDivergedError, UserError
from gpsseg.gps import Selection

SHAPES = {"0.weight": (4, 3, 1, 1), "3.weight": (1, 4, 1, 1)}


class Linear(nn.Module):
    """Two neurons of two inputs, that are 0; the loss pulls them to a target."""

    target = torch.tensor([[1.0, 0.9], [0.9, 1.0]])

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)
        nn.init.zeros_(self.layer.weight)

    def loss(self):
        """Half the squared distance: its gradient is the weight less the target."""
        return (self.layer(torch.eye(2)).T - self.target).square().sum() / 2


def best_of_each(model):
    scores = gps.score(model, [None], lambda net, _: net.loss(), ["layer.weight"])
    return gps.select(model, scores, {"layer.weight": 1})


@pytest.mark.parametrize("decay_to", ["zero", "pretrained"])
def test_the_best_entry_of_a_neuron_changes_when_it_has_learned(machine, decay_to):
    """Row 1 is (0, 0), its target (1, .9): the first entry has the larger gradient, -1 and -.9.

    AdamW's first update moves it by the rate, .5, so that -.5 and -.9 are left, and the second one
    is selected. That one's own first update moves it by the rate of then, while the first stays.
    """
    model, seen, decay = Linear(), [], 0.1
    gps.sparsify(model, best_of_each(model))
    rates = {"layer.weight_values": 0.5}
    back = rates if decay_to == "pretrained" else ()
    config = FinetuneConfig(epochs=1, warmup=0, weight_decay=decay)
    refresh = Refresh(1, lambda number: best_of_each(model), lambda *told: seen.append(told))
    learner = Refreshing(model, refresh, lambda line: None, rates, back, config, machine, 2)
    learner.prepare()
    for number in (1, 2):
        learner.before_update(1, number)
        model.loss().backward()
        learner.stepper.step()
        learner.stepper.zero_grad()
        learner.schedule.step()
    second = 0.5 * 0.5 * (1 + math.cos(math.pi / 2))  # half a cosine from .5 to 0 in two updates
    assert learner.times == 1
    learner.note_best()
    learner.restore_best()
    union, times, at_a_time = seen[0]
    assert union.indices["layer.weight"].tolist() == [0, 1, 2, 3]
    assert (times, at_a_time) == (1, 2)
    gps.merge(model)
    expected = torch.tensor([[0.5, second], [second, 0.5]])
    torch.testing.assert_close(model.layer.weight.detach(), expected, rtol=1e-6, atol=1e-7)


def network():
    """Two convolutions with dropout between them, so that random numbers matter."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(0.2), nn.GELU(), nn.Conv2d(4, 1, 1))


def turning(number):
    """Another entry of each weight for each time, so that some leave, stay and come back."""
    own = {"0.weight": [number % 4, 5, 6 + number % 3], "3.weight": [number % 2]}
    if number % 3 == 2:
        own.pop("3.weight")  # as where a weight gets no gradient
    indices = {name: torch.tensor(sorted(set(index))).int() for name, index in own.items()}
    return Selection(indices, {name: SHAPES[name] for name in indices}, ("0.bias",))


@pytest.fixture
def tuned(batches, machine, tmp_path):
    """``tuned(every, select, ...)``: a training of four epochs, three updates each."""
    scores = [0.1, 0.2, 0.3, 0.4]

    def in_turn(epochs):
        return [batch for epoch in epochs for batch in batches(epoch, 6)]

    def fit(every=2, select=turning, validated=scores, name="run", on_line=None, **settings):
        model, told, deltas = network(), [], []
        gps.sparsify(model, settings.pop("handed", turning(0)))
        (tmp_path / name).mkdir(exist_ok=True)
        refresh = Refresh(every, lambda number: select(number), lambda *told_: told.append(told_))
        back = settings.pop("back", ())
        config = FinetuneConfig(epochs=4, accumulate=2, weight_decay=0.1, **settings)
        rates = {"0.bias": 0.1, "0.weight_values": 0.05, "3.weight_values": 0.02}
        left = iter(validated)

        def validate():
            if (score := next(left, None)) is None:
                raise KeyboardInterrupt
            return score

        def keep(history):
            deltas.append(gps.extract(model, "base", gps.model_hash(network())))

        to = in_turn, validate, rates, config, machine, tmp_path / name, keep
        more = {"back": back, "on_line": on_line, "refresh": refresh if every else None}
        history = None
        with contextlib.suppress(KeyboardInterrupt):
            history = engine.train(model, *to, **more)
        return model, deltas[-1], told, history

    return fit


def rates_of(history):
    return [row["lr"] for row in history.epochs]


def test_selecting_the_same_again_changes_nothing_bit_for_bit(tuned):
    """Neither the rates, nor what dropout draws, nor a moment; whatever selecting draws itself."""

    def same(number):
        with torch.random.fork_rng([]):
            torch.rand(number)
        return turning(0)

    _, plain, told, history = tuned(every=None, name="plain")
    assert told == []
    for every in (1, 5):
        _, delta, told, again = tuned(every, same, name=str(every))
        assert delta.sha256 == plain.sha256
        assert rates_of(again) == rates_of(history)
        assert [each[1:] for each in told] == [(11 // every, 4 + 4)]


@pytest.mark.parametrize("back", [(), ("0.bias", "0.weight_values", "3.weight_values")])
def test_what_was_never_selected_is_the_base_s_bit_for_bit(tuned, back):
    lines = []
    model, delta, told, history = tuned(back=back, on_line=lines.append)
    union, times, at_a_time = told[0]
    numbers = range(6)  # 12 updates, anew before the 3rd, 5th, ..., 11th
    for name, (index, values) in delta.sparse.items():
        ever = {i for n in numbers for i in turning(n).indices.get(name, torch.tensor([])).tolist()}
        assert index.tolist() == sorted(ever) == union.indices[name].tolist()
        base = network().get_parameter(name).flatten()
        assert (values != base[index.long()]).all(), "all of these have moved"
    assert (times, at_a_time) == (5, 3 + 1 + 4)
    gps.merge(model)
    again = network()
    delta.apply(again)
    ours, theirs = model.state_dict(), again.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    plain = network()
    for name, index in union.indices.items():
        rest = torch.ones(plain.get_parameter(name).numel(), dtype=bool)
        rest[index.long()] = False
        both = (net.get_parameter(name).flatten()[rest] for net in (model, plain))
        assert torch.equal(*both)
    anew = [line for line in lines if line["event"] == "refresh"]
    assert [(line["epoch"], line["step"]) for line in anew] == [
        (1, 5),
        (2, 3),
        (3, 1),
        (3, 5),
        (4, 3),
    ]
    assert anew[-1]["ever_selected"] == sum(map(len, union.indices.values()))
    assert rates_of(history) == rates_of(tuned(every=None, name="plain")[3])


def test_what_leaves_stays_where_it_is(tuned):
    """Neither gradients nor the decay move it any more."""
    after = [
        tuned(2, lambda number: turning(1), scores, name)[1].sparse["0.weight"]
        for name, scores in (("one", [0.9, 0.1, 0.1, 0.1]), ("four", [0.1, 0.1, 0.1, 0.9]))
    ]
    assert after[0][0].tolist() == after[1][0].tolist() == [0, 1, 5, 6, 7]
    same = (after[0][1] == after[1][1]).tolist()
    assert same == [True, False, False, True, False], "0 and 6 left before the third update"


def test_the_best_epoch_s_delta_holds_what_was_selected_by_then(tuned):
    _, delta, told, history = tuned(validated=[0.1, 0.9, 0.2, 0.3])
    assert history.best_epoch == 2
    by_then = [turning(n).indices.get("0.weight").tolist() for n in range(3)]  # 6 updates
    assert delta.sparse["0.weight"][0].tolist() == sorted({i for one in by_then for i in one})
    assert told[0][1] == 2, "selected anew by then"
    _, stopped, *_ = tuned(validated=[0.1, 0.9], name="two")  # by Ctrl-C, in epoch 3
    assert stopped.sha256 == delta.sha256


@pytest.mark.parametrize(
    ("stopped_after", "back"), [(1, ()), (2, ("0.weight_values", "3.weight_values")), (3, ())]
)
def test_a_stopped_training_goes_on_to_the_same_bits(tuned, tmp_path, back, stopped_after):
    scores = [0.1, 0.5, 0.3, 0.4]
    _, whole, told, _ = tuned(validated=scores, name="whole", back=back)
    _, _, stopped, history = tuned(validated=scores[:stopped_after], back=back)
    assert history is None
    union = stopped[0][0]  # more than ever trains at a time
    again = {"resume": tmp_path / "run", "back": back, "handed": union}
    _, delta, told_again, history = tuned(validated=scores[stopped_after:], **again)
    assert history.best_epoch == 2
    assert delta.sha256 == whole.sha256
    assert (told_again[0][0].hash, told_again[0][1:]) == (told[0][0].hash, told[0][1:])


def test_ctrl_c_while_selecting_leaves_the_base(tuned, tmp_path):
    def interrupted(number):
        raise KeyboardInterrupt

    model, delta, told, _ = tuned(1, interrupted)
    assert (told[0][0].hash, told[0][1]) == (turning(0).hash, 0)
    gps.merge(model)
    ours, base = model.state_dict(), network().state_dict()
    assert all(torch.equal(ours[name], base[name]) for name in base)
    assert delta.sparse["0.weight"][0].tolist() == [0, 5, 6]
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["event"] == "stopped"


def test_weights_that_diverged_are_never_scored(tuned, monkeypatch):
    step = torch.optim.AdamW.step

    def to_nan(optimizer, *arguments):
        step(optimizer, *arguments)
        optimizer.param_groups[0]["params"][0].data.fill_(math.nan)

    monkeypatch.setattr(torch.optim.AdamW, "step", to_nan)
    with pytest.raises(TrainingDivergedError, match="not finite at epoch 1, step 3"):
        tuned(1, select=None)


def test_gradients_that_diverged_end_the_training_as_a_loss_would(tuned):
    """Not as bad images would: a comparison goes on, and counts the run as diverged."""

    def overflows(number):
        model = network()
        scores = gps.score(model, [1], lambda net, _: net[0].weight.sum() * math.inf, ["0.weight"])
        return gps.select(model, scores, {"0.weight": 1})

    with pytest.raises(TrainingDivergedError, match="a gradient that selects is not finite at"):
        tuned(1, overflows)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("union/0.weight", torch.tensor([5, 4]).int(), "no list of ascending positions"),
        ("union/0.weight", torch.tensor([5]).int(), "has entries that union/0.weight lacks"),
        ("selected/0.weight", torch.tensor([0, 99]).int(), "position 99 is outside"),
        ("selected/1.weight", torch.tensor([0]).int(), "no weight 1.weight"),
        ("moved/0.weight", torch.tensor([1.0]), "expected floats"),
        ("moved/0.weight", None, "it lacks moved/0.weight"),
        ("best/0.weight_values", None, "it lacks the best values of 0.weight_values"),
    ],
)
def test_a_damaged_resume_point_is_refused(tuned, tmp_path, key, value, said):
    from safetensors import safe_open
    from safetensors.torch import save_file

    tuned(validated=[0.1])
    path = tmp_path / "run" / "state" / "last.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors = {n: t for n, t in {**tensors, key: value}.items() if t is not None}
    save_file(tensors, path, metadata)
    with pytest.raises(UserError, match=said):
        tuned(resume=tmp_path / "run")
