"""Workloads: fio, stress-ng and file churn, with verification, a seed, and progress that a monitor can see."""

from farm.workload.background import Background
from farm.workload.churn import Churn, ChurnRunner
from farm.workload.fio import Fio, FioRunner
from farm.workload.result import IoError, VerifyError, WorkloadError, WorkloadResult
from farm.workload.runner import WORKLOADS, Directory, Job, Runner, Subject, unwatched
from farm.workload.stress import Stress, StressRunner

__all__ = [
    "WORKLOADS", "Background", "Churn", "ChurnRunner", "Directory", "Fio", "FioRunner", "IoError", "Job", "Runner",
    "Stress", "StressRunner", "Subject", "VerifyError", "WorkloadError", "WorkloadResult", "unwatched",
]
