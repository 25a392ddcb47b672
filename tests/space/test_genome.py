import itertools

import numpy as np

from hebbevo.space import (
    ChoiceGene,
    canonical,
    same,
)


def test_one_is_not_true():
    assert not same(1, True) and not same(False, 0.0) and same(1, 1.0) and same("a", "a")
    assert ChoiceGene("x", (True, 1)).to_unit(1) == 0.75
    assert not ChoiceGene("x", (False, True)).contains(1)


def test_the_canonical_text_does_not_know_the_order_of_the_genes():
    genome = {"b": 0.1 + 0.2, "a": True, "c": "é", "d": 3}
    texts = {canonical(dict(order)) for order in itertools.permutations(genome.items())}
    assert texts == {'{"a":true,"b":0.30000000000000004,"c":"\\u00e9","d":3}'}


def test_the_canonical_text_tells_types_apart():
    assert len({canonical({"a": value}) for value in (1, 1.0, True, "1")}) == 4
    assert canonical({"a": np.float64(0.1)}) == canonical({"a": 0.1})
