"""Networks, losses and scores of the user: what they raise or give wrongly is a failed training."""

from dataclasses import replace

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.training.conftest import (
    RATES,
    USER_CLASSES,
    Secret,
    TwoLayers,
    confidence,
    dropout,
    genes,
    mlp,
    norm,
    plain_loop,
    train_user_nets,
    user_recipe,
    why_alone,
)

CANNOT_BE_STACKED = "trained alone: cannot be stacked ("


def picky(width=8, wrong=False):
    if wrong:
        raise ValueError(f"no {width}")
    return mlp(nn.ReLU(), width)


def lazy(width=8):
    return nn.LazyLinear(USER_CLASSES)


def no_module(wrong=False):
    return "net" if wrong else mlp(nn.ReLU())


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (picky, rf"UserCodeError: {__name__}:picky: raised ValueError: no 8 \(.*\)$"),
        (no_module, f"UserCodeError: {__name__}:no_module: gave str; return an nn.Module$"),
    ],
)
def test_a_net_that_cannot_be_built_fails_and_the_others_train(builder, message):
    genomes = [{"wrong": number == 1, **rate} for number, rate in enumerate(RATES)]
    first, failed, last = train_user_nets(user_recipe(builder), genomes)
    with pytest.raises(ValueError, match=message):
        raise ValueError(failed.failure)
    assert [m.accuracy for m in (first, last)] == [
        m.accuracy for m in train_user_nets(user_recipe(builder), [genomes[0], genomes[2]])
    ]
    assert (first.failure, failed.accuracy, failed.neurons) == (None, (), 0)


def test_a_layer_without_shape_is_a_failed_training():
    for m in train_user_nets(user_recipe(lazy), RATES):
        assert m.failure.startswith(
            f"UserCodeError: {__name__}:lazy: a layer of its network has no shape yet;"
        )


class Fussy(Secret):
    """Raises after some steps if its factor is negative, which its structure does not show."""

    def __init__(self, factor, after=0):
        super().__init__(factor)
        self.after, self.calls = after, 0

    def between(self, x):
        self.calls += self.training
        if self.silent.factor < 0 and self.calls > self.after:
            raise ArithmeticError("negative")
        return x


@pytest.mark.parametrize(
    ("after", "place", "why"),
    [
        (0, 0, CANNOT_BE_STACKED),
        (0, 1, CANNOT_BE_STACKED),
        (0, 2, CANNOT_BE_STACKED),
        (7, 0, "trained alone: its stack failed (Arithm"),
    ],
)
def test_a_forward_pass_that_raises_fails_its_own_training_and_no_other(after, place, why):
    factors = [-1.0 if number == place else 1.0 for number in range(3)]
    genomes = [{**genome, "after": after} for genome in genes("factor", *factors)]
    measured = train_user_nets(user_recipe(Fussy), genomes)
    for number, (genome, m) in enumerate(zip(genomes, measured, strict=True)):
        if number == place:
            assert m.failure == "ArithmeticError: negative"
        else:
            assert m.failure is None
            assert why_alone(m)[0].startswith(why)
            assert list(m.accuracy) == plain_loop(user_recipe(Fussy), genome)


class Overflowing(TwoLayers):
    """Which net has an infinite output depends on a buffer alone."""

    def __init__(self, factor):
        super().__init__()
        self.register_buffer("factor", torch.tensor(float(factor)))

    def between(self, x):
        return x * self.factor


def cautious(outputs, labels):
    if not outputs.isfinite().all():
        raise ValueError("Input contains NaN.")
    return confidence(outputs, labels)


@pytest.mark.parametrize("score", [confidence, cautious, None])
@pytest.mark.parametrize("factor", ["nan", "inf"])
def test_one_net_that_is_not_finite_fails_alone_in_its_stack(score, factor):
    the_recipe, genomes = user_recipe(Overflowing, score=score), genes("factor", "1", factor, "1.5")
    first, failed, last = train_user_nets(the_recipe, genomes)
    assert failed.failure == "the loss became NaN or infinite at step 1"
    for genome, ours in ((genomes[0], first), (genomes[2], last)):
        [alone] = train_user_nets(the_recipe, [genome])
        assert (ours.failure, ours.notes) == (None, ())
        assert ours.accuracy == pytest.approx(alone.accuracy, abs=2e-5 if score else 0.026)


def too_high(outputs, labels):
    return 1.5


def negative_for_some(outputs, labels):
    return -0.5 if outputs.abs().amax() > 100 else confidence(outputs, labels)


def test_a_score_outside_of_0_to_1_is_a_failed_training():
    for m in train_user_nets(user_recipe(norm, score=too_high), RATES):
        assert m.failure == f"ValueError: {__name__}:too_high: gave 1.5; return a number from 0 to 1"
    genomes = genes("factor", "1", "1e4")
    fine, failed = train_user_nets(user_recipe(Overflowing, score=negative_for_some), genomes)
    assert failed.failure.endswith("gave -0.5; return a number from 0 to 1")
    assert fine.failure is None
    assert list(fine.accuracy) == plain_loop(user_recipe(Overflowing), genomes[0])


def row_by_row(outputs, labels):
    return F.cross_entropy(outputs, labels, reduction="none")


def no_tensor(outputs, labels):
    return F.cross_entropy(outputs, labels).item()


def constant(outputs, labels):
    return torch.zeros(())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (row_by_row, "ValueError: the loss of a minibatch has shape (16,); return a tensor with one number"),
        (no_tensor, "ValueError: the loss of a minibatch is of type float; return a tensor with one number"),
        (constant, "RuntimeError: element 0 of tensors does not require grad"),
    ],
)
def test_a_loss_that_cannot_be_trained_on_is_a_failed_training(loss, message):
    the_recipe = user_recipe(norm, loss=loss)
    for genomes in (RATES, RATES[:1]):
        for m in train_user_nets(the_recipe, genomes):
            assert m.failure.startswith(message)


class Shaped(TwoLayers):
    """Its output has another form than it should have."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, x):
        logits = self.head(self.first(x))
        return {
            "pair": (logits, logits),
            "flat": logits.flatten(),
            "halves": logits.reshape(len(x) // 2, 2, USER_CLASSES),
            "half": logits[: len(x) // 2],
            "few": logits[:, :1],
        }[self.form]


def of_any(outputs, labels):
    tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return tensor.square().mean()


@pytest.mark.parametrize(
    ("form", "loss", "message"),
    [
        (
            "pair",
            of_any,
            "ValueError: the output of the network for 40 rows is of type tuple; return a tensor",
        ),
        (
            "flat",
            of_any,
            "ValueError: the output of the network for 40 rows has shape (120,); return a tensor",
        ),
        ("halves", of_any, "ValueError: the output of the network for 40 rows has shape (20, 2, 3); return"),
        ("half", of_any, "ValueError: the output of the network for 40 rows has shape (20, 3); return"),
        ("half", None, "ValueError: Expected input batch_size (8) to match target batch_size (16)."),
        ("few", None, "IndexError: Target "),
    ],
)
def test_an_output_of_another_form_is_a_failed_training(form, loss, message):
    the_recipe = user_recipe(Shaped, score=None, loss=loss)
    for genomes in ([{"form": form, **rate} for rate in RATES], [{"form": form}]):
        for m in train_user_nets(the_recipe, genomes):
            assert m.failure.startswith(message)


def no_parameters():
    return nn.ReLU()


def frozen():
    return mlp(nn.ReLU()).requires_grad_(False)


def test_a_net_without_trained_parameters_is_a_failed_training():
    for m in train_user_nets(user_recipe(frozen), RATES) + train_user_nets(
        user_recipe(no_parameters), RATES[:1]
    ):
        assert m.failure.startswith("ValueError: the network has no parameter that is trained; ")


def smoothed(outputs, labels):
    return F.cross_entropy(outputs, labels, label_smoothing=0.8)


def smoothed_literally(outputs, labels):
    wanted = torch.full_like(outputs, 0.8 / USER_CLASSES)
    wanted[torch.arange(len(labels)), labels] += 0.2
    return -(wanted * outputs.log_softmax(1)).sum(1).mean()


def test_the_users_loss_is_trained_on():
    the_recipe = user_recipe(norm, loss=smoothed)
    for genome, m in zip(RATES, train_user_nets(the_recipe, RATES), strict=True):
        assert m.notes == ()
        expected = plain_loop(the_recipe, genome, loss=smoothed_literally)
        assert list(m.accuracy) == pytest.approx(expected, abs=2e-5)
        assert expected != pytest.approx(plain_loop(the_recipe, genome), abs=2e-4)


def mean_recall(outputs, labels):
    found = outputs.argmax(1) == labels
    return torch.stack([found[labels == label].double().mean() for label in labels.unique()]).mean()


def by_scikit_learn(outputs, labels):
    return balanced_accuracy_score(labels.numpy(), outputs.argmax(1).numpy())


@pytest.mark.parametrize("score", [mean_recall, by_scikit_learn])
def test_the_users_score_takes_the_place_of_accuracy(score):
    the_recipe = user_recipe(dropout, score=score)
    for genome, m in zip(RATES, train_user_nets(the_recipe, RATES), strict=True):
        assert list(m.accuracy) == pytest.approx(
            plain_loop(the_recipe, genome, score=by_scikit_learn), abs=1e-12
        )


def test_a_function_of_the_users_that_is_not_there_is_a_failed_training():
    for part in ("loss", "score"):
        for m in train_user_nets(replace(user_recipe(norm), **{part: f"{__name__}:lost"}), RATES[:2]):
            assert m.failure.startswith(f"UsageError: {__name__}:lost: there is no lost in ")
