import json

from hebbevo.spec.json_schema import json_schema


def test_the_schema_is_printed_as_json(run) -> None:
    code, out, err = run("schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == json_schema()
