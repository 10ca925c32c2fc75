"""What a dump of a guest's memory tells, read by drgn: `python -m farm.evidence.reader DUMP VMLINUX`.

The memory of a broken kernel is hostile: it is read in a process of its own with a deadline, each part is printed as
soon as it is known, every walk has an end, and no name in it reaches a terminal unescaped. Which members a structure
has is asked of the debug information, never of the kernel's version. Keys are not read.
"""
