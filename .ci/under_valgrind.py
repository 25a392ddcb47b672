"""Short trainings by the native engine, of every rule that it computes: what `.ci/valgrind` watches.

They are those of the engine's tests without the PyTorch oracle, which would take valgrind hours.
"""

from dataclasses import replace

from hebbevo.training import Candidate, train
from hebbevo.training.recipe import NATIVE
from tests.training.conftest import CPU, SGD, problem, recipe
from tests.training.native_cohorts import CONNECTIONS, RULES, of_connections, of_rule

base = recipe((23, 17), epochs=2, batch_size=45, settle=0.2, target=9)
wide = recipe((70, 3, 41), inputs=True, epochs=2, batch_size=32)
recipes = [(rule, of_rule(base, rule, knobs)) for rule, knobs in RULES]
recipes += [
    (f"{rule}, {units}", of_connections(base, rule, knobs, units)) for rule, knobs, units in CONNECTIONS
]
recipes += [("stamina of inputs too", wide)]
genomes = [{"learning_rate": 3e-3, "weight_decay": 0.1}, SGD]
for name, the_recipe in recipes:
    found = train(replace(the_recipe, engine=NATIVE), [*map(Candidate, genomes)], problem(), CPU)
    assert all(each.failure is None for each in found), (name, found)
    print(f"{name}: {[each.layers for each in found]} units are left", flush=True)
