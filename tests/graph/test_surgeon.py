"""Graphs of onnx-graphsurgeon go in and come out."""

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from oracle import assert_close, assert_identical, run
from topologies import TOPOLOGIES

import onnxtrim
from onnxtrim.graph import SurgeonGraph, load, to_graphsurgeon

X = {"x": np.random.default_rng(5).standard_normal((2, 3, 16, 16)).astype(np.float32)}


def network() -> onnx.ModelProto:
    return TOPOLOGIES["ResNet, BN folded"].model()


def test_a_graph_is_taken_for_one() -> None:
    assert isinstance(gs.import_onnx(network()), SurgeonGraph)
    assert not isinstance(network(), SurgeonGraph)
    assert not isinstance(load(network()), SurgeonGraph)


def test_a_prune_of_a_graph_comes_back_as_a_graph() -> None:
    graph = gs.import_onnx(network())
    before = gs.export_onnx(graph, do_type_check=False)
    options: dict[str, Any] = {"ratio": 0.5, "align": "none", "scope": "layer", "criterion": "l1"}
    result = onnxtrim.prune(graph, **options)
    same = onnxtrim.prune(network(), **options)
    assert result.plan.initializers == same.plan.initializers
    thinner = to_graphsurgeon(result.model)
    assert thinner.tensors()["w0a"].shape == [16, 16, 3, 3]
    assert [node.op for node in thinner.nodes] == [node.op for node in graph.nodes]
    assert_close(run(gs.export_onnx(thinner), X), run(same.model, X), rtol=1e-6)
    assert gs.export_onnx(graph, do_type_check=False) == before


def test_what_is_loaded_computes_the_same() -> None:
    assert_identical(run(load(gs.import_onnx(network())), X), run(network(), X))


def test_a_graph_that_cannot_be_exported_is_one_line() -> None:
    graph = gs.import_onnx(network())
    graph.nodes[0].attrs["pads"] = object()
    with pytest.raises(onnxtrim.ModelError, match="onnx-graphsurgeon cannot export it"):
        load(graph)


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:  # noqa: ANN401 - as the function it stands for
        if name == "onnx_graphsurgeon":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(onnxtrim.UsageError, match=r"pip install 'onnxtrim\[graphsurgeon\]'"):
        to_graphsurgeon(load(network()))
