"""LLVM vector instructions for the kernels: matrix tiles, the gates forward and backward, copies.

Each function here writes instructions where a compiled function of `kernel.py` calls it, because the compiler's
own vectorizer does not keep a whole tile in registers.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neurallib.recurrence.compiling import LANES, TALL

_FLOAT, _INDEX = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_BITS, _POINTER = ir.VectorType(ir.IntType(32), LANES), _FLOAT.as_pointer()

# Rows of a tile: its numbers of vectors, the widest first.
TILES = {1: (6, 2, 1), 2: (6, 2, 1), 4: (4 if TALL == 8 else 3, 2, 1), TALL: (3, 2, 1)}


def make_tiles(adjacent: bool) -> Any:
    """Products of some rows of A with some vectors of columns of B, as TILES has them, accumulated in registers.

    C[m, v] = start[m, v] + sum over k of A[m, k] * B[k, v]. a, b, start and c are addresses, the others strides: A by m
    and k, B by v and k, start and C by m; vectors of start and C are adjacent. `adjacent`: A is too by k, and B.
    """

    @intrinsic
    def tiles(typing, rows, vectors, count, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m):
        """`count` tiles, one below the other."""

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            emit = Emitter(context, builder, signature, args)
            rows, vectors, count, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m = emit.args
            end = builder.append_basic_block("tiles.end")
            which = builder.switch(builder.add(emit.times(16, rows), vectors), end)
            for height, widths in TILES.items():
                for width in widths:
                    block = builder.append_basic_block(f"tiles.{height}.{width}")
                    which.add_case(emit.index(16 * height + width), block)
                    builder.position_at_end(block)
                    # opaque: what one tile needs would be worked out before it is known which will run
                    by_a, by_b, by_s, by_c = (emit.opaque(stride) for stride in (a_m, b_v, s_m, c_m))
                    steps = (emit.index(1), emit.lanes(1)) if adjacent else (emit.opaque(a_k), emit.opaque(b_k))
                    with cgutils.for_range(builder, count, intp=_INDEX) as tile:
                        done = emit.times(4 * height, tile.index)
                        a_, s_, c_ = (
                            builder.inttoptr(builder.add(first, builder.mul(done, stride)), _POINTER)
                            for first, stride in ((a, by_a), (start, by_s), (c, by_c))
                        )
                        b_ = builder.inttoptr(b, _POINTER)
                        _tile(emit, height, width, a_, by_a, steps[0], b_, by_b, steps[1], depth, s_, by_s, c_, by_c)
                    builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(rows, vectors, count, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m), codegen

    return tiles


def _tile(emit, rows, vectors, a, a_m, a_k, b, b_v, b_k, depth, start, s_m, c, c_m):
    """A product of `rows` rows with `vectors` vectors of columns, as `make_tiles` tells it."""
    builder = emit.builder
    cells = [(m, v) for m in range(rows) for v in range(vectors)]
    row_of_a = [emit.at(a, emit.times(m, a_m)) for m in range(rows)]
    column_of_b = [emit.opaque(emit.at(b, emit.times(v, b_v))) for v in range(vectors)]
    # registers, once optimized; small tiles sum in several chains, because an addition waits for the last one
    chains = max(1, 12 // len(cells))
    sums = [{cell: cgutils.alloca_once(builder, _VECTOR) for cell in cells} for _ in range(chains)]
    for m, v in cells:
        emit.store(emit.load(emit.at(start, emit.times(m, s_m), emit.lanes(v))), sums[0][m, v])
        for others in sums[1:]:
            emit.store(emit.constant(0.0), others[m, v])

    def add_step(k: Any, chain: dict[tuple[int, int], Any]) -> None:
        along_a, along_b = builder.mul(k, a_k), builder.mul(k, b_k)
        weights = [emit.load(emit.at(pointer, along_b)) for pointer in column_of_b]
        for m in range(rows):
            factor = emit.spread(emit.at(row_of_a[m], along_a))
            for v in range(vectors):
                emit.store(emit.load(chain[m, v]) + factor * weights[v], chain[m, v])

    whole = builder.sub(depth, builder.srem(depth, emit.index(chains)))
    with cgutils.for_range_slice(builder, emit.index(0), whole, emit.index(chains), _INDEX) as (k, _):
        for i, chain in enumerate(sums):
            add_step(builder.add(k, emit.index(i)), chain)
    if chains > 1:
        with cgutils.for_range_slice(builder, whole, depth, emit.index(1), _INDEX) as (k, _):
            add_step(k, sums[0])
    for m, v in cells:
        total = emit.load(sums[0][m, v])
        for others in sums[1:]:
            total = total + emit.load(others[m, v])
        emit.store(total, emit.at(c, emit.times(m, c_m), emit.lanes(v)))


def _make_gates(keep: bool) -> Any:
    """One vector of units through the gates: h' = n + z (h - n); with `keep`, r, z, n and W_hn h + b_hn are stored."""

    @intrinsic
    def gates(typing, projected, p0, recurrent, q0, units, before, b0, after, a0, saved, v0):
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            emit = Emitter(context, builder, signature, args)
            projected, p0, recurrent, q0, units, before, b0, after, a0, saved, v0 = emit.args
            from_x = [emit.load(emit.at(projected, p0, emit.times(gate, units))) for gate in range(3)]
            from_h = [emit.load(emit.at(recurrent, q0, emit.times(gate, units))) for gate in range(3)]
            reset, update = _sigmoid(from_x[0] + from_h[0]), _sigmoid(from_x[1] + from_h[1])
            new = _tanh(from_x[2] + reset * from_h[2])
            emit.store(new + update * (emit.load(emit.at(before, b0)) - new), emit.at(after, a0))
            if keep:
                for gate, value in enumerate((reset, update, new, from_h[2])):
                    emit.store(value, emit.at(saved, v0, emit.times(gate, units)))
            return context.get_dummy_value()

        return types.void(projected, p0, recurrent, q0, units, before, b0, after, a0, saved, v0), codegen

    return gates


@intrinsic
def gates_backward(typing, saved, v0, units, mask, j, before, b0, d_out, o0, d_state, s0, d_gates, g0):
    """One vector of units back through the gates.

    d_gates gets the derivatives by W_hn h + b_hn, and by the sums before r, z and n, in this order: its first three
    parts are what reaches the state, its last three what reaches the input. d_state becomes its direct part, z d_h'.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        emit = Emitter(context, builder, signature, args)
        saved, v0, units, mask, j, before, b0, d_out, o0, d_state, s0, d_gates, g0 = emit.args
        reset, update, new, from_h = (emit.load(emit.at(saved, v0, emit.times(part, units))) for part in range(4))
        total = emit.load(emit.at(d_out, o0)) + emit.load(emit.at(d_state, s0))
        through = total * update
        d_new = (total - through) * (emit.constant(1.0) - new * new)
        d_reset = d_new * from_h * (reset - reset * reset)
        d_update = (emit.load(emit.at(before, b0)) - new) * total * (update - update * update)
        real = emit.load(emit.at(mask, j), _BITS)
        for part, value in enumerate((d_new * reset, d_reset, d_update, d_new)):
            emit.store(value.keep(real), emit.at(d_gates, g0, emit.times(part, units)))
        emit.store(through, emit.at(d_state, s0))
        return context.get_dummy_value()

    return types.void(saved, v0, units, mask, j, before, b0, d_out, o0, d_state, s0, d_gates, g0), codegen


gates, gates_and_keep = _make_gates(keep=False), _make_gates(keep=True)


@intrinsic
def copy(typing, source, s0, target, t0, count):
    """Copy `count` numbers; the compiler would ask first whether the arrays overlap."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        emit = Emitter(context, builder, signature, args)
        source, s0, target, t0, count = emit.args
        cgutils.raw_memmove(builder, emit.at(target, t0), emit.at(source, s0), count, 4)
        return context.get_dummy_value()

    return types.void(source, s0, target, t0, count), codegen


class Emitter:
    """Writes LLVM vector instructions for the arguments of an intrinsic."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> None:
        self.builder = builder
        self.args = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, args, strict=True)
        ]

    def at(self, pointer: Any, *offsets: Any) -> Any:
        for offset in offsets:
            pointer = self.builder.gep(self.builder.bitcast(pointer, _FLOAT.as_pointer()), [offset])
        return pointer

    def address(self, pointer: Any, offset: Any) -> Any:
        return self.builder.ptrtoint(self.at(pointer, offset), _INDEX)

    def opaque(self, value: Any) -> Any:
        """The same address or offset, which the compiler cannot derive from others any more: it would step from one
        address to the next through a chain of additions that takes longer than the sums themselves."""
        return self.builder.asm(ir.FunctionType(value.type, [value.type]), "", "=r,0", [value], False)

    def times(self, factor: int, value: Any) -> Any:
        return self.builder.mul(self.index(factor), value)

    def index(self, number: int) -> Any:
        return ir.Constant(_INDEX, number)

    def lanes(self, vectors: int) -> Any:
        return self.index(vectors * LANES)

    def constant(self, number: float) -> _Lanes:
        return _Lanes(self.builder, ir.Constant(_VECTOR, [number] * LANES))

    def load(self, pointer: Any, kind: Any = _VECTOR) -> _Lanes:
        pointer = self.builder.bitcast(pointer, kind.as_pointer())
        return _Lanes(self.builder, self.builder.load(pointer, align=4))

    def store(self, value: _Lanes, pointer: Any) -> None:
        self.builder.store(value.value, self.builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)

    def spread(self, pointer: Any) -> _Lanes:
        """One number in all lanes."""
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        scalar = self.builder.load(pointer)
        single = self.builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        return _Lanes(self.builder, self.builder.shuffle_vector(single, undefined, ir.Constant(_BITS, [0] * LANES)))


class _Lanes:
    """A vector of LANES float32 with the arithmetic of a number."""

    def __init__(self, builder: ir.IRBuilder, value: Any) -> None:
        self.builder, self.value = builder, value

    def _join(self, name: str, other: _Lanes | float, *flags: str) -> _Lanes:
        operand = other.value if isinstance(other, _Lanes) else ir.Constant(_VECTOR, [float(other)] * LANES)
        return _Lanes(self.builder, getattr(self.builder, name)(self.value, operand, flags=("contract", *flags)))

    def __add__(self, other: _Lanes | float) -> _Lanes:
        return self._join("fadd", other)

    def __sub__(self, other: _Lanes | float) -> _Lanes:
        return self._join("fsub", other)

    def __mul__(self, other: _Lanes | float) -> _Lanes:
        return self._join("fmul", other)

    def __truediv__(self, other: _Lanes | float) -> _Lanes:
        return self._join("fdiv", other, "arcp", "ninf")  # of finite numbers: may become an estimate and a Newton step

    def reciprocal(self) -> _Lanes:
        return _Lanes(self.builder, ir.Constant(_VECTOR, [1.0] * LANES)) / self

    def clamp(self, bound: float) -> _Lanes:
        """Limit to [-bound, bound]; NaN stays NaN, because it fails both comparisons."""
        value = self.value
        for limit, order in ((bound, "<"), (-bound, ">")):
            edge = ir.Constant(_VECTOR, [limit] * LANES)
            value = self.builder.select(self.builder.fcmp_ordered(order, edge, value), edge, value)
        return _Lanes(self.builder, value)

    def power_of_two(self) -> _Lanes:
        """2 to the integer in the low bits, by way of the exponent's bits."""
        shift, one = (ir.Constant(_BITS, [number] * LANES) for number in (23, 127 << 23))
        bits = self.builder.add(self.builder.shl(self.builder.bitcast(self.value, _BITS), shift), one)
        return _Lanes(self.builder, self.builder.bitcast(bits, _VECTOR))

    def keep(self, mask: _Lanes) -> _Lanes:
        """Zero the lanes where `mask` (32-bit integers) is 0, NaN too, which a product would not."""
        bits = self.builder.and_(self.builder.bitcast(self.value, _BITS), mask.value)
        return _Lanes(self.builder, self.builder.bitcast(bits, _VECTOR))


def _tanh(x: _Lanes) -> _Lanes:
    """Rational approximation of degree 13 / 6, the one of Eigen (generic_fast_tanh_float); 1 beyond the clamp."""
    x = x.clamp(7.99881172180175781)
    square = x * x
    odd = square * -2.76076847742355e-16 + 2.00018790482477e-13
    for coefficient in (
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    ):
        odd = odd * square + coefficient
    even = square * 1.19825839466702e-06 + 1.18534705686654e-04
    for coefficient in (2.26843463243900e-03, 4.89352518554385e-03):
        even = even * square + coefficient
    return x * odd / even


def _sigmoid(x: _Lanes) -> _Lanes:
    """1 / (1 + exp(-x)), accurate relative to itself down to 1e-37: a gate that is nearly closed has gradients of its
    own size, which an error of 1e-7 would drown. exp is that of Cephes (expf)."""
    x = x.clamp(86.0)
    # The sum's low bits are round(-x / ln 2), n; an integer shift makes 2^n of them. NaN stays NaN in what n is for.
    shifted = x * -1.44269504088896341 + 12582912.0
    n = shifted - 12582912.0
    rest = x * -1.0 + n * -0.693359375 + n * 2.12194440e-4
    series = rest * 1.9875691500e-4 + 1.3981999507e-3
    for coefficient in (8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        series = series * rest + coefficient
    exponential = (series * (rest * rest) + rest + 1.0) * shifted.power_of_two()
    return (exponential + 1.0).reciprocal()
