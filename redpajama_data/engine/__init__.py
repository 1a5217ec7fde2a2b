"""Runs tasks: stages, lineage, receipts, executors, what a root owns."""
