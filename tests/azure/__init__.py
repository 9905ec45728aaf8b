"""The tests of the Azure endpoint itself."""
