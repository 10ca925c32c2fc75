"""Kernels: sources, configuration flavors, builds. `build` and `ready_image` are the way in."""

from farm.kernel.build import build
from farm.kernel.ready import ready_image
from farm.kernel.values import DEFAULT_FLAVOR, DEFAULT_SOURCE, BuildRequest, Kernel, Progress, Report

__all__ = [
    "DEFAULT_FLAVOR", "DEFAULT_SOURCE", "BuildRequest", "Kernel", "Progress", "Report", "build", "ready_image",
]
