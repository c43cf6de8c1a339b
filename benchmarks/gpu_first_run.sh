#!/usr/bin/env bash
# The first minutes on a real NVIDIA GPU, the most valuable things first.
#
#   bash benchmarks/gpu_first_run.sh WHEELS OUT [SECONDS]
#
# Run it from the project's root. WHEELS is a folder with wheels of what the image lacks (array-api-compat,
# array-api-strict, nvmath-python; more is welcome), or "none". All results go under OUT, written as they come, so that
# what was reached survives a kill: summary.txt (a line for each stage), log.txt (everything that was printed),
# small_steps.jsonl, gpu.md and gpu.jsonl (the benchmark). SECONDS is for everything, 540 by default; what no longer
# fits is left out, and said so. DEVICE=cpu in the environment is a trial without a GPU; SLOW=5 gives each stage five
# times as long, on a small or busy machine. ONLY='^[03] ' takes the stages whose names match alone, in a second try.
#
# The image is taken to have Python 3.12, cupy-cuda13x, torch, jax, scikit-learn, pytest (with xdist and timeout, if
# there), safetensors, hypothesis, rich, numba, matplotlib. Nothing is downloaded. A stage that fails stops nothing.
set -u
wheels=${1:?folder of wheels, or none}; out=${2:?folder for results}; total=${3:-540}
device=${DEVICE:-cuda}; python=${PYTHON:-python3}
[ -f benchmarks/gpu.py ] || { echo "run this from the project's root"; exit 2; }
mkdir -p "$out"; out=$(cd "$out" && pwd); [ "$wheels" = none ] || wheels=$(cd "$wheels" && pwd)
work=$(mktemp -d); log=$out/log.txt; summary=$out/summary.txt; begin=$SECONDS
: >"$log"; : >"$summary"

export PYTHONUNBUFFERED=1 PYTHONPYCACHEPREFIX=$work/pyc OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
export XLA_PYTHON_CLIENT_PREALLOCATE=false JAX_ENABLE_X64=1 SCIPY_ARRAY_API=1
export CUPY_CACHE_DIR=$work/cupy TORCHINDUCTOR_CACHE_DIR=$work/inductor TRITON_CACHE_DIR=$work/triton
export PYTHONPATH=$PWD:$PWD/benchmarks
unset NVIDIA_TF32_OVERRIDE CUPY_TF32 CUDA_LAUNCH_BLOCKING

left() { echo $((total - (SECONDS - begin))); }

# stage NAME CAP COMMAND...: run a command for CAP seconds at most, and never past the end; note how it went.
stage() {
  local name=$1 cap=$(($2 * ${SLOW:-1})) start=$SECONDS rc before; shift 2
  [[ $name =~ ${ONLY:-.} ]] || return
  [ "$(left)" -lt "$cap" ] && cap=$(left)
  if [ "$cap" -lt 10 ]; then echo "$name: left out, $(left) s left" | tee -a "$summary"; return; fi
  { echo; echo "===== $name, at most $cap s, $((SECONDS - begin)) s gone"; } >>"$log"
  before=$(stat -c %s "$log")
  timeout -k 5 "$cap" "$@" >>"$log" 2>&1; rc=$?  # 124 or 137: it ran out of its time
  printf '%s: rc %d, %d s | %s\n' "$name" "$rc" "$((SECONDS - start))" \
    "$(tail -c "+$((before + 1))" "$log" | grep -av '^ *$' | tail -1 | cut -c1-200)" | tee -a "$summary"
}

pytest_() { "$python" -m pytest -p no:cacheprovider -q --tb=short --durations=5 --continue-on-collection-errors "$@"; }
export -f pytest_; export python

# ---------------------------------------------------------------------------------------------------------------------
# 0. What is here. Wheels go to a folder of their own, before everything else on the path.
if [ "$wheels" != none ]; then
  stage "0 wheels" 60 "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$work/site" $(ls "$wheels"/*.whl)
  PYTHONPATH=$work/site:$PYTHONPATH
fi
cat >"$work/facts.py" <<'PY'
import importlib, importlib.metadata as m, platform, subprocess
print(platform.python_version(), platform.platform())
for name in ("numpy", "array-api-compat", "array-api-strict", "cupy-cuda13x", "nvmath-python", "cuda-pathfinder", "cuda-core",
             "cuda-bindings", "nvidia-cublas", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "torch", "triton", "jax", "scikit-learn",
             "pytest", "ml-dtypes"):
    try: print(f"{name} {m.version(name)}", end="; ")
    except m.PackageNotFoundError: print(f"{name} MISSING", end="; ")
print()
print(subprocess.run("nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem --format=csv,noheader", shell=True, capture_output=True, text=True).stdout.strip() or "no nvidia-smi")
from portable_mlp.backends import _cublas
print("cuBLAS by nvmath:", _cublas.why_not() or "loads")
import portable_mlp as pm
for info in pm.backends(): print(info)
PY
stage "0 facts" 60 "$python" "$work/facts.py"

# ---------------------------------------------------------------------------------------------------------------------
# 1. Is CuPy's backend right? Each piece alone, with its traceback: what fails first is what the rest stumbles over.
cat >"$work/smoke.py" <<'PY'
import os, time, traceback, warnings
import numpy as np
import portable_mlp as pm
from portable_mlp.kernels.activations import ACTIVATIONS
warnings.simplefilter("always")
start, bad = time.perf_counter(), []
def attempt(name, f):
    t = time.perf_counter()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try: said = f()
        except Exception: bad.append(name); said = "FAILED\n" + traceback.format_exc(limit=-6)
    print(f"[{time.perf_counter() - start:6.1f}] {name} ({time.perf_counter() - t:.1f} s): {said}")
    for w in {f"{w.category.__name__}: {str(w.message)[:300]}" for w in seen}: print("      warned", w)
rng = np.random.default_rng(0)
def worst(found, wanted): return max(float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-30)) for a, b in zip(found, wanted))
def trained(name, device, net, dtype, **options):
    X = rng_X.astype(dtype)
    n = net.sizes[-1]
    y = {"softmax": rng_y % n, "logistic": (rng_X[:, :n] > 0).astype(dtype), "identity": rng_X[:, :n].astype(dtype), "relu": np.abs(rng_X[:, :n]).astype(dtype), "exp": np.floor(np.abs(rng_X[:, :n]) * 2).astype(dtype)}[net.output]
    b = pm.get_backend(name, device)
    params = tuple(pm.Layer(b.asarray(W, dtype=dtype), b.asarray(c, dtype=dtype)) for W, c in pm.init_params(net))
    r = pm.train(net, params, b.asarray(X), b.asarray(y), batch_size=100, epochs=4, **options)
    return [b.to_numpy(x) for layer in r.params for x in layer] + [np.asarray(r.history["loss"])]
rng_X, rng_y = rng.normal(size=(1050, 64)), rng.integers(0, 10, 1050)
def same(name, device, net, dtype, **options):
    limit = 1e-8 if dtype == "float64" else 3e-3
    host = {k: v for k, v in options.items() if k != "precision"}
    error = worst(trained(name, device, net, dtype, **options), trained("numpy", None, net, "float64", **host))
    if not error < (0.2 if options.get("precision", "float32") != "float32" else limit): raise ArithmeticError(f"{error:.1e} away from NumPy")
    return f"{error:.1e} away from NumPy"
digits = pm.Network((64, 100, 10))
gpu = [("cupy", None), ("torch", "cuda"), ("jax", "gpu")] if os.environ.get("DEVICE", "cuda") == "cuda" else [("torch", "cpu"), ("jax", "cpu")]
for name, device in gpu:
    attempt(f"{name} opens", lambda: repr(pm.get_backend(name, device)))
    attempt(f"{name} digits float32", lambda: same(name, device, digits, "float32"))
    attempt(f"{name} digits float32 again", lambda: same(name, device, digits, "float32"))
    attempt(f"{name} digits float64", lambda: same(name, device, digits, "float64", l2=0.01))
    if gpu[0][0] == "cupy":
        for precision in ("tf32", "bfloat16"): attempt(f"{name} digits {precision}", lambda: same(name, device, digits, "float32", precision=precision))
name, device = gpu[0]
for a in ACTIVATIONS: attempt(f"{name} {a}", lambda: same(name, device, pm.Network((64, 30, 20, 3), activation=a, output="identity"), "float64"))
for o in ("logistic", "relu", "exp"): attempt(f"{name} output {o}", lambda: same(name, device, pm.Network((64, 30, 3), output=o), "float64", solver="sgd"))
for net in (pm.Network((64, 30, 150)), pm.Network((64, 10))): attempt(f"{name} {net}", lambda: same(name, device, net, "float64"))
print("ALL RIGHT" if not bad else f"{len(bad)} FAILED: {', '.join(bad)}")
PY
DEVICE=$device stage "1 smoke" 110 "$python" "$work/smoke.py"

# ---------------------------------------------------------------------------------------------------------------------
# 2. The tests that are about the GPU itself: graphs, cuBLAS in a capture, threads, precisions, pickling.
stage "2 tests of graphs and cuBLAS" 110 bash -c 'pytest_ -m gpu tests/backends/test_gpu_graphs.py tests/backends/test_cublas.py'

# ---------------------------------------------------------------------------------------------------------------------
# 3. Small steps: what a step costs launched and replayed, how many nodes it has, what a node and a handle cost.
cat >"$work/small.py" <<'PY'
import json, os, statistics, sys, time, traceback
import numpy as np
import portable_mlp as pm
from portable_mlp.backends._graph_runner import GraphRunner
from portable_mlp.bench.cases import Case
from gpu_suite.on_device import OursOnDevice
out = open(sys.argv[1], "a")
def say(**facts): print(facts); out.write(json.dumps(facts) + "\n"); out.flush()
def timed(f, wait, n):
    f(); wait(); times = []
    for _ in range(5):
        t = time.perf_counter()
        for _ in range(n): f()
        host = time.perf_counter() - t; wait(); times.append((time.perf_counter() - t, host))
    return statistics.median(t for t, _ in times) / n, statistics.median(h for _, h in times) / n
gpu = os.environ.get("DEVICE", "cuda") == "cuda"
cases = [Case("digits", (64, 100, 10), 200), Case("mnist", (784, 512, 10), 1024)] if gpu else [Case("digits", (64, 100, 10), 200)]
for name in ("cupy", "torch") if gpu else ("torch",):
    for case in cases:
        for how in ("replayed", "launched"):
            try:
                record = GraphRunner._record
                if how == "launched": GraphRunner._record = lambda *a: (_ for _ in ()).throw(RuntimeError("not now"))
                t = time.perf_counter(); ours = OursOnDevice(name, case, "float32", "cuda" if gpu else "cpu"); ours.enqueue(64); ours.wait(); first = time.perf_counter() - t
                ours.enqueue(64); ours.wait()
                step, host = timed(lambda: ours.enqueue(64), ours.wait, 20)
                one, _ = timed(lambda: ours.enqueue(1), ours.wait, 20)
                nodes = None
                if name == "cupy" and how == "replayed":
                    graphs = ours.loop._runner._recordings
                    nodes = {str(k): r.launch._graph.debug_dot_str().count("label=") for k, r in graphs.items()}
                say(backend=name, case=case.name, how=how, us_a_step=1e6 * step / 64, us_on_host=1e6 * host / 64, us_a_call_of_one=1e6 * one, first_64_steps_s=first, dot_labels=nodes)
            except Exception: say(backend=name, case=case.name, how=how, failed=traceback.format_exc(limit=-4))
            finally: GraphRunner._record = record
if gpu:
    try:
        import cupy
        s = cupy.cuda.Stream(non_blocking=True); x = cupy.zeros(1024, "float32"); y = cupy.zeros((), "float32"); z = cupy.zeros((), "float32")
        k = cupy.ElementwiseKernel("", "T x", "x = x + 1", "tiny")
        for what, work in {"kernel": lambda: k(x), "4-byte copy": lambda: z.__setitem__(..., y), "sum of 1024": lambda: x.sum()}.items():
            pool = cupy.cuda.MemoryPool()
            with s, cupy.cuda.using_allocator(pool.malloc):
                work(); s.synchronize(); s.begin_capture()
                for _ in range(1000): work()
                g = s.end_capture(); g.launch(); s.synchronize()
                per, host = timed(lambda: g.launch(), s.synchronize, 20)
            say(node=what, us_a_node=1e6 * per / 1000, us_to_launch_1000=1e6 * host)
            t = time.perf_counter()
            for _ in range(1000): work()
            h = time.perf_counter() - t; cupy.cuda.Device().synchronize(); say(eager=what, us_on_host=1e3 * h)
        from portable_mlp.backends._cupy_graph import CupyRecorder
        for i in range(3):
            t = time.perf_counter(); r = CupyRecorder(); a = time.perf_counter(); del r; b = time.perf_counter(); say(recorder=i, ms_to_make=1e3 * (a - t), ms_to_close=1e3 * (b - a))
        X, y = np.random.default_rng(0).normal(size=(1000, 64)).astype("float32"), np.arange(1000) % 10
        clf = pm.MLPClassifier((100,), backend="cupy", random_state=0)
        for i in range(4):
            t = time.perf_counter(); clf.partial_fit(X, y, classes=np.arange(10)); say(partial_fit=i, ms=1e3 * (time.perf_counter() - t))
    except Exception: say(failed=traceback.format_exc(limit=-5))
PY
DEVICE=$device stage "3 small steps" 60 "$python" "$work/small.py" "$out/small_steps.jsonl"

# ---------------------------------------------------------------------------------------------------------------------
# 3b. What could be: whole steps in one launch, by one cluster of eight blocks (64-100-10, 200 samples, Adam). The kernel's
# arithmetic was checked on the CPU with threads in place of CUDA's; on a GPU it has not run.
cat >"$work/cluster.cu" <<'CU'
// Feasibility of a whole training step in one launch: one cluster of 8 blocks, 200 samples, 64-100-10, Adam; K steps a launch.
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
constexpr int D = 64, H = 100, C = 10, NB = 8, S = 25, P = D * H + H + H * C + C, SLICE = (P + NB - 1) / NB, T = 256;
struct Smem { float p[P], g[P], x[S * D], h[S * H], z[S * C], dh[S * H], m[SLICE], v[SLICE], loss[S]; int y[S]; };
extern "C" __global__ void __cluster_dims__(NB, 1, 1) __launch_bounds__(T, 1)
train(float* gp, float* gm, float* gv, const float* X, const long long* Y, const long long* order, const float* scalars, float* losses, int steps) {
  extern __shared__ char raw[]; Smem& s = *reinterpret_cast<Smem*>(raw);
  auto cluster = cg::this_cluster(); const int r = cluster.block_rank(), t = threadIdx.x, lo = r * SLICE, n = min(SLICE, P - lo);
  for (int i = t; i < P; i += T) s.p[i] = gp[i];
  for (int i = t; i < n; i += T) { s.m[i] = gm[lo + i]; s.v[i] = gv[lo + i]; }
  const float* W1 = s.p; const float* b1 = W1 + D * H; const float* W2 = b1 + H; const float* b2 = W2 + H * C;
  for (int k = 0; k < steps; ++k) {
    const long long* rows = order + (k * NB + r) * S;
    for (int i = t; i < S * D; i += T) s.x[i] = X[rows[i / D] * D + i % D];
    if (t < S) s.y[t] = (int)Y[rows[t]];
    __syncthreads();
    // h = relu(x W1 + b1): 5 samples by 2 units a thread
    for (int tile = t; tile < (S / 5) * (H / 2); tile += T) {
      const int a = tile / (H / 2) * 5, u = tile % (H / 2) * 2; float acc[5][2];
      for (int q = 0; q < 5; ++q) { acc[q][0] = b1[u]; acc[q][1] = b1[u + 1]; }
      #pragma unroll 8
      for (int d = 0; d < D; ++d) { const float w0 = W1[d * H + u], w1 = W1[d * H + u + 1];
        #pragma unroll
        for (int q = 0; q < 5; ++q) { const float xv = s.x[(a + q) * D + d]; acc[q][0] += xv * w0; acc[q][1] += xv * w1; } }
      #pragma unroll
      for (int q = 0; q < 5; ++q) { s.h[(a + q) * H + u] = fmaxf(acc[q][0], 0.f); s.h[(a + q) * H + u + 1] = fmaxf(acc[q][1], 0.f); }
    }
    __syncthreads();
    for (int i = t; i < S * C; i += T) { float z = b2[i % C]; for (int u = 0; u < H; ++u) z += s.h[i / C * H + u] * W2[u * C + i % C]; s.z[i] = z; }
    __syncthreads();
    if (t < S) { float top = s.z[t * C], sum = 0, at = s.z[t * C + s.y[t]]; for (int j = 1; j < C; ++j) top = fmaxf(top, s.z[t * C + j]);
      for (int j = 0; j < C; ++j) { const float e = expf(s.z[t * C + j] - top); sum += e; s.z[t * C + j] = e; }
      s.loss[t] = logf(sum) - (at - top); for (int j = 0; j < C; ++j) s.z[t * C + j] = s.z[t * C + j] / sum - (j == s.y[t]); }
    __syncthreads();
    for (int i = t; i < S * H; i += T) { float a = 0; for (int j = 0; j < C; ++j) a += s.z[i / H * C + j] * W2[i % H * C + j]; s.dh[i] = s.h[i] > 0 ? a : 0; }
    __syncthreads();
    for (int i = t; i < H * C; i += T) { float a = 0; for (int q = 0; q < S; ++q) a += s.h[q * H + i / C] * s.z[q * C + i % C]; s.g[D * H + H + i] = a; }
    if (t < C) { float a = 0; for (int q = 0; q < S; ++q) a += s.z[q * C + t]; s.g[D * H + H + H * C + t] = a; }
    for (int u = t; u < H; u += T) { float a = 0; for (int q = 0; q < S; ++q) a += s.dh[q * H + u]; s.g[D * H + u] = a; }
    for (int tile = t; tile < (D / 4) * (H / 4); tile += T) { const int d = tile / (H / 4) * 4, u = tile % (H / 4) * 4; float acc[4][4] = {};
      for (int q = 0; q < S; ++q) {
        #pragma unroll
        for (int a = 0; a < 4; ++a) { const float xv = s.x[q * D + d + a];
          #pragma unroll
          for (int b = 0; b < 4; ++b) acc[a][b] += xv * s.dh[q * H + u + b]; } }
      for (int a = 0; a < 4; ++a) for (int b = 0; b < 4; ++b) s.g[(d + a) * H + u + b] = acc[a][b]; }
    cluster.sync();
    const float step = scalars[2 * k], eps = scalars[2 * k + 1];
    for (int i = t; i < n; i += T) { float g = 0;
      #pragma unroll
      for (int c = 0; c < NB; ++c) g += cluster.map_shared_rank(s.g, c)[lo + i];
      g *= 1.f / (NB * S); const float m = s.m[i] = 0.9f * s.m[i] + 0.1f * g, v = s.v[i] = 0.999f * s.v[i] + 0.001f * g * g;
      const float p = s.p[lo + i] - step * m / (sqrtf(v) + eps);
      #pragma unroll
      for (int c = 0; c < NB; ++c) cluster.map_shared_rank(s.p, c)[lo + i] = p; }
    if (t == 0) { float a = 0; for (int q = 0; q < S; ++q) a += s.loss[q]; atomicAdd(losses + k, a / (NB * S)); }
    cluster.sync();
  }
  for (int i = t; i < n; i += T) { gp[lo + i] = s.p[lo + i]; gm[lo + i] = s.m[i]; gv[lo + i] = s.v[i]; }
}
CU
cat >"$work/cluster.py" <<'PY'
import json, statistics, sys, time
import cupy, numpy as np, portable_mlp as pm
from portable_mlp.kernels.optimizers import adam
out = open(sys.argv[2], "a")
def say(**facts): print(facts); out.write(json.dumps(facts) + "\n"); out.flush()
kernel = cupy.RawKernel(open(sys.argv[1]).read(), "train", options=("--std=c++17",))
D, H, C, S = 64, 100, 10, 25; P = D * H + H + H * C + C
shared = 4 * (2 * P + S * D + 2 * S * H + S * C + 2 * ((P + 7) // 8) + 2 * S)
kernel.max_dynamic_shared_size_bytes = shared
say(cluster="built", registers=kernel.num_regs, local_bytes=kernel.local_size_bytes, shared_bytes=shared)
net, rng, opt = pm.Network((D, H, C)), np.random.default_rng(0), adam()
X, y = rng.normal(size=(12800, D)).astype("float32"), rng.integers(0, C, 12800)
def run(steps, clusters=1):
    order = np.concatenate([np.random.default_rng(i).permutation(12800) for i in range(-(-steps // 64))])[: 200 * steps]
    flat = pm.pack(pm.init_params(net, dtype="float32"))
    there = [cupy.asarray(a) for a in (flat, np.zeros_like(flat), np.zeros_like(flat), X, y, order, np.asarray([opt.scalars(t + 1, 1e-3) for t in range(steps)], "float32"))] + [cupy.zeros(steps, "float32")]
    def launch(): kernel((8 * clusters,), (256,), (*there, np.int32(steps)), shared_mem=shared)
    return flat, order, there, launch
flat, order, there, launch = run(16); launch()
q = flat.astype("float64"); state = opt.init(np, q); losses = []
for t in range(16):
    rows = order[200 * t : 200 * t + 200]; loss, g = pm.loss_and_grad(net, pm.unpack(net, q), X[rows].astype("float64"), y[rows])
    q, state = opt.update(np, q, pm.pack(g), state, opt.scalars(t + 1, 1e-3)); losses.append(float(loss))
say(cluster="16 steps", parameters_off_by=float(np.max(np.abs(there[0].get() - q))), losses_off_by=float(np.max(np.abs(there[-1].get() - losses))))
for clusters in (1, 8, 16, 32):
    *_, launch = run(2048, clusters); launch(); cupy.cuda.Device().synchronize(); times = []
    for _ in range(7):
        a, b = cupy.cuda.Event(), cupy.cuda.Event(); a.record(); launch(); b.record(); b.synchronize(); times.append(cupy.cuda.get_elapsed_time(a, b))
    say(clusters=clusters, us_a_step=1e3 * statistics.median(times) / 2048, us_a_step_and_model=1e3 * statistics.median(times) / 2048 / clusters)
PY
if [ "$device" = cuda ]; then stage "3b steps in one launch" 40 "$python" "$work/cluster.py" "$work/cluster.cu" "$out/small_steps.jsonl"; fi

# ---------------------------------------------------------------------------------------------------------------------
# 4. The benchmark, in halves: benchmarks/gpu.py takes all nine candidates at once, and writes when the last is done, so
# that a run which ends before would have nothing. Each half has the products alone beside it, to compare with.
cat >"$work/bench.py" <<'PY'
import functools, json, pathlib, sys
from gpu_suite.suite import GPU_CASES
from gpu_suite.report import as_markdown
from gpu_suite.on_device import CANDIDATES, FLOOR
from gpu_suite.roofline import H200
from gpu_suite.suite import Setting, measure
from gpu_suite.on_device import reference_losses
from gpu_suite.process import Process
if __name__ == "__main__":  # processes are spawned
    out, device, name, precision, half = pathlib.Path(sys.argv[1]), *sys.argv[2:]
    first = (FLOOR, "ours, CuPy", "ours, PyTorch", "ours, JAX", "PyTorch CUDA graph")
    chosen = {n: e for n, e in CANDIDATES.items() if (n in first) == (half == "first") or n == FLOOR}
    (case,) = (c for c in GPU_CASES if c.name == name)
    setting = Setting(device, seconds_of_warm_up=1.0, seconds_a_turn=0.3, tell=functools.partial(print, flush=True))
    with Process() as process:
        expected = process.call(reference_losses, case, device)
    lines = measure(case, precision, chosen, expected, setting)
    with open(out / "gpu.jsonl", "a") as f: f.writelines(json.dumps(line._asdict()) + "\n" for line in lines)
    table = as_markdown(lines, [case], {}, H200).split("##", 1)[-1]
    with open(out / "gpu.md", "a") as f: f.write(f"\n## {half} half:{table}")
    print(table)
    for line in lines: print(line.candidate, line.problem or f"{line.step:.1f} us a step, {line.kernels} kernels")
PY
bench() { stage "4 $2, $3, $4 half" "$1" "$python" "$work/bench.py" "$out" "$device" "$2" "$3" "$4"; }
bench 110 digits float32 first
bench 110 mnist tf32 first

# ---------------------------------------------------------------------------------------------------------------------
# 5. All other tests of the kernels, the steps and training on the GPU, several processes at a time where xdist is here.
several=$("$python" -c 'import xdist; print("-n 6")' 2>/dev/null)
export several
stage "5 kernels, steps, training" 130 bash -c 'pytest_ -m gpu $several tests/kernels tests/backends/test_backends.py tests/training'

# ---------------------------------------------------------------------------------------------------------------------
# 6. Where there is more time than that.
bench 150 digits float32 second
bench 150 mnist tf32 second
stage "6 estimators" 100 bash -c 'pytest_ -m gpu $several tests/estimators'
bench 130 "mnist, large batch" bfloat16 first
bench 200 big tf32 first
if command -v compute-sanitizer >/dev/null; then
  cat >"$work/tiny.py" <<'PY'
import numpy as np, portable_mlp as pm
b = pm.get_backend("cupy"); net = pm.Network((7, 5, 3)); rng = np.random.default_rng(0)
p = tuple(pm.Layer(b.asarray(W, dtype="float32"), b.asarray(c, dtype="float32")) for W, c in pm.init_params(net))
r = pm.train(net, p, b.asarray(rng.normal(size=(70, 7)).astype("float32")), b.asarray(rng.integers(0, 3, 70)), batch_size=8, epochs=3)
print(r.history["loss"])
PY
  stage "6 memcheck" 90 compute-sanitizer --tool memcheck --error-exitcode 9 "$python" "$work/tiny.py"
fi
echo "$((SECONDS - begin)) s of $total" | tee -a "$summary"
rm -rf "$work"
