"""The reference pages in `docs/reference`, made from what the code declares.

`make reference` writes them; a test fails while a page differs from what the code says now. Each module makes one page
and reads one source: the command line, the settings' types, the drivers' tables, the metrics' registry, the errors.
"""
