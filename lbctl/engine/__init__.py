"""Decides when a scope is worked on, and drives it through the pipeline."""
