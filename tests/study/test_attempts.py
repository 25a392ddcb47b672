"""Failed attempts as JSON and back."""

import json

from hebbevo.study.attempts import FailedAttempt, FailureKind, Recovery

ATTEMPT = FailedAttempt((4, 5), FailureKind.MEMORY, "no room: ä", "process 7", 0.1 + 0.2, Recovery.IN_HALVES)


def test_a_failed_attempt_has_the_keys_of_earlier_versions_and_comes_back() -> None:
    plain = json.loads(json.dumps(ATTEMPT.to_json()))
    assert plain == {
        "trials": [4, 5],
        "fault": "memory",
        "reason": "no room: ä",
        "worker": "process 7",
        "seconds": 0.1 + 0.2,
        "then": "in halves",
    }
    assert FailedAttempt.from_json(plain) == ATTEMPT
