from hypothesis import strategies as st

from hebbevo.space import (
    ChoiceGene,
    FloatGene,
    IntGene,
    Space,
    expanded,
)

UNIT = st.floats(0, 1)


NESTED = Space(
    (
        FloatGene("size", 1.0, 2.0, when=(("kind", ("big",)), ("extra", (True,)))),
        ChoiceGene("kind", ("small", "big")),
        ChoiceGene("extra", (False, True), when=(("kind", ("big",)),)),
        IntGene("depth", 1, 3),
        FloatGene("rate", 1e-3, 1e-1, log=True, when=(("depth", (2, 3)),)),
    )
)


WRITTEN = (
    IntGene("width", 4, 64, log=True),
    IntGene("depth", 1, 3),
    ChoiceGene("rule", ("plastic", "plain")),
    ChoiceGene("birth", ("fresh", "old"), when=(("rule", ("plastic",)),)),
    IntGene("grace", 0, 50, when=(("birth", ("fresh",)), ("depth", (1, 3)))),
)


REPEATS = {"width": "depth", "birth": "depth", "grace": "depth"}


LAYERED = Space(expanded(WRITTEN, REPEATS))
