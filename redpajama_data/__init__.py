"""The engine of rpj: it knows no slice and no filter. Start reading at run.py."""
