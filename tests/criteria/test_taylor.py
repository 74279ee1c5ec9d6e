"""The Taylor expansion: what it says until gradients can be measured."""

import pytest
from views import STREAM, STREAM_WEIGHTS, view_of

from onnxtrim.criteria.base import Needs
from onnxtrim.criteria.taylor import Taylor
from onnxtrim.errors import UsageError


def test_it_says_that_gradients_cannot_be_measured_and_what_to_choose() -> None:
    with pytest.raises(UsageError) as caught:
        Taylor().score(view_of(STREAM, STREAM_WEIGHTS, "stem"))
    assert str(caught.value) == (
        "--criterion taylor takes gradients, which this version cannot measure; choose "
        "reconstruction, which needs none"
    )


def test_it_takes_data() -> None:
    assert Taylor.needs.data
    assert Needs.GRADIENTS in Taylor.needs
