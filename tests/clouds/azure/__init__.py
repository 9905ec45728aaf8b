"""An endpoint that behaves as Azure Resource Manager does; see README.md beside this file."""
