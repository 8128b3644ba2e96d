"""Getting files into a batch: many at once, large ones in parts, none of them lost."""
