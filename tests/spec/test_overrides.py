from pathlib import Path

import numpy as np
import pytest

from hebbevo.errors import SpaceError
from hebbevo.spec import override, read, spec_from_json
from tests.spec.conftest import MINIMAL


def test_an_option_replaces_what_is_given_and_keeps_the_rest(good):
    changed = override(
        good, trials=7, seed=3, population=8, replicates=2, epochs=5, dataset="x.csv", target="y"
    )
    expected = good.to_json()
    expected["search"] |= {"trials": 7, "seed": 3, "population": 8, "replicates": 2}
    expected["task"] |= {"epochs": 5, "dataset": "x.csv", "target": "y"}
    assert changed.to_json() == expected
    assert override(good) == good and good.search.trials == 500


def test_another_sampler_does_not_get_the_settings_of_the_first(written):
    spec = read(written(MINIMAL + "search: {sampler: ga, settings: {mutation_eta: 3}}\n"))
    assert override(spec, sampler="ga").search.settings == {"mutation_eta": 3}
    assert override(spec, sampler="annealing").search.settings == {}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"trials": 0}, "--trials: 0 is too small; write a whole number of 1 or more"),
        ({"seed": -1}, "--seed: -1 is too small; write a whole number from 0 to 2147483647"),
        ({"population": 3}, "--population: 3 is too small; write a whole number of 4 or more"),
        ({"replicates": 0}, "--replicates: 0 is too small; write a whole number of 1 or more"),
        ({"epochs": 0}, "--epochs: 0 is too small; write a whole number of 1 or more"),
        ({"sampler": "gaa"}, "--sampler: 'gaa' is not a sampler; write ga; known: "),
        ({"dataset": "digit"}, "--data: 'digit' is not a data set; write digits; known: "),
        ({"dataset": "x.csv"}, "--target: missing; write the name of the column to predict"),
    ],
)
def test_a_bad_option_is_one_line_that_names_it(good, options, text):
    with pytest.raises(SpaceError) as caught:
        override(good, **options)
    assert str(caught.value).startswith(text)
    assert str(caught.value).isprintable()


def test_a_setting_that_does_not_exist_is_refused(good):
    with pytest.raises(TypeError, match="unexpected keyword argument 'trails'"):
        override(good, trails=7)


def test_a_data_set_that_the_file_names_is_not_blamed_on_the_option(good):
    data = good.to_json()
    data["task"]["dataset"] = "gone"
    recorded = spec_from_json(data)
    with pytest.raises(SpaceError, match=r"^task\.dataset: 'gone' is not a data set; "):
        override(recorded, trials=7)


def test_numbers_of_numpy_and_paths_count_as_what_they_hold(good):
    changed = override(good, trials=np.int64(7), dataset=Path("data/x.npz"), halving=np.True_)
    assert changed == override(good, trials=7, dataset="data/x.npz", halving=True)


def test_a_gene_whose_name_is_no_text_is_refused(good):
    with pytest.raises(SpaceError, match=r"search.start.0.3: a key is text; write '3'"):
        override(good, start=[{3: 1}])
