"""Tests against the honest AWS get it as the `aws` fixture."""

from moto_fixtures.fixtures import aws, aws_server

__all__ = ["aws", "aws_server"]
