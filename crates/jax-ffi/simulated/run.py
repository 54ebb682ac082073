"""Runs another Python program with JAX's CUDA plugin where no device file of NVIDIA's driver exists."""

import runpy
import sys

from jax._src import hardware_utils

hardware_utils.has_visible_nvidia_gpu = lambda: True
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
