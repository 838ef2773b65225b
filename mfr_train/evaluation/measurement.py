"""A measured number with its interval, as a report gives it."""

from __future__ import annotations

from typing import Any


class Measurement(float):
    """A measured number: a `float` that knows its 95 % interval.

    Attributes:
        interval: The lower and the upper end of the 95 % interval over subjects. None if there is none: fewer than
            three subjects, or `bootstrap=0`.
        threshold: The score at which a rate was read. None for AUC and means; infinity if nothing matches.
        few_errors: Whether fewer than 30 expected errors are behind the number.

    Example:
        >>> eer = Measurement(0.25, interval=(0.2, 0.3125))
        >>> eer
        0.25 [0.2, 0.3125]
        >>> f"{eer:.1%}", eer.value, eer.interval
        ('25.0%', 0.25, (0.2, 0.3125))
    """

    interval: tuple[float, float] | None
    threshold: float | None
    few_errors: bool

    def __new__(
        cls,
        value: float,
        interval: tuple[float, float] | None = None,
        threshold: float | None = None,
        few_errors: bool = False,
    ) -> Measurement:
        made = super().__new__(cls, value)
        made.interval, made.threshold, made.few_errors = interval, threshold, few_errors
        return made

    @property
    def value(self) -> float:
        """The number alone."""
        return float(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Measurement, (self.value, self.interval, self.threshold, self.few_errors)

    def __repr__(self) -> str:
        ends = "" if self.interval is None else f" [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"
        return f"{self.value:.4g}{ends}"
