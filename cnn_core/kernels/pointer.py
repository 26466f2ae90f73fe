"""Compiled functions by their address: so that a loop runs what a table says, and nothing else is compiled.

numba inlines what a function names, all of it: a loop that names every layer's kernels would compile every
layer's. Here a kernel is compiled by itself, kept in the cache by itself, and met as a number in a table.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic


def address(kernel: Any, *kinds: Any) -> int:
    """Where the kernel for arguments of these types begins in memory; compiled or from the cache."""
    if kinds not in kernel.overloads:
        kernel.compile(kinds)
    compiled = kernel.overloads[kinds]
    found: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    return found


def _caller(kinds: tuple[Any, ...]) -> Any:
    def codegen(context, builder, _signature, values):  # type: ignore[no-untyped-def]
        kind = context.call_conv.get_function_type(types.none, kinds)
        function = builder.inttoptr(values[0], kind.as_pointer())
        context.call_conv.call_function(builder, function, types.none, kinds, values[1:])
        return context.get_dummy_value()

    return types.void(types.int64, *kinds), codegen


@intrinsic
def call_operation(_typing, place, op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Call the kernel of one pass of an operation (operations/operation.py)."""
    return _caller((op, state, first, last, training, key))


@intrinsic
def call_rule(_typing, place, rule, memory, kept, rate, step):  # type: ignore[no-untyped-def]
    """Call the kernel of one part of a rule (rules.py)."""
    return _caller((rule, memory, kept, rate, step))
