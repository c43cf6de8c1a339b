"""Products by cuBLAS: its rules on an emulation that has the bindings' signatures, and a GPU where there is one."""

import re
import sys
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from nvmath import CudaDataType
from nvmath.bindings import cublas

import portable_mlp as pm
from portable_mlp.backends import _cublas
from portable_mlp.backends._cublas import Products, why_not
from tests.backends.emulated_cublas import DeviceArray, EmulatedCublas

RNG = np.random.default_rng(0)
EPS = {"float32": 2.0**-23, "tf32": 2.0**-10, "bfloat16": 2.0**-23, "float64": 2.0**-52}
STREAM, WORKSPACE = 7, (512, 1024)


def numbers(*shape: int, dtype: Any = "float32") -> np.ndarray:
    return RNG.normal(size=shape).astype(dtype)


def product(fake: EmulatedCublas, a: np.ndarray, b: np.ndarray, out: np.ndarray, **options: Any) -> np.ndarray:
    """Multiply into ``out``, which is full of NaN before."""
    out[...] = np.nan
    products = Products(STREAM, *WORKSPACE, bindings=fake)
    products.matmul(*map(DeviceArray, (a, b, out)), **options)
    products.close()
    return out


def assert_close(found: np.ndarray, a: np.ndarray, b: np.ndarray, eps: float) -> None:
    """Compare with the product in float64, to within the rounding of every term."""
    a, b = a.astype("float64"), b.astype("float64")
    bound = (a.shape[-1] + 2) * eps * np.matmul(abs(a), abs(b))
    assert found.shape == bound.shape
    assert (abs(found - np.matmul(a, b)) <= bound).all()


@pytest.mark.parametrize("models", [(), (3,)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_five_products_of_a_step(models: tuple[int, ...], dtype: str) -> None:
    """Weights and their gradients are views of one flat array, and all models share X."""
    fake, net = EmulatedCublas(), pm.Network((5, 4, 3))
    (W1, _), (W2, _) = pm.unpack(net, fake.array(numbers(*models, 39, dtype=dtype)))
    (dW1, _), (dW2, _) = pm.unpack(net, fake.array(numbers(*models, 39, dtype=dtype)))
    X = fake.array(numbers(6, 5, dtype=dtype))
    h, dh, z, dz = (fake.array(numbers(*models, 6, n, dtype=dtype)) for n in (4, 4, 3, 3))
    for a, b, out in [(X, W1, h), (h, W2, z), (h.mT, dz, dW2), (dz, W2.mT, dh), (X.T, dh, dW1)]:
        assert_close(product(fake, a, b, out), a, b, EPS[dtype])


lengths, margins = st.integers(1, 5), st.integers(0, 3)


@st.composite
def laid_out(draw: st.DrawFn, fake: EmulatedCublas, x: np.ndarray, may_be_columns: bool = True) -> np.ndarray:
    """Return a view with the numbers of ``x``, by rows or by columns, between which other numbers lie."""
    by_columns = may_be_columns and draw(st.booleans())
    lines = x.mT if by_columns else x
    models = [(0, 0)] * (x.ndim - 2)
    padded = fake.array(np.pad(lines, [*models, (0, draw(margins)), (0, draw(margins))], constant_values=np.inf))
    inner = padded[..., : lines.shape[-2], : lines.shape[-1]]
    return inner.mT if by_columns else inner


@st.composite
def multiplications(draw: st.DrawFn) -> tuple[EmulatedCublas, np.ndarray, np.ndarray, np.ndarray]:
    fake, dtype = EmulatedCublas(), draw(st.sampled_from(["float32", "float64"]))
    m, k, n = draw(lengths), draw(lengths), draw(lengths)
    with_models = draw(st.sampled_from(["", "a", "b", "ab"]))
    models = (draw(lengths),) if with_models else ()
    a = numbers(*(models if "a" in with_models else ()), m, k, dtype=dtype)
    b = numbers(*(models if "b" in with_models else ()), k, n, dtype=dtype)
    out = numbers(*models, m, n, dtype=dtype)
    return fake, draw(laid_out(fake, a)), draw(laid_out(fake, b)), draw(laid_out(fake, out, may_be_columns=False))


@given(multiplications())
def test_any_layout_by_rows_or_columns(multiplication: Any) -> None:
    fake, a, b, out = multiplication
    around = out.base.copy()
    assert_close(product(fake, a, b, out), a, b, EPS[out.dtype.name])
    assert fake.calls[3:-1] == ["gemm_ex" if out.ndim == 2 else "gemm_strided_batched_ex"]
    inside = np.zeros(around.shape, dtype=bool)
    inside[..., : out.shape[-2], : out.shape[-1]] = True
    np.testing.assert_array_equal(out.base[~inside], around[~inside])


@given(st.tuples(*[st.integers(-2, 2)] * 3), st.tuples(*[lengths] * 3), lengths, st.sampled_from(["a", "out"]))
def test_any_view_is_multiplied_rightly_or_refused(
    steps: tuple[int, int, int], shape: tuple[int, int, int], n: int, which: str
) -> None:
    """Views that go backwards, leave elements out, overlap, or repeat them."""
    fake = EmulatedCublas()
    memory = fake.array(numbers(2_000))
    strides = [4 * step * scale for step, scale in zip(steps, (50, 7, 1), strict=True)]
    x = view(memory[1_000:], shape, *strides)
    a, out = x, fake.array(numbers(*shape[:2], n))
    b = fake.array(numbers(shape[2], n))
    if which == "out":
        a, b, out = fake.array(numbers(*shape[:2], n)), fake.array(numbers(n, shape[2])), x
    try:
        product(fake, a, b, out)
    except ValueError:
        assert np.isnan(out).all()
        assert "gemm_strided_batched_ex" not in fake.calls
    else:
        assert_close(out, a, b, EPS["float32"])


def view(x: np.ndarray, shape: tuple[int, ...], *strides: int) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(x, shape, strides)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (1, 6, 6), (1, 1, 1)])
def test_axes_of_one_element_may_have_any_stride(shape: tuple[int, ...]) -> None:
    fake = EmulatedCublas()
    a, b = fake.array(numbers(*shape)), fake.array(numbers(shape[-1], 4))
    out = fake.array(numbers(*shape[:-1], 4))
    for any_stride in (0, -8, 3):
        strange_a, strange_out = (
            view(x, x.shape, *(any_stride if n == 1 else stride for n, stride in zip(x.shape, x.strides, strict=True)))
            for x in (a, out)
        )
        assert_close(product(fake, strange_a, b, strange_out), a, b, EPS["float32"])


@pytest.mark.parametrize(
    ("precision", "dtype", "compute_type"),
    [
        ("float32", "float32", "COMPUTE_32F"),
        ("tf32", "float32", "COMPUTE_32F_FAST_TF32"),
        ("float32", "float64", "COMPUTE_64F"),
    ],
)
def test_the_precision_is_the_one_asked_for(precision: str, dtype: str, compute_type: str) -> None:
    fake = EmulatedCublas()
    a, b, out = (fake.array(numbers(*shape, dtype=dtype)) for shape in ((30, 200), (200, 20), (30, 20)))
    product(fake, a, b, out, precision=precision)
    assert_close(out, a, b, EPS["float64" if dtype == "float64" else precision])
    assert fake.compute_types == [cublas.ComputeType[compute_type]]


@pytest.mark.parametrize("as_bits", [False, True])
def test_bfloat16_goes_in_and_float32_comes_out(as_bits: bool) -> None:
    fake = EmulatedCublas()
    a, b = (fake.array(numbers(*shape, dtype=ml_dtypes.bfloat16)) for shape in ((30, 200), (20, 200)))
    out = fake.array(numbers(30, 20))
    product(fake, *(x.view(np.uint16) if as_bits else x for x in (a, b.T)), out, precision="bfloat16")
    assert_close(out, a, b.T, EPS["bfloat16"])
    assert fake.compute_types == [cublas.ComputeType.COMPUTE_32F]


F32, F64, BF16 = np.dtype("float32"), np.dtype("float64"), np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize(
    ("a", "b", "out", "precision", "message"),
    [
        (F32, F32, F32, "fp32", r"precision must be one of 'float32', 'tf32', 'bfloat16'; got 'fp32'"),
        (
            F32,
            F64,
            F32,
            "float32",
            r"'float32' multiplies float32 and float32 into float32, got float32 and float64 into",
        ),
        (
            F64,
            F64,
            F64,
            "tf32",
            r"'tf32' multiplies float32 and float32 into float32, got float64 and float64 into float64",
        ),
        (F64, F64, F32, "float32", r"'float32' multiplies float64 and float64 into float64, got .* into float32"),
        (BF16, BF16, F32, "float32", r"'float32' multiplies float32 and float32 .*, got bfloat16 and bfloat16 into"),
        (
            BF16,
            BF16,
            BF16,
            "bfloat16",
            r"'bfloat16' multiplies bfloat16 and bfloat16 into float32, got .* into bfloat16",
        ),
    ],
)
def test_precisions_and_dtypes_that_do_not_fit(a: Any, b: Any, out: Any, precision: str, message: str) -> None:
    fake = EmulatedCublas()
    arrays = (fake.array(numbers(3, 3, dtype=dtype)) for dtype in (a, b, out))
    with pytest.raises(ValueError, match=message):
        product(fake, *arrays, precision=precision)


@pytest.mark.parametrize(
    ("a", "b", "out", "message"),
    [
        ((2, 3), (4, 5), (2, 5), r"out of shape \(2, 5\) cannot be the product of shapes \(2, 3\) and \(4, 5\)"),
        ((2, 3), (3, 5), (5, 2), "cannot be the product"),
        ((2, 3), (3, 5), (1, 2, 5), "cannot be the product"),
        ((4, 2, 3), (3, 5), (2, 5), "cannot be the product"),
        ((4, 2, 3), (3, 3, 5), (4, 2, 5), "cannot be the product"),
        ((1, 2, 3), (3, 3, 5), (3, 2, 5), "cannot be the product"),
        ((1, 2, 3), (3, 3, 5), (1, 2, 5), "cannot be the product"),
        ((3,), (3, 5), (5,), "cannot be the product"),
        ((1, 4, 2, 3), (3, 5), (1, 4, 2, 5), "cannot be the product"),
        ((2, 0), (0, 5), (2, 5), r"there is nothing to multiply in shapes \(2, 0\) and \(0, 5\)"),
        ((0, 3), (3, 5), (0, 5), "there is nothing to multiply"),
        ((0, 2, 3), (3, 5), (0, 2, 5), "there is nothing to multiply"),
    ],
)
def test_shapes_that_do_not_fit(a: Any, b: Any, out: Any, message: str) -> None:
    fake = EmulatedCublas()
    with pytest.raises(ValueError, match=message):
        product(fake, *(fake.array(numbers(*shape)) for shape in (a, b, out)))


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((3, 3), (48, 8)),  # every other column of every other row
        ((3, 3), (0, 4)),  # one row, three times
        ((3, 3), (8, 4)),  # rows that overlap
        ((3, 3), (-24, 4)),
        ((3, 3), (18, 4)),  # not whole elements from row to row
        ((2, 3, 3), (-36, 12, 4)),
        ((2, 3, 3), (38, 12, 4)),
    ],
)
def test_layouts_that_do_not_fit(shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    fake = EmulatedCublas()
    memory = fake.array(numbers(100))
    x, out = view(memory[50:], shape, *strides), fake.array(numbers(*shape))
    message = (
        rf"a must have contiguous rows or .*, got shape {re.escape(f'{shape} with strides of {strides}')} bytes; copy"
    )
    with pytest.raises(ValueError, match=message):
        product(fake, x, fake.array(numbers(3, 3)), out)
    with pytest.raises(ValueError, match="b must have contiguous rows or contiguous columns that do not overlap"):
        product(fake, fake.array(numbers(3, 3)), x, out)


@pytest.mark.parametrize(("shape", "strides"), [((3, 3), (4, 12)), ((2, 3, 3), (0, 12, 4)), ((2, 3, 3), (32, 12, 4))])
def test_results_that_have_no_room(shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    fake = EmulatedCublas()
    out = view(fake.array(numbers(100)), shape, *strides)
    message = r"out must have contiguous rows, and memory for each model, got shape .* with strides of .* bytes"
    with pytest.raises(ValueError, match=message):
        product(fake, fake.array(numbers(*shape)), fake.array(numbers(3, 3)), out)


def test_a_handle_is_made_bound_and_given_back_once() -> None:
    fake = EmulatedCublas()
    products = Products(STREAM, *WORKSPACE, bindings=fake)
    products.close()
    products.close()
    assert fake.calls == ["create", "set_stream", "set_workspace", "destroy"]


def test_a_handle_that_cannot_be_bound_is_given_back() -> None:
    fake = EmulatedCublas()
    with pytest.raises(AssertionError):
        Products(STREAM, 100, 1024, bindings=fake)
    assert fake.calls == ["create", "set_stream", "set_workspace", "destroy"]


@pytest.mark.parametrize("shape", [(2, 2), (3, 2, 2)])
def test_the_real_functions_take_our_arguments(shape: tuple[int, ...]) -> None:
    """They get as far as the missing driver; where there is one, as far as the handle, which was given back."""
    fake = EmulatedCublas()
    fake.gemm_ex, fake.gemm_strided_batched_ex = cublas.gemm_ex, cublas.gemm_strided_batched_ex  # type: ignore[method-assign]
    products = Products(STREAM, *WORKSPACE, bindings=fake)
    products.close()
    x = DeviceArray(numbers(*shape))
    with pytest.raises((RuntimeError, cublas.cuBLASError), match=r"CUDA driver is not found|NOT_INITIALIZED"):
        products.matmul(x, x, DeviceArray(numbers(*shape)))


def test_the_constants_are_nvidias() -> None:
    for name in ("CUDA_R_32F", "CUDA_R_64F", "CUDA_R_16BF"):
        assert getattr(_cublas, name) == CudaDataType[name]


def test_the_bindings_load_without_a_gpu() -> None:
    assert _cublas._bindings() is cublas
    # cuBLAS itself needs a driver.
    assert why_not() is None or str(why_not()).startswith("NVIDIA's bindings cannot load cuBLAS itself: ")


def test_missing_bindings_are_a_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cublas", None)
    assert str(why_not()).startswith("NVIDIA's bindings of cuBLAS cannot be loaded: ")
    assert str(why_not()).endswith("; pip install nvmath-python")
    with pytest.raises(ImportError):
        Products(STREAM, *WORKSPACE)


@pytest.fixture
def cupy() -> Iterator[Any]:
    import cupy

    with pm.get_backend("cupy").running():
        yield cupy


@pytest.mark.gpu("cupy")
@pytest.mark.parametrize("models", [(), (3,)])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float64"])
@pytest.mark.parametrize("captured", [False, True])
def test_on_a_gpu(cupy: Any, models: tuple[int, ...], precision: str, captured: bool) -> None:
    """Beside CuPy's own products in float64, enqueued and from a graph."""
    dtype = {"float64": "float64", "bfloat16": ml_dtypes.bfloat16}.get(precision, "float32")
    on_host = numbers(*models, 20, 300), numbers(300, 10)
    a, b = (cupy.asarray(x.astype(dtype)) for x in on_host)
    out = cupy.full((*models, 20, 10), cupy.nan, dtype="float64" if precision == "float64" else "float32")
    swapped = cupy.full((*models, 10, 20), cupy.nan, dtype=out.dtype)
    workspace, stream = cupy.empty(32 << 20, dtype="uint8"), cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.get_current_stream().synchronize()
    products = Products(stream.ptr, workspace.data.ptr, workspace.nbytes)
    options = {} if precision == "float64" else {"precision": precision}
    with stream:
        if captured:
            products.matmul(a, b, out, **options)  # loads the kernels
            stream.synchronize()
            stream.begin_capture()
        products.matmul(a, b, out, **options)
        products.matmul(b.T, a.swapaxes(-1, -2), swapped, **options)
        if captured:
            graph = stream.end_capture()
            for x in (out, swapped):
                x.fill(cupy.nan)
            graph.launch()
        stream.synchronize()
    products.close()
    for found, x, y in ((out, a, b), (swapped, b.T, a.swapaxes(-1, -2))):
        x, y = (z.astype("float64") for z in (x, y))
        cupy.testing.assert_allclose(found, cupy.matmul(x, y), rtol=0, atol=32 * np.sqrt(300) * EPS[precision])
