"""Alembic's migrations of the results database."""
