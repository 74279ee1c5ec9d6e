"""Curves as a picture, read back from its bytes."""

import sys
import xml.etree.ElementTree as ET
from io import BytesIO

import pytest
from documents import CURVES, sensitivity
from PIL import Image

from onnxtrim.errors import UsageError
from onnxtrim.report import Curve, CurvePoint
from onnxtrim.report.plot import plotted, require_plotting

SVG = "{http://www.w3.org/2000/svg}"


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    with pytest.raises(UsageError) as caught:
        require_plotting()
    assert str(caught.value) == "--plot takes matplotlib: pip install 'onnxtrim[plot]'"


class TestPicture:
    """`plotted`, where matplotlib is there."""

    @pytest.fixture(autouse=True)
    def needed(self) -> None:
        pytest.importorskip("matplotlib")
        require_plotting()

    def lines(self, *curves: Curve) -> list[list[tuple[float, float]]]:
        """Returns the corners of every line, in points of the picture, those of groups first."""
        root = ET.fromstring(plotted(sensitivity(curves=curves), "svg"))
        found = []
        for group in root.iter(f"{SVG}g"):
            if group.get("id", "").startswith("line2d"):
                for path in group.findall(f"{SVG}path"):
                    words = path.get("d", "").replace("M", "").replace("L", "").split()
                    figures = [float(word) for word in words]
                    found.append(list(zip(figures[::2], figures[1::2], strict=True)))
        return found

    def test_a_png(self) -> None:
        data = plotted(sensitivity(), "png")
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        with Image.open(BytesIO(data)) as picture:
            picture.load()
            assert min(picture.size) > 400
            assert picture.convert("L").getextrema() == (0, 255)

    def test_an_svg(self) -> None:
        data = plotted(sensitivity(), "svg")
        assert data.startswith(b"<?xml")
        assert ET.fromstring(data).tag == f"{SVG}svg"

    def test_a_line_starts_at_the_whole_model(self) -> None:
        """From none removed at 0.99, by 9 of 20 at 0.9875, to 18 of 20 at 0.5."""
        drawn = next(line for line in self.lines(CURVES[0]) if len(line) == 3)
        (x0, y0), (x1, y1), (x2, y2) = drawn
        assert x0 < x1 < x2
        assert (x1 - x0) / (x2 - x0) == pytest.approx(0.5, abs=1e-3)
        assert (y1 - y0) / (y2 - y0) == pytest.approx(0.0025 / 0.49, abs=1e-3)
        assert y2 > y0  # downwards

    def test_the_share_and_not_the_count_is_what_lines_share(self) -> None:
        wide = Curve("wide", 200, (CurvePoint(90, 0, 0.98, 0), CurvePoint(180, 0, 0.4, 0)))
        first, second = [line for line in self.lines(CURVES[0], wide) if len(line) == 3][:2]
        assert first != second
        assert [x for x, _ in first] == pytest.approx([x for x, _ in second], abs=1e-3)

    def test_many_groups_make_it_taller(self) -> None:
        many = tuple(Curve(f"layer{n}", 20, CURVES[0].points) for n in range(60))
        heights = []
        for curves in (CURVES, many):
            with Image.open(BytesIO(plotted(sensitivity(curves=curves), "png"))) as picture:
                heights.append(picture.size[1])
        assert heights[1] > 1.5 * heights[0]
