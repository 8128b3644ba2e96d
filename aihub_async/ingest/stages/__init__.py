"""The stages of a batch: upload, run and export."""
