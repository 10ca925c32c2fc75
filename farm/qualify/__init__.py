"""Qualification: put reported bugs back into the kernel, and count how often their testcases notice."""
