#!/bin/sh
# Runs a command on a bare GPU machine with the parts that pack.py made.
#
#   on_machine.sh COMMAND...
#
# Expects the parts in $KIT (default /tmp/kit) and unpacks them once. `python` is then the kit's
# Python 3.11 with TensorRT 8.6, CuPy, ONNX Runtime with CUDA and pytest; the machine's own Python
# with PyTorch is in WORKBENCH_TORCH_PYTHON.
set -eu
KIT=${KIT:-/tmp/kit}
for name in trt86 python site; do
  if [ ! -d "$KIT/$name" ]; then
    mkdir -p "$KIT/$name.part"
    cat "$KIT/$name".tar.xz.* | tar -xJ -C "$KIT/$name.part"
    mv "$KIT/$name.part" "$KIT/$name"
  fi
done
own=$(command -v python3)
nvidia=$("$own" -c 'import nvidia, os; print(list(nvidia.__path__)[0])' 2>/dev/null || true)
mkdir -p "$KIT/bin"
ln -sf "$KIT/python/bin/python3.11" "$KIT/bin/python"
export WORKBENCH_TORCH_PYTHON="$own"
export LD_LIBRARY_PATH="$KIT/trt86:$nvidia/cu13/lib:$nvidia/cudnn/lib:/usr/local/cuda/lib64:$KIT/python/lib"
export PYTHONPATH="$KIT/trt86:$KIT/site:$PWD"
export PATH="$KIT/bin:$PATH"
export CUDA_MODULE_LOADING=LAZY PYTHONUNBUFFERED=1 WORKBENCH_CACHE="${WORKBENCH_CACHE:-/tmp/workbench-cache}"
exec "$@"
