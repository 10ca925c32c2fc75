"""A guest's parts: QEMU's command line and process, QMP, the console, ssh, and the disks as the host sees them."""
