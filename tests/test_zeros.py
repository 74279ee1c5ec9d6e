"""What may be asked of weight pruning."""

import pytest

from onnxtrim.errors import UsageError
from onnxtrim.zeros import Pattern, check_zeros, pattern_of


def test_a_pattern_is_read() -> None:
    assert pattern_of("2:4") == Pattern(2, 4)
    assert pattern_of("1:16") == Pattern(1, 16)


@pytest.mark.parametrize(
    "text", ["", "2", "2:", ":4", "2:5:1", "4:2", "2:2", "0:4", "-1:4", "2.0:4", "2:4 ", "a:b"]
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give N:M"):
        pattern_of(text)


def test_what_weight_pruning_does_anyway_may_be_said() -> None:
    check_zeros({"weights": 0.5, "criterion": "l1", "compensate": "none", "scope": "layer"})
    check_zeros({"ratio": 0.5, "criterion": "apoz"})


@pytest.mark.parametrize(
    ("name", "value", "option"),
    [("ratio", 0.5, "--ratio 0.5"), ("lossless", True, "--lossless"), ("align", 8, "--align 8")],
)
def test_channels_are_another_matter(name: str, value: object, option: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_zeros({"pattern": "2:4", name: value})
    assert str(caught.value).startswith(f"--pattern 2:4 and {option} contradict each other: ")
