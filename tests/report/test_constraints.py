"""The intervals of an axis that are outside the constraints."""

from hebbevo.objectives.goal import Goal
from hebbevo.report.constraints import outside, survivors_axis


def test_the_intervals_outside_the_limits_are_those_of_the_drawn_axis(small):
    def shaded(low, high, values):
        frame = small.record.frame.iloc[: len(values)].assign(
            state="complete", accuracy=0.5, survivors=values
        )
        study = small.but(frame=frame, goal=Goal(constraints={"survivors": (low, high)}))
        return outside(study, "survivors", survivors_axis(study))

    linear = survivors_axis(small.but(frame=small.record.frame.iloc[:1].assign(survivors=200.0)))
    assert shaded(None, 220, [200.0]) == [(220, linear.high)]
    assert shaded(210, 220, [200.0]) == [(linear.low, 210), (220, linear.high)]
    assert shaded(0, None, [200.0, 1.0, 0.0]) == [(0.4, 0.5)]  # a log axis: left of 0, which is at 0.5
    assert shaded(None, 1e6, [200.0]) == []  # nothing on the axis is above
    ((low, high),) = shaded(None, 2, [200.0])  # on the axis although no trial is near
    assert low == 2 and high > 256
