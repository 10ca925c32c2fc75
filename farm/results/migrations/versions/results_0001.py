"""The first tables: runs, series, cells, verdicts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    _runs_and_series()
    _cells()
    _verdicts()


def _runs_and_series() -> None:
    op.create_table("runs",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("plan", sa.String(length=80), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("farm", sa.String(length=40), nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_runs"),
        sa.UniqueConstraint("name", name="uq_runs_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_plan_number", "runs", ["plan", "number"])
    op.create_table("series",
        sa.Column("key", sa.String(length=20), nullable=False),
        sa.Column("kernel", sa.String(length=80), nullable=False),
        sa.Column("flavor", sa.String(length=80), nullable=False),
        sa.Column("testcase", sa.Text(), nullable=False),
        sa.Column("machine", sa.String(length=80), nullable=False),
        sa.Column("stack", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_series"),
    )
    op.create_index("ix_series_testcase", "series", ["testcase"])


def _cells() -> None:
    op.create_table("cells",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("series", sa.String(length=20), nullable=False),
        sa.Column("repetition", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("config", sa.String(length=64), nullable=False),
        sa.Column("compiler", sa.Text(), nullable=False),
        sa.Column("build", sa.String(length=64), nullable=False),
        sa.Column("image", sa.String(length=64), nullable=False),
        sa.Column("accelerator", sa.String(length=20), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("stacks", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("durations", sa.JSON(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.number"], name="fk_cells_run", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["series"], ["series.key"], name="fk_cells_series"),
        sa.PrimaryKeyConstraint("id", name="pk_cells"),
        sa.UniqueConstraint("run", "series", "repetition", "attempt", name="uq_cells_run_series_repetition_attempt"),
    )
    op.create_index("ix_cells_series_run", "cells", ["series", "run"])
    op.create_index("ix_cells_signature_run", "cells", ["signature", "run"])


def _verdicts() -> None:
    op.create_table("verdicts",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("series", sa.String(length=20), nullable=False),
        sa.Column("change", sa.String(length=20), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("slower", sa.Float(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("known", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.number"], name="fk_verdicts_run", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["series"], ["series.key"], name="fk_verdicts_series"),
        sa.PrimaryKeyConstraint("run", "series", name="pk_verdicts"),
    )
    op.create_index("ix_verdicts_series_run", "verdicts", ["series", "run"])
