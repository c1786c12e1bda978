"""Memory by its address, and numbers as bits, for compiled code: what numba has no words for."""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _copy_bytes(_: Any, target: Any, source: Any, n: Any) -> Any:
    """Copy n bytes from one address to another: libc's memcpy, which no loop of numba's keeps up with."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, origin = (builder.inttoptr(place, ir.IntType(8).as_pointer()) for place in arguments[:2])
        cgutils.raw_memcpy(builder, to, origin, arguments[2], 1)  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


def _pointer_to(_: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.intp), generate


def _word_at(_: Any, address: Any) -> Any:
    """The 8 bytes at an address, as one number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))
        loaded.align = 1
        return loaded

    return types.uint64(types.intp), generate


def _reversed_bits(_: Any, word: Any) -> Any:
    """The bits of a number in the opposite order."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        i64 = ir.IntType(64)
        function = builder.module.declare_intrinsic("llvm.bitreverse", [i64], ir.FunctionType(i64, [i64]))
        return builder.call(function, arguments)

    return types.uint64(types.uint64), generate


def _spreader(bits: int) -> Any:
    """An intrinsic that writes 64 numbers of so many bits to an address: a given one where a bit is set, else 0."""

    def spread(_: Any, address: Any, word: Any, one: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            i32, n = ir.IntType(32), 512 // bits
            vector = ir.VectorType(ir.IntType(bits), n)
            single = builder.insert_element(
                ir.Constant(vector, ir.Undefined), builder.trunc(arguments[2], ir.IntType(bits)), i32(0)
            )
            ones = builder.shuffle_vector(single, single, ir.Constant(ir.VectorType(i32, n), [0] * n))
            for part in range(64 // n):
                shifted = builder.lshr(arguments[1], ir.IntType(64)(part * n))
                mask = builder.bitcast(builder.trunc(shifted, ir.IntType(n)), ir.VectorType(ir.IntType(1), n))
                place = builder.add(arguments[0], ir.IntType(64)(64 * part))
                chosen = builder.select(mask, ones, ir.Constant(vector, [0] * n))
                builder.store(chosen, builder.inttoptr(place, vector.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(types.intp, types.uint64, types.uint64), generate

    return intrinsic(spread)


copy_bytes: Any = intrinsic(_copy_bytes)
word_at: Any = intrinsic(_word_at)
reversed_bits: Any = intrinsic(_reversed_bits)
spread_16, spread_32 = _spreader(16), _spreader(32)
_pointer: Any = intrinsic(_pointer_to)
_carray: Any = numba.carray  # type: ignore[attr-defined]


@numba.njit(inline="always")
def array_at(address: int, n: int, dtype: Any) -> Any:  # pragma: no cover  (compiled)
    """The array of n numbers at an address."""
    return _carray(_pointer(address), n, dtype)
