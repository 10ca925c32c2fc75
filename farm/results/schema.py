"""The tables of the results database; `migrations/` makes them, and a test holds the two together."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# The migration that makes exactly these tables.
HEAD = "0001"

METADATA = MetaData(naming_convention={
    "ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s",
})

# `number` is the order of runs, not `started`: a host's clock may be set back. AUTOINCREMENT never uses one twice.
RUNS = Table(
    "runs", METADATA,
    Column("number", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("plan", String(80), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("directory", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("farm", String(40), nullable=False),
    Column("started", Float, nullable=False),
    Column("ended", Float),
    Column("state", String(20), nullable=False),
    Index(None, "plan", "number"),
    sqlite_autoincrement=True,
)

# Where a testcase runs; its key is a digest of the rest.
SERIES = Table(
    "series", METADATA,
    Column("key", String(20), primary_key=True),
    Column("kernel", String(80), nullable=False),
    Column("flavor", String(80), nullable=False),
    Column("testcase", Text, nullable=False),
    Column("machine", String(80), nullable=False),
    Column("stack", String(80), nullable=False),
    Index(None, "testcase"),
)

CELLS = Table(
    "cells", METADATA,
    Column("id", Integer, primary_key=True),
    Column("run", ForeignKey("runs.number", ondelete="CASCADE"), nullable=False),
    Column("series", ForeignKey("series.key"), nullable=False),
    Column("repetition", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("title", Text, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("function", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("config", String(64), nullable=False),
    Column("compiler", Text, nullable=False),
    Column("build", String(64), nullable=False),
    Column("image", String(64), nullable=False),
    Column("accelerator", String(20), nullable=False),
    Column("machine", Text, nullable=False),
    Column("stacks", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("durations", JSON, nullable=False),
    Column("host", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("directory", Text, nullable=False),
    # Recording the same cell twice changes nothing.
    UniqueConstraint("run", "series", "repetition", "attempt"),
    Index(None, "series", "run"),
    Index(None, "signature", "run"),
)

VERDICTS = Table(
    "verdicts", METADATA,
    Column("run", ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True),
    Column("series", ForeignKey("series.key"), primary_key=True),
    Column("change", String(20), nullable=False),
    Column("signature", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("rate", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("slower", Float, nullable=False),
    Column("why", Text, nullable=False),
    Column("known", Text, nullable=False),
    Index(None, "series", "run"),
)
