"""A QEMU-driven regression test farm for the Linux kernel's storage stacks."""

__version__ = "0.1.0"
