import pytest

from hebbevo.errors import SpaceError
from hebbevo.space import (
    ChoiceGene,
    FloatGene,
    IntGene,
    Space,
    problems,
)


@pytest.mark.parametrize(
    ("parent", "value", "fragment"),
    [
        (ChoiceGene("p", ("x", "y")), "z", "p is never z"),
        (ChoiceGene("p", (False, True)), 1, "p is never 1"),
        (IntGene("p", 0, 10, step=2), 3, "p is never 3"),
        (FloatGene("p", 0.0, 1.0), 0.5, "p is a real number"),
    ],
)
@pytest.mark.parametrize("possible", [(), (0,), ("x",)])
def test_a_condition_that_cannot_be_met_is_refused(parent, value, fragment, possible):
    values = (*filter(parent.contains, possible), value)
    with pytest.raises(SpaceError, match=r"^a\.when\.p: ") as caught:
        Space((IntGene("a", 0, 1, when=(("p", values),)), parent))
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("values", "fragment"), [((), "there is no value; "), ((1, 0, 1), "1 stands here twice; drop one")]
)
def test_a_condition_names_each_value_once_and_at_least_one(values, fragment):
    with pytest.raises(SpaceError, match=r"^a\.when\.p: ") as caught:
        Space((IntGene("a", 0, 1, when=(("p", values),)), IntGene("p", 0, 1)))
    assert fragment in str(caught.value)


def test_conditions_in_a_circle_are_refused():
    ring = [IntGene(name, 0, 1, when=((other, (1,)),)) for name, other in ("ab", "bc", "ca")]
    with pytest.raises(SpaceError, match=r"a\.when: the conditions go in a circle \(\w > \w > \w > \w\)"):
        Space(tuple(ring))


def test_all_problems_between_genes_are_found_in_their_order():
    genes = [
        IntGene("a", 0, 1, when=(("a", (1,)),)),
        IntGene("b", 0, 1, when=(("x", (1,)), ("a", (7,)))),
    ]
    assert [(p.gene, p.path) for p in problems(genes, {})] == [
        ("a", ("when",)),
        ("b", ("when", "x")),
        ("b", ("when", "a")),
    ]
