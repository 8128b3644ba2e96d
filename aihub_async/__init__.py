"""Async-first client for Instabase AI Hub."""
