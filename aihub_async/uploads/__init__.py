"""Uploading files to a batch: many concurrently, large ones in parts."""
