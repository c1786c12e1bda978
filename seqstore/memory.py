"""Memory by its address, and numbers as bits, for compiled code: what numba has no words for."""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: Bytes that memory is read and written by.
LINE = 64
#: Numbers that `numbers_on_stack` has room for: one for each base of a line.
ON_STACK = 2 * LINE
#: What is so many bytes or more is written past the caches: it would not stay in them.
MUCH = 1 << 20


def _copy_bytes(_: Any, target: Any, source: Any, n: Any) -> Any:
    """Copy n bytes from one address to another: libc's memcpy, which no loop of numba's keeps up with."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, origin = (builder.inttoptr(place, ir.IntType(8).as_pointer()) for place in arguments[:2])
        cgutils.raw_memcpy(builder, to, origin, arguments[2], 1)  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


def _copy_line(_: Any, target: Any, source: Any, changes: Any, n: Any) -> Any:
    """Copy 64 bytes past the caches to a multiple of 64, changed in n places.

    At ``changes`` stand n numbers of 64 bits: 256 times which byte is changed, and what it is xored with.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source, changes, n = arguments
        i8, i64 = ir.IntType(8), ir.IntType(64)
        line = ir.VectorType(i8, LINE)
        numbers, nought = ir.Constant(line, list(range(LINE))), ir.Constant(line, [0] * LINE)
        changed = cgutils.alloca_once(builder, line)  # type: ignore[no-untyped-call]  # becomes a register
        builder.store(builder.load(builder.inttoptr(source, line.as_pointer()), align=1), changed)
        with cgutils.for_range(builder, n, intp=i64) as loop:
            place = builder.add(changes, builder.mul(loop.index, i64(8)))
            change = builder.load(builder.inttoptr(place, i64.as_pointer()))
            byte = _all(builder, builder.trunc(builder.lshr(change, i64(8)), i8), line)
            bits = _all(builder, builder.trunc(change, i8), line)
            here = builder.select(builder.icmp_unsigned("==", byte, numbers), bits, nought)
            builder.store(builder.xor(builder.load(changed), here), changed)
        _store_past_caches(builder, builder.load(changed), builder.inttoptr(target, line.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), generate


def _all(builder: Any, number: Any, vector: Any) -> Any:
    """A vector of one number."""
    i32 = ir.IntType(32)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), number, i32(0))
    return builder.shuffle_vector(
        single, single, ir.Constant(ir.VectorType(i32, vector.count), [0] * vector.count)
    )


def _store_past_caches(builder: Any, value: Any, target: Any) -> None:
    """Store at a multiple of 64 what nobody will read soon: memory is not read first to be overwritten."""
    store = builder.store(value, target, align=LINE)
    store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))


def _on_stack(_: Any) -> Any:
    """The address of 128 numbers of 64 bits that are there until the calling function returns."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        room = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(64), ON_STACK))  # type: ignore[no-untyped-call]
        return builder.ptrtoint(room, ir.IntType(64))

    return types.intp(), generate


def _prefetch(_: Any, address: Any) -> Any:
    """Ask for the memory at an address, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, i32, i32, i32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(function, [builder.inttoptr(arguments[0], pointer), i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(types.intp), generate


def _fence(_: Any) -> Any:
    """All that was written before is in memory for other threads before what is written next."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


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


def _spreader(bits: int, past_caches: bool) -> Any:
    """An intrinsic that writes 64 numbers of so many bits to an address: a given one where a bit is set, else 0.

    To write past the caches, the address is a multiple of 64.
    """

    def spread(_: Any, address: Any, word: Any, one: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            n = 8 * LINE // bits
            vector = ir.VectorType(ir.IntType(bits), n)
            ones = _all(builder, builder.trunc(arguments[2], ir.IntType(bits)), vector)
            for part in range(64 // n):
                shifted = builder.lshr(arguments[1], ir.IntType(64)(part * n))
                mask = builder.bitcast(builder.trunc(shifted, ir.IntType(n)), ir.VectorType(ir.IntType(1), n))
                place = builder.add(arguments[0], ir.IntType(64)(LINE * part))
                chosen = builder.select(mask, ones, ir.Constant(vector, [0] * n))
                target = builder.inttoptr(place, vector.as_pointer())
                if past_caches:
                    _store_past_caches(builder, chosen, target)
                else:
                    builder.store(chosen, target, align=1)
            return context.get_dummy_value()

        return types.void(types.intp, types.uint64, types.uint64), generate

    return intrinsic(spread)


copy_bytes: Any = intrinsic(_copy_bytes)
copy_line: Any = intrinsic(_copy_line)
fence: Any = intrinsic(_fence)
prefetch: Any = intrinsic(_prefetch)
numbers_on_stack: Any = intrinsic(_on_stack)
word_at: Any = intrinsic(_word_at)
reversed_bits: Any = intrinsic(_reversed_bits)
spread_16, spread_32 = _spreader(16, past_caches=False), _spreader(32, past_caches=False)
spread_16_past_caches, spread_32_past_caches = (
    _spreader(16, past_caches=True),
    _spreader(32, past_caches=True),
)
_pointer: Any = intrinsic(_pointer_to)
_carray: Any = numba.carray  # type: ignore[attr-defined]


@numba.njit(inline="always")
def array_at(address: int, n: int, dtype: Any) -> Any:  # pragma: no cover  (compiled)
    """The array of n numbers at an address."""
    return _carray(_pointer(address), n, dtype)
