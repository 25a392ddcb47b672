import pytest

from hebbevo.spec import OPTIONS, Overrides
from hebbevo.spec.schema import PARTS


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_overrides_a_setting_that_space_files_have(name: str) -> None:
    assert name in PARTS[(OPTIONS[name].part,)].model_fields


def test_an_option_has_the_name_and_the_type_of_its_setting() -> None:
    found = {name: (option.flag, option.kind) for name, option in OPTIONS.items()}
    assert found["trials"] == ("--trials", int)
    assert found["timeout"] == ("--timeout", str)  # 90 and 1h30m alike
    assert found["dataset"] == ("--data", str)
    assert found["halving"] == ("--halving", bool)


def test_the_help_of_the_overrides_lists_every_option() -> None:
    for name, option in OPTIONS.items():
        assert f"    {name}: {option.help}" in (Overrides.__doc__ or "")
