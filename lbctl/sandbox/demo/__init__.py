"""The demo: the whole life of some Services on this machine, with real traffic, in under a minute and a half.

`story` says what happens, `stage` how each thing is done and checked, `report` what came of it, `play` runs it all.
"""
