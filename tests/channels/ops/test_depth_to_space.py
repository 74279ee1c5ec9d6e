"""DepthToSpace and SpaceToDepth: b * b channels for one, and back."""

import onnx
import pytest
from cutting import Analysed, analysed, initializers

from onnxtrim.channels import Code


def spread(attributes: str, share: int, opset: int = 17, batch: str = "N") -> Analysed:
    """Returns conv (3 * `share` channels) -> depth to space -> conv over 3 channels."""
    return analysed(
        f"(float[{batch},3,2,2] x) => (float[{batch},2,a,b] y)",
        f"""
        [first] h = Conv (x, w1)
        [spread] s = DepthToSpace <{attributes}> (h)
        [last] y = Conv (s, w2)
        """,
        opset=opset, w1=(3 * share, 3, 1, 1), w2=(2, 3, 1, 1),
    )  # fmt: skip


def stacked(blocksize: int, opset: int = 17) -> Analysed:
    """Returns conv (3 channels of 6 x 6) -> space to depth -> conv."""
    wide = 3 * blocksize**2
    return analysed(
        "(float[N,2,6,6] x) => (float[N,2,a,b] y)",
        f"""
        [first] h = Conv (x, w1)
        [stack] s = SpaceToDepth <blocksize = {blocksize}> (h)
        [last] y = Conv (s, w2)
        """,
        opset=opset, w1=(3, 2, 1, 1), w2=(2, wide, 1, 1),
    )  # fmt: skip


class TestDepthToSpace:
    """One channel of the result is made of b * b channels."""

    @pytest.mark.parametrize(
        ("attributes", "opset"),
        [
            ("blocksize = 2", 7),
            ("blocksize = 2", 11),
            ("blocksize = 2", 13),
            ('blocksize = 2, mode = "DCR"', 11),
            ('blocksize = 2, mode = "DCR"', 13),
        ],
    )
    def test_blocks_of_all_channels(self, attributes: str, opset: int) -> None:
        case = spread(attributes, 4, opset)
        assert case.pattern(("s", 1), ("h", 1), ("w2", 1)) == [
            [0, 1, 2],
            [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2],
            [0, 1, 2],
        ]
        before = initializers(case.model)
        after = initializers(case.cut(case.units("s", 1, 1)))
        assert after["w1"].tolist() == before["w1"][[0, 2, 3, 5, 6, 8, 9, 11]].tolist()
        assert after["w2"].tolist() == before["w2"][:, [0, 2]].tolist()

    @pytest.mark.parametrize("opset", [11, 13])
    def test_neighbours(self, opset: int) -> None:
        case = spread('blocksize = 2, mode = "CRD"', 4, opset)
        assert case.pattern(("s", 1), ("h", 1), ("w2", 1)) == [
            [0, 1, 2],
            [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2],
            [0, 1, 2],
        ]
        before = initializers(case.model)
        after = initializers(case.cut(case.units("h", 1, 5)))
        assert after["w1"].tolist() == before["w1"][[0, 1, 2, 3, 8, 9, 10, 11]].tolist()
        assert after["w2"].tolist() == before["w2"][:, [0, 2]].tolist()

    @pytest.mark.parametrize("mode", ["DCR", "CRD"])
    @pytest.mark.parametrize("blocksize", [1, 3])
    def test_other_sizes_of_blocks(self, blocksize: int, mode: str) -> None:
        share = blocksize**2
        case = spread(f'blocksize = {blocksize}, mode = "{mode}"', share, batch="2")
        assert case.sizes_after(case.units("s", 1, 0, 2)) == {
            "w1": (share, 3, 1, 1),
            "w2": (2, 1, 1, 1),
        }

    def test_space_and_batch_carry_nothing(self) -> None:
        case = spread("blocksize = 2", 4)
        assert [case.carries("s", axis) for axis in range(4)] == [False, True, False, False]

    @pytest.mark.parametrize("mode", ["DCR", "CRD"])
    def test_of_an_input_of_the_graph(self, mode: str) -> None:
        case = analysed(
            "(float[N,12,2,2] x) => (float[N,2,4,4] y)",
            f"""
            [spread] s = DepthToSpace <blocksize = 2, mode = "{mode}"> (x)
            [first] h = Conv (s, w1)
            m = Add (h, s)
            [last] y = Conv (m, w2)
            """,
            w1=(3, 3, 1, 1), w2=(2, 3, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: x is an input of the graph"


class TestSpaceToDepth:
    """Every channel comes b * b times."""

    @pytest.mark.parametrize("opset", [7, 13])
    def test_blocks_of_all_channels(self, opset: int) -> None:
        case = stacked(2, opset)
        assert case.pattern(("h", 1), ("s", 1)) == [
            [0, 1, 2],
            [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2],
        ]
        before = initializers(case.model)
        after = initializers(case.cut(case.units("h", 1, 1)))
        assert after["w1"].tolist() == before["w1"][[0, 2]].tolist()
        assert after["w2"].tolist() == before["w2"][:, [0, 2, 3, 5, 6, 8, 9, 11]].tolist()

    @pytest.mark.parametrize("blocksize", [1, 3])
    def test_other_sizes_of_blocks(self, blocksize: int) -> None:
        case = stacked(blocksize)
        assert case.sizes_after(case.units("h", 1, 0)) == {
            "w1": (2, 2, 1, 1),
            "w2": (2, 2 * blocksize**2, 1, 1),
        }

    def test_there_and_back(self) -> None:
        case = analysed(
            "(float[N,2,4,4] x) => (float[N,2,4,4] y)",
            """
            [first] h = Conv (x, w1)
            s = SpaceToDepth <blocksize = 2> (h)
            d = DepthToSpace <blocksize = 2> (s)
            [last] y = Conv (d, w2)
            """,
            w1=(3, 2, 1, 1), w2=(2, 3, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("d", 1)) == [[0, 1, 2]] * 2
        assert case.sizes_after(case.units("h", 1, 2)) == {
            "w1": (2, 2, 1, 1),
            "w2": (2, 2, 1, 1),
        }

    def test_there_and_back_in_rows_ties_them_all(self) -> None:
        # s holds 0 1 2 0 1 2 0 1 2 0 1 2, and four neighbours of it become one channel
        case = analysed(
            "(float[N,2,4,4] x) => (float[N,2,4,4] y)",
            """
            [first] h = Conv (x, w1)
            s = SpaceToDepth <blocksize = 2> (h)
            d = DepthToSpace <blocksize = 2, mode = "CRD"> (s)
            [last] y = Conv (d, w2)
            """,
            w1=(3, 2, 1, 1), w2=(2, 3, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("s", 1), ("d", 1)) == [[0] * 3, [0] * 12, [0] * 3]

    def test_of_an_input_of_the_graph(self) -> None:
        case = analysed(
            "(float[N,3,4,4] x) => (float[N,2,2,2] y)",
            """
            [stack] s = SpaceToDepth <blocksize = 2> (x)
            [deep] h = Conv <group = 12> (s, w1)
            [last] y = Conv (h, w2)
            """,
            w1=(12, 1, 1, 1), w2=(2, 12, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["deep"]
        assert (reason.code, reason.node) == (Code.GRAPH_INPUT, "")


@pytest.mark.parametrize(
    ("node", "case"), [("spread", spread("blocksize = 2", 4)), ("stack", stacked(2))]
)
def test_no_macs_and_no_weight(node: str, case: Analysed) -> None:
    assert case.macs(node, h=(1, 12, 2, 2), s=(1, 3, 4, 4)) == 0
    assert case.weights(node) == ()


@pytest.mark.skipif(
    onnx.defs.onnx_opset_version() < 28, reason="the installed onnx ends before operator set 28"
)
def test_since_opset_28_space_may_go_into_rows_of_channels() -> None:
    case = analysed(
        "(float[N,3,4,4] x) => (float[N,2,2,2] y)",
        """
        [first] h = Conv (x, w1)
        [stack] s = SpaceToDepth <blocksize = 2, mode = "CRD"> (h)
        [last] y = Conv (s, w2)
        """,
        opset=28, w1=(2, 3, 1, 1), w2=(2, 8, 1, 1),
    )  # fmt: skip
    assert case.pattern(("h", 1), ("s", 1)) == [[0, 1], [0, 0, 0, 0, 1, 1, 1, 1]]
