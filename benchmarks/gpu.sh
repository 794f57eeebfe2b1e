#!/usr/bin/env bash
# All that a GPU has to show, in under eight minutes: each part has its own limit and its own log.
#
#     benchmarks/gpu.sh [--short] [--reference DIR] [--out DIR]
#
# --reference  a folder of clones of the authors' repositories (see benchmarks/compare), and PyTorch
#              must be there; without it, that part is left out
# --short      small work, to try the script where there is no GPU
# --out        folder of the logs, by default gpu-logs
#
# A part that fails or runs into its limit does not stop the others. The summary comes last, and the
# script ends with code 1 if a part failed. PYTHON names the interpreter.

set -u
cd "$(dirname "$0")/.."
short="" reference="" out="gpu-logs"
while [ $# -gt 0 ]; do
  case "$1" in
    --short) short="--short" ;;
    --reference) reference="$2"; shift ;;
    --out) out="$2"; shift ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
mkdir -p "$out"
python="${PYTHON:-python}"
export PYTHONUNBUFFERED=1 XLA_PYTHON_CLIENT_PREALLOCATE=false
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$out/compiled}"
summary="$out/summary.txt"
: > "$summary"
failed=0

# part NAME SECONDS COMMAND...: runs a command into NAME.log.
part() {
  local name="$1" limit="$2" begin end code
  shift 2
  begin=$(date +%s)
  timeout --kill-after=5 "$limit" "$@" > "$out/$name.log" 2>&1
  code=$?
  end=$(date +%s)
  case "$code" in
    0) state="done" ;;
    124 | 137) state="stopped at its limit of $limit s"; failed=1 ;;
    *) state="failed with code $code"; failed=1 ;;
  esac
  printf '%s: %s after %s s\n' "$name" "$state" "$((end - begin))" | tee -a "$summary"
}

left_out() {
  printf '%s: left out, %s\n' "$1" "$2" | tee -a "$summary"
}

# Exact products: the tests' tolerances are those of float32.
tests=(tests/test_golden.py tests/nn tests/panoptic)
[ -n "$short" ] && tests=(tests/nn/test_conv.py)
part tests 110 env JAX_DEFAULT_MATMUL_PRECISION=highest \
  "$python" -m pytest -q -p no:cacheprovider "${tests[@]}"
part frames 60 "$python" -m benchmarks.device --only frames $short
part accuracy 40 "$python" -m benchmarks.device --only accuracy $short
part memory 60 "$python" -m benchmarks.device --only memory $short
parcels=73000
[ -n "$short" ] && parcels=2000
part epoch 60 "$python" -m benchmarks.parcel_epoch --parcels "$parcels"
if [ -n "$reference" ]; then
  part compare 130 "$python" -m benchmarks.compare --reference "$reference" --bf16 --repeats 3 \
    --out "$out" $short
else
  left_out compare "no --reference is given"
fi

printf '\n' >> "$summary"
for log in "$out"/*.log; do
  printf '== %s\n' "$(basename "$log" .log)" >> "$summary"
  tail -n 24 "$log" >> "$summary"
done
cat "$summary"
exit "$failed"
