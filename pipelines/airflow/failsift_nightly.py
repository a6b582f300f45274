"""Every night: the traces of the day before, one task for each prefix, into one set of tables.

Copy this file into the DAGs folder and change the three lines below. The workers need the failsift binary; Airflow itself does not.
A run reads the day of its logical date, from midnight to midnight UTC. It can be repeated, killed and backfilled: a trace that is read
again replaces its row. docs/scheduling.md describes exit codes, retries, credentials and backfills.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from datetime import date, timedelta
from typing import Any, BinaryIO

import pendulum
# These two paths exist in every Airflow 3, while those in airflow.sdk came with 3.2. Newer versions warn about the first.
from airflow.exceptions import AirflowException, AirflowFailException
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.sdk import DAG, BaseOperator, Connection, Context, Param

# What to read: paths, globs or URLs, one task each. {date} is the day, such as 2026-11-23.
PREFIXES = ["s3://acme-traces/agents/", "s3://acme-traces/batch/date={date}/"]
# Where the tables are; they are created if they do not exist.
OUTPUT = "s3://acme-analytics/failsift/"
# The command, as on the workers' PATH or with its path.
FAILSIFT = ["failsift"]

# More flags of `failsift run`. With --allow-empty, a prefix without trace files is no error.
FLAGS = ["--max-error-rate", "0.1"]
# The id of an Airflow connection whose extra field is a JSON object of environment variables: {"AWS_REGION": "…", "FAILSIFT_REDACTION_KEY": "…"}.
# Without it, failsift has the environment of the worker.
CONNECTION: str | None = None
# Lists in the XCom are cut to this length. The tables `runs` and `errors` have everything.
XCOM_ITEMS = 20

# What the log of a task says of a run.
COUNTS = ("received", "stored", "validation_failures", "processing_errors", "timed_out", "unchanged", "filtered", "cost_usd")

# Exit codes after which a retry would give the same result.
FINAL = {
    2: "wrong usage or configuration",
    3: "complete, but a check failed",
    4: "stopped by the cost limit",
}


class FailsiftOperator(BaseOperator):
    """Runs failsift over one prefix and pushes its summary as the XCom `summary`."""

    def __init__(self, *, prefix: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prefix = prefix
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Context) -> None:
        command = command_of(self.prefix, day_of(context))
        self.log.info("running %s", shlex.join(command))
        code, summary = self._run(command)
        reason = f"failsift ended with exit code {code}"
        if summary is not None:
            context["ti"].xcom_push(key="summary", value=cut(summary))
            self.log.info("%s", ", ".join(f"{key} {value}" for key, value in summary.items() if key in COUNTS))
            reason += f" ({summary['exit_reason']})" if summary.get("exit_reason") else ""
        if code == 0:
            return
        if code == 3 and not context["params"]["fail_on_checks"]:
            self.log.warning("%s: %s", reason, FINAL[code])
            return
        if code in FINAL:
            raise AirflowFailException(f"{reason}: {FINAL[code]}")
        raise AirflowException(f"{reason}; its messages are above")

    def _run(self, command: list[str]) -> tuple[int, dict[str, Any] | None]:
        """The exit code and the summary; messages go to the log of the task."""
        variables = Connection.get(CONNECTION).extra_dejson if CONNECTION else {}
        # A file, because a pipe that is read only at the end would block failsift when it is full.
        with tempfile.TemporaryFile() as stdout:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdout=stdout,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    env={**os.environ, **variables},
                    # Airflow signals the process group of the task and calls on_kill. A second signal would stop failsift before it has
                    # committed finished work.
                    start_new_session=True,
                )
            except OSError as error:
                raise AirflowFailException(f"cannot start {command[0]}: {error.strerror}. Set FAILSIFT to its path on the worker") from error
            for line in self._process.stderr or []:
                self.log.info("%s", line.rstrip())
            return self._process.wait(), summary_in(stdout)

    def on_kill(self) -> None:
        """Asks failsift to commit finished work and end, when the task times out or is stopped."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()


def command_of(prefix: str, day: date) -> list[str]:
    """The command that reads one day of one prefix."""
    window = ["--since", f"{day}", "--until", f"{day + timedelta(days=1)}"]
    prefix = prefix.replace("{date}", f"{day}")
    return [*FAILSIFT, "run", "--input", prefix, "--output", OUTPUT, *window, *FLAGS, "--format", "json"]


def day_of(context: Context) -> date:
    """The day of the logical date; of a run that was triggered without one, the day before."""
    run = context["dag_run"]
    moment = run.logical_date or run.run_after - timedelta(days=1)
    return pendulum.instance(moment).in_timezone("UTC").date()


def summary_in(stdout: BinaryIO) -> dict[str, Any] | None:
    """The summary that failsift printed, or None if it ended before that."""
    stdout.seek(0)
    text = stdout.read()
    return json.loads(text) if text.strip() else None


def cut(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary with short lists, because XComs are rows of Airflow's database."""
    return {key: value[:XCOM_ITEMS] if isinstance(value, list) else value for key, value in summary.items()}


with DAG(
    dag_id="failsift_nightly",
    description="Failure patterns of yesterday's traces",
    # At three, so that the last traces of the day have arrived. The logical date is the day before.
    schedule=CronDataIntervalTimetable("0 3 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    # Earlier days on request: `airflow backfill create --dag-id failsift_nightly --from-date 2026-11-20 --to-date 2026-11-23`.
    catchup=False,
    max_active_runs=1,
    params={"fail_on_checks": Param(True, type="boolean", description="Fail where failsift ends with exit code 3")},
    tags=["failsift"],
) as dag:
    FailsiftOperator.partial(
        task_id="analyze",
        map_index_template="{{ task.prefix }}",
        # Each task takes a core or two and up to 1 GB. A pool limits all DAGs of a worker together.
        max_active_tis_per_dag=4,
        pool="default_pool",
        retries=3,
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=6),
    ).expand(prefix=PREFIXES)
