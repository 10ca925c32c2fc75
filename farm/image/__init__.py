"""The guest image: a small Debian with the tools of the storage stacks, built once and cached."""

from farm.image.build import GuestImage, build_image

__all__ = ["GuestImage", "build_image"]
