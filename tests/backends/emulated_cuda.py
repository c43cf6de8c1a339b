"""CUDA's blocks of threads on the CPU: a kernel's source is compiled as C++, and its threads take turns.

A thread runs until it waits for the others of its block (``__syncthreads``), as a context of its own; then the next one
runs. Blocks run one after another. A thread that ends while others wait is an error, as it would be on a GPU.
"""

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[2] / ".pytest_cache" / "d" / "kernels"
"""Where processes of the tests find what others have compiled."""

OPTIONS = ["-O1", "-ffp-contract=off", "-shared", "-fPIC", "-std=c++11", "-Wall", "-Wextra", "-Werror"]
OPTIONS += ["-Wno-unused-parameter", "-Wno-unused-variable", "-Wno-unused-function", "-Wno-unknown-pragmas"]
"""Multiplications and additions are not contracted."""

HEADERS = "#include <cmath>\n#include <cstddef>\n#include <cstring>\n"

BLOCKS = """
#include <cstdlib>
#include <ucontext.h>
using namespace std;
struct Index { unsigned x, y; };
static Index threadIdx, blockIdx, blockDim, gridDim;
#define __global__
#define __device__ static
#define __shared__ static

static const size_t MOST = 1024, STACK = 1 << 15;
static char* const stacks = static_cast<char*>(malloc(MOST * STACK));
static ucontext_t scheduler;
static ucontext_t threads[MOST];
static bool over[MOST];
static unsigned current;
static void body();

static void __syncthreads() { swapcontext(&threads[current], &scheduler); }
static void __threadfence() {}
static unsigned atomicAdd(unsigned* x, unsigned y) { const unsigned before = *x; *x += y; return before; }
static void enter() { body(); over[current] = true; }

static bool run_block() {
    const unsigned n = blockDim.x;
    for (unsigned t = 0; t < n; ++t) {
        over[t] = false;
        getcontext(&threads[t]);
        threads[t].uc_stack.ss_sp = stacks + t * STACK;
        threads[t].uc_stack.ss_size = STACK;
        threads[t].uc_link = &scheduler;
        makecontext(&threads[t], enter, 0);
    }
    for (unsigned left = n; left > 0;) {
        unsigned ended = 0, waiting = 0;
        for (current = 0; current < n; ++current) {
            if (over[current]) continue;
            threadIdx.x = current;
            swapcontext(&scheduler, &threads[current]);
            ++(over[current] ? ended : waiting);
        }
        if (ended && waiting) return false;
        left -= ended;
    }
    return true;
}
"""

RUN = """
static struct {{ {fields} }} given;

static void body() {{ {name}({arguments}); }}

extern "C" int run(unsigned width, unsigned height, unsigned n_threads, {parameters}) {{
    gridDim = {{width, height}};
    blockDim = {{n_threads, 1}};
    given = {{ {names} }};
    for (blockIdx.y = 0; blockIdx.y < height; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < width; ++blockIdx.x)
            if (!run_block()) return 1;
    return 0;
}}
"""


def library(source: str) -> ctypes.CDLL:
    """Compile C++, unless the same compiler has compiled the same source before."""
    command = [_compiler(), *OPTIONS]
    path = FOLDER / f"{hashlib.sha256(repr((_version(), command, source)).encode()).hexdigest()}.so"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            made = Path(folder) / "kernel.so"
            command += ["-x", "c++", "-", "-o", str(made)]
            outcome = subprocess.run(command, input=source, capture_output=True, text=True)
            assert outcome.returncode == 0, outcome.stderr
            made.replace(path)  # whole, though another process may look for it
    return ctypes.CDLL(str(path))


@functools.cache
def _compiler() -> str:
    found = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    assert found, "the tests of CuPy's kernels compile them for the CPU: install a C++ compiler, such as g++"
    return found


@functools.cache
def _version() -> str:
    return subprocess.run([_compiler(), "--version"], capture_output=True, text=True, check=True).stdout


class BlockKernel:
    """A kernel of blocks; its arguments are arrays in the host's memory, and NumPy's scalars of the right types."""

    def __init__(self, source: str, name: str) -> None:
        found = re.search(rf'extern "C" __global__ void {name}\(([^)]*)\)', source)
        assert found, f"the source has no kernel {name}"
        self.types = [" ".join(parameter.split()[:-1]) for parameter in found[1].split(",")]
        names = [parameter.split()[-1] for parameter in found[1].split(",")]
        run = RUN.format(
            parameters=found[1],
            name=name,
            names=", ".join(names),
            arguments=", ".join(f"given.{each}" for each in names),
            fields=" ".join(f"{_assignable(kind)} {each};" for kind, each in zip(self.types, names, strict=True)),
        )
        self._run = library(HEADERS + BLOCKS + source + run).run
        (self.real,) = re.findall(r"typedef (\w+) T;", source)

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: Any) -> None:
        width, height = (*grid, 1)[:2]
        assert len(args) == len(self.types)
        assert min(width, height) >= 1
        assert width < 2**31
        assert 1 <= block[0] <= 1024
        given = [self._argument(x, kind) for x, kind in zip(args, self.types, strict=True)]
        assert self._run(width, height, block[0], *given) == 0, "threads of a block did not wait for each other"

    def _argument(self, x: Any, kind: str) -> Any:
        kind = kind.removeprefix("volatile ").removeprefix("const ").replace("T", self.real)
        dtype = {"float": "float32", "double": "float64", "long long": "int64", "unsigned": "uint32"}[kind.rstrip("*")]
        assert x.dtype == dtype, f"{x.dtype} for {kind}"
        if not kind.endswith("*"):
            assert isinstance(x, np.generic), "a number needs a type"
            return np.ctypeslib.as_ctypes_type(x.dtype)(x.item())
        return ctypes.c_void_p(x.ctypes.data)


def _assignable(kind: str) -> str:
    return kind if kind.endswith("*") else kind.removeprefix("const ")


@functools.cache
def block_kernel(source: str, name: str) -> BlockKernel:
    """Return a kernel, compiled once."""
    return BlockKernel(source, name)
