"""`ir.Model` -> file, whole or not at all."""

import gzip
import importlib
import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from oracle import Arrays, assert_identical, proto_of, run
from test_load import external_in_a_body, told

from onnxtrim.errors import OutputError
from onnxtrim.graph import load, save
from onnxtrim.graph import save as save_function
from onnxtrim.graph.runtime import Runner
from onnxtrim.graph.save import (
    atomic_write,
    check_writable,
    compressed_bytes,
    refuse_overwriting,
    saved_bytes,
)

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N,30] x) => (float[N,40] y) {
    h = MatMul (x, w)
    y = Add (h, b)
}"""
RNG = np.random.default_rng(1)
WEIGHTS: Arrays = {
    "w": RNG.standard_normal((30, 40)).astype(np.float32),
    "b": RNG.standard_normal(40).astype(np.float32),
}
X = {"x": RNG.standard_normal((2, 30)).astype(np.float32)}
BYTES = 4 * (30 * 40 + 40)
"""What the weights take."""

MODULE = "onnxtrim.graph.save"


def model() -> ir.Model:
    return load(proto_of(TEXT, WEIGHTS))


def external_above(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Puts weights beside the model from `size` bytes on."""
    monkeypatch.setattr(importlib.import_module(MODULE), "EXTERNAL_BYTES", size)


class TestOneFile:
    """Small weights are in the file."""

    @pytest.mark.parametrize("kind", [str, Path])
    def test_round_trip(self, tmp_path: Path, kind: type) -> None:
        path = save(model(), kind(tmp_path / "out.onnx"))
        assert path == tmp_path / "out.onnx"
        assert os.listdir(tmp_path) == ["out.onnx"]
        assert onnx.load(path) == told(proto_of(TEXT, WEIGHTS))

    def test_its_size_is_known_before_it_is_written(self, tmp_path: Path) -> None:
        path = save(model(), tmp_path / "out.onnx")
        assert saved_bytes(model()) == path.stat().st_size

    def test_what_gzip_makes_of_it_is_known(self, tmp_path: Path) -> None:
        path = save(model(), tmp_path / "out.onnx")
        zipped = gzip.compress(path.read_bytes(), compresslevel=6)
        assert compressed_bytes(model()) == len(zipped) < path.stat().st_size

    def test_so_it_is_of_weights_beside_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = compressed_bytes(model())
        external_above(monkeypatch, BYTES - 1)
        assert compressed_bytes(model()) == pytest.approx(whole, rel=0.05)

    def test_its_size_is_known_where_the_weights_lie_elsewhere_or_were_not_read_yet(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "source").mkdir()
        onnx.save(
            proto_of(TEXT, WEIGHTS), tmp_path / "source" / "in.onnx",
            save_as_external_data=True, location="in.data", size_threshold=0,
        )  # fmt: skip
        source = load(tmp_path / "source" / "in.onnx")
        assert isinstance(source.graph.initializers["b"].const_value, ir.ExternalTensor)
        source.graph.initializers["w"].const_value = ir.LazyTensor(
            lambda: ir.Tensor(WEIGHTS["w"], name="w"),
            dtype=ir.DataType.FLOAT,
            shape=ir.Shape((30, 40)),
            name="w",
        )
        counted = saved_bytes(source)
        assert counted == save(source, tmp_path / "out.onnx").stat().st_size
        assert counted == save(model(), tmp_path / "plain.onnx").stat().st_size

    def test_its_size_counts_weights_in_the_body_of_an_if(self, tmp_path: Path) -> None:
        (tmp_path / "source").mkdir()
        source = load(external_in_a_body(tmp_path / "source"))
        counted = saved_bytes(source)
        assert counted == save(source, tmp_path / "out.onnx").stat().st_size

    def test_what_was_there_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "out.onnx"
        path.write_bytes(b"before")
        save(model(), path)
        assert onnx.load(path) == told(proto_of(TEXT, WEIGHTS))

    def test_at_the_threshold_it_is_one_file_still(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        external_above(monkeypatch, BYTES)
        save(model(), tmp_path / "out.onnx")
        assert os.listdir(tmp_path) == ["out.onnx"]

    def test_the_model_is_not_changed(self, tmp_path: Path) -> None:
        source = model()
        save(source, tmp_path / "out.onnx")
        assert ir.to_proto(source) == told(proto_of(TEXT, WEIGHTS))


class TestTwoFiles:
    """Large weights lie beside the model, under its name."""

    def test_round_trip(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        external_above(monkeypatch, BYTES - 1)
        path = save(model(), tmp_path / "out.onnx")
        assert sorted(os.listdir(tmp_path)) == ["out.onnx", "out.onnx.data"]
        again = load(path)
        tensor = again.graph.initializers["w"].const_value
        assert isinstance(tensor, ir.ExternalTensor)
        assert Path(tensor.path) == tmp_path / "out.onnx.data"
        assert tensor.numpy().tobytes() == WEIGHTS["w"].tobytes()
        assert path.stat().st_size < BYTES < (tmp_path / "out.onnx.data").stat().st_size + 400
        assert_identical(Runner(again, optimize=False)(X), run(proto_of(TEXT, WEIGHTS), X))

    def test_other_libraries_read_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        external_above(monkeypatch, 0)
        path = save(model(), tmp_path / "out.onnx")
        read = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
        assert {name: array.tolist() for name, array in read.items()} == {
            name: array.tolist() for name, array in WEIGHTS.items()
        }

    def test_in_place_of_itself(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        external_above(monkeypatch, 0)
        path = save(model(), tmp_path / "out.onnx")
        save(load(path), path)
        assert sorted(os.listdir(tmp_path)) == ["out.onnx", "out.onnx.data"]
        assert_identical(Runner(load(path), optimize=False)(X), run(proto_of(TEXT, WEIGHTS), X))

    def test_the_model_is_not_changed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        external_above(monkeypatch, 0)
        source = model()
        save(source, tmp_path / "out.onnx")
        assert ir.to_proto(source) == told(proto_of(TEXT, WEIGHTS))

    def test_small_again_it_stands_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        with monkeypatch.context() as patch:
            external_above(patch, 0)
            path = save(model(), tmp_path / "a" / "out.onnx")
        source = load(path)
        save(source, tmp_path / "b" / "out.onnx")
        assert os.listdir(tmp_path / "b") == ["out.onnx"]
        assert isinstance(source.graph.initializers["w"].const_value, ir.ExternalTensor)
        (tmp_path / "a" / "out.onnx.data").unlink()
        assert_identical(run(onnx.load(tmp_path / "b" / "out.onnx"), X), run(model(), X))

    def test_large_ones_that_lay_beside_the_original_do_so_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").mkdir()
        with monkeypatch.context() as patch:
            external_above(patch, 0)
            path = save(model(), tmp_path / "a" / "out.onnx")
        monkeypatch.setattr(importlib.import_module(MODULE), "LATE_BYTES", 0)
        save(model(), tmp_path / "one.onnx")
        save(load(path), tmp_path / "two.onnx")
        names = {"a", "one.onnx", "two.onnx", "two.onnx.data"}
        assert set(os.listdir(tmp_path)) == names
        assert saved_bytes(load(path)) >= BYTES
        assert_identical(
            Runner(load(tmp_path / "two.onnx"), optimize=False)(X), run(proto_of(TEXT, WEIGHTS), X)
        )

    def test_weights_in_the_body_of_an_if_come_along(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        path = save(load(external_in_a_body(tmp_path / "a")), tmp_path / "b" / "out.onnx")
        inputs = {"x": np.array([10, 20], np.float32), "c": np.array(False)}
        # the else branch takes (1, 2) off
        assert Runner(load(path))(inputs)["y"].tolist() == [9.0, 18.0]


class TestAtomicity:
    """A failure leaves what was there, and nothing else."""

    @pytest.mark.parametrize("external", [False, True])
    @pytest.mark.parametrize("before", [False, True])
    def test_a_weight_that_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool, external: bool
    ) -> None:
        def fail() -> ir.TensorProtocol:
            raise OSError(28, "No space left on device")

        if external:
            external_above(monkeypatch, 0)
        broken = model()
        broken.graph.initializers["w"].const_value = ir.LazyTensor(
            fail, dtype=ir.DataType.FLOAT, shape=ir.Shape((30, 40)), name="w"
        )
        path = tmp_path / "out.onnx"
        if before:
            path.write_bytes(b"before")
        with pytest.raises(OutputError) as caught:
            save(broken, path)
        assert str(caught.value) == (
            f"{path}: cannot be written (No space left on device); choose another"
        )
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == (
            {"out.onnx": b"before"} if before else {}
        )

    def test_an_error_that_is_no_one_elses_fault_stays_what_it_is(self, tmp_path: Path) -> None:
        def fail() -> ir.TensorProtocol:
            raise ZeroDivisionError("a bug")

        broken = model()
        broken.graph.initializers["w"].const_value = ir.LazyTensor(
            fail, dtype=ir.DataType.FLOAT, shape=ir.Shape((30, 40)), name="w"
        )
        with pytest.raises(Exception, match=r".") as caught:
            save(broken, tmp_path / "out.onnx")
        assert not isinstance(caught.value, OutputError)
        assert list(tmp_path.iterdir()) == []

    def test_the_weights_are_in_place_before_the_model_that_names_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        external_above(monkeypatch, 0)
        moved: list[str] = []
        replace = os.replace

        def note(source: Path | str, target: Path | str) -> None:
            if Path(target).parent == tmp_path:
                moved.append(Path(target).name)
            replace(source, target)

        monkeypatch.setattr(os, "replace", note)
        save(model(), tmp_path / "out.onnx")
        assert moved == ["out.onnx.data", "out.onnx"]

    def test_text_is_written_whole_as_utf_8(self, tmp_path: Path) -> None:
        path = atomic_write(tmp_path / "report.md", "größer\n")
        assert path.read_bytes() == b"gr\xc3\xb6\xc3\x9fer\n"
        assert os.listdir(tmp_path) == ["report.md"]

    def test_text_that_cannot_be_encoded_leaves_what_was_there(self, tmp_path: Path) -> None:
        path = tmp_path / "report.md"
        path.write_text("before")
        with pytest.raises(UnicodeEncodeError):
            atomic_write(path, "\ud800")
        assert [p.name for p in tmp_path.iterdir()] == ["report.md"]
        assert path.read_text() == "before"


WRITERS = [
    lambda path: save_function(model(), path),
    lambda path: atomic_write(path, "text"),
    check_writable,
]


@pytest.mark.parametrize("write", WRITERS, ids=["save", "atomic_write", "check_writable"])
class TestPlaces:
    """Where nothing can be written is said in one line, by every writer."""

    def refused(self, write: object, path: Path) -> str:
        with pytest.raises(OutputError) as caught:
            write(path)  # type: ignore[operator]
        return str(caught.value)

    def test_a_folder(self, write: object, tmp_path: Path) -> None:
        assert self.refused(write, tmp_path) == (
            f"{tmp_path}: is a folder; give the output a file name"
        )

    def test_in_no_folder(self, write: object, tmp_path: Path) -> None:
        path = tmp_path / "no" / "out.onnx"
        assert self.refused(write, path) == (
            f"{path}: the folder {tmp_path / 'no'} does not exist; make it first"
        )

    def test_in_a_file(self, write: object, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        path = tmp_path / "file" / "out.onnx"
        assert self.refused(write, path).startswith(f"{path}: the folder {path.parent} does not")

    def test_in_a_folder_that_not_even_root_can_write_to(
        self, write: object, tmp_path: Path
    ) -> None:
        if not Path("/proc/self").is_dir():
            pytest.skip("needs /proc, where nobody can make files")
        path = Path("/proc/out.onnx")
        assert self.refused(write, path).startswith(f"{path}: cannot be written (")

    def test_under_a_name_that_is_too_long(self, write: object, tmp_path: Path) -> None:
        path = tmp_path / ("x" * 300 + ".onnx")
        assert self.refused(write, path).startswith(f"{path}: cannot be written (")
        assert list(tmp_path.iterdir()) == []


class TestRefuseOverwriting:
    """What a run reads, it does not write over."""

    def test_an_input_however_it_is_spelt(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "folder").mkdir()
        (tmp_path / "link.onnx").symlink_to(tmp_path / "in.onnx")
        for spelling in ("in.onnx", "folder/../in.onnx", "link.onnx"):
            with pytest.raises(OutputError) as caught:
                refuse_overwriting([Path("out.onnx"), Path(spelling)], [tmp_path / "in.onnx"])
            assert str(caught.value) == (
                f"{spelling}: is an input of this run; give the output another name"
            )

    def test_another_file_is_no_matter(self, tmp_path: Path) -> None:
        refuse_overwriting([tmp_path / "out.onnx"], [tmp_path / "in.onnx", tmp_path])
        refuse_overwriting([], [tmp_path])


def test_a_trial_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    assert check_writable(str(path)) == path
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"before")
    check_writable(path)
    assert path.read_bytes() == b"before"
