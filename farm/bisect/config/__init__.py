"""Which options of two kernel configurations make the difference; the search itself is pure (`minimal`)."""
