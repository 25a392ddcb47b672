"""Values as texts."""

import numpy as np
import pandas as pd
import pytest

from hebbevo.report.formatting import NONE, gene_value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((16, "16"), (np.int64(16), "16"), (1_234_567, "1234567"), (16.0, "16"), (0.123456, "0.1235")),
        *((True, "true"), (np.False_, "false"), ("16", "16"), (None, NONE), (pd.NA, NONE), (np.nan, NONE)),
    ],
)
def test_a_gene_is_written_as_in_a_space_file(value, text):
    assert gene_value(value) == text
