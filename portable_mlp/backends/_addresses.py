"""Numbers and functions at addresses, as compiled code uses them."""

from __future__ import annotations

from typing import Any

from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..kernels.arrays import Array
from ._numba_compiling import compiled_on_call


@intrinsic  # type: ignore[untyped-decorator]
def call_inner_loop(typing_context: Any, function: Any, operands: Any, lengths: Any, strides: Any, data: Any) -> Any:
    """Call an inner loop, ``void f(char **, npy_intp *, npy_intp *, void *)``, by its address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = cgutils.voidptr_t
        kind = cgutils.ir.FunctionType(cgutils.ir.VoidType(), [pointer] * 4)
        function, *others = arguments
        builder.call(
            builder.inttoptr(function, kind.as_pointer()), [builder.inttoptr(other, pointer) for other in others]
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any, like: Any) -> Any:
    """Return an address as a pointer to numbers of the type of ``like``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.int64, like), generate


@intrinsic  # type: ignore[untyped-decorator]
def address_of(typing_context: Any, array: Any) -> Any:
    """Return the address of an array's first element."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.int64))

    return types.int64(array), generate


@compiled_on_call
def matrix_at(address: int, n_rows: int, n_columns: int, like: float) -> Array:
    return carray(_pointer(address, like), (n_rows, n_columns))


@compiled_on_call
def vector_at(address: int, n: int, like: float) -> Array:
    return carray(_pointer(address, like), (n,))


@compiled_on_call
def number_at(address: int, like: float) -> float:
    return carray(_pointer(address, like), (1,))[0]
