"""A little cluster on this machine for trying lbctl out; nothing but its own commands imports it."""
