"""Which errors say that memory ran out."""

from hebbevo.errors import UsageError
from hebbevo.training import ran_out_of_memory


def test_running_out_of_memory_is_recognised_by_the_cause_of_an_error_too():
    error = UsageError("mine:build raised MemoryError")
    error.__cause__ = MemoryError()
    assert ran_out_of_memory(error)
    assert not ran_out_of_memory(UsageError("mine:build raised ValueError"))
    assert not ran_out_of_memory(RuntimeError("no memory left"))
