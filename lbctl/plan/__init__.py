"""The difference between what is desired and what is there, as a value: pure."""
